#!/usr/bin/env bash
# Install the servers that `make test-services` starts, where they are absent: PostgreSQL, Mosquitto.
# The tests start their own, on free ports and with data in temporary folders; those that Debian
# would start itself stay stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/debian.sh

packages=()
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages+=(postgresql)
PATH="$PATH:/usr/sbin" command -v mosquitto >/dev/null || packages+=(mosquitto)
command -v openssl >/dev/null || packages+=(openssl)
[ ${#packages[@]} -gt 0 ] || exit 0
# Without this, PostgreSQL makes and starts a cluster, which nobody needs here.
policy=/usr/sbin/policy-rc.d
if command -v apt-get >/dev/null && [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    trap 'as_root rm -f "$policy"' EXIT
    as_root chmod +x "$policy"
fi
debian_install "${packages[@]}"
