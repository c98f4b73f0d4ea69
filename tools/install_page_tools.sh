#!/usr/bin/env bash
# Install what `make test-page` needs where it is absent: Chromium, and the packages of tools/page.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v chromium >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "test-page: expected a system with apt-get, got none; install chromium by hand" >&2
        exit 1
    fi
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -q
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends chromium
fi
if [ ! -d tools/page/node_modules/axe-core ] || [ tools/page/package-lock.json -nt tools/page/node_modules ]; then
    npm ci --prefix tools/page --no-audit --no-fund --silent
    touch tools/page/node_modules
fi
