#!/usr/bin/env bash
# Install what `make test-page` and `make test-docs` need where it is absent: Chromium, and the
# packages of tools/page.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/debian.sh

command -v chromium >/dev/null || debian_install chromium
if [ ! -d tools/page/node_modules/axe-core ] || [ tools/page/package-lock.json -nt tools/page/node_modules ]; then
    npm ci --prefix tools/page --no-audit --no-fund --silent
    touch tools/page/node_modules
fi
