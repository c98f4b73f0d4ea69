#!/usr/bin/env bash
# Install the servers that `make test-services` starts, where they are absent: PostgreSQL, Mosquitto.
# The tests start their own, on free ports and with data in temporary folders; those that Debian
# would start itself stay stopped.
set -euo pipefail

packages=()
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages+=(postgresql)
PATH="$PATH:/usr/sbin" command -v mosquitto >/dev/null || packages+=(mosquitto)
command -v openssl >/dev/null || packages+=(openssl)
if [ ${#packages[@]} -eq 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "test-services: expected a system with apt-get, got none; install ${packages[*]} by hand" >&2
    exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
# Without this, PostgreSQL makes and starts a cluster, which nobody needs here.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get update -q
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends "${packages[@]}"
