#!/usr/bin/env bash
# Carry out docs/guides/offline.md: its first block here, where packages can be had, the others in
# a network namespace that has a loopback and nothing else.  Takes a folder to work in; as root.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
page=$root/docs/guides/offline.md

# Commands of the n-th block of the page.
block() {
    awk -v n="$1" '/^```sh$/ { at++; inside = 1; next } /^```$/ { inside = 0 } inside && at == n' "$page"
}

if [ "${1:-}" != --without-network ]; then
    folder=$1
    mkdir -p "$folder/deploy"
    cp -r "$root"/{src,pyproject.toml,hatch_build.py,README.md,LICENSE,NOTICE} "$folder"
    cp -r "$root/deploy/lock" "$folder/deploy"
    cd "$folder"
    block 1 | bash -euxo pipefail
    exec unshare --net "$root/tools/test_offline.sh" --without-network
fi

ip link set lo up
if [ -n "$(ip route)" ] || python3 -c 'import socket; socket.create_connection(("192.0.2.1", 80), 3)' 2>/dev/null; then
    echo "test-offline: expected a namespace without a network, got one that has a way out" >&2
    exit 1
fi
# Nothing of the checkout, of a home or of a cache of pip is used.
export HOME=$PWD/home PYTHONPATH='' PIP_NO_CACHE_DIR=1
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL
mkdir home photographs
python3 - <<'EOF'
import zipfile, glob
with zipfile.ZipFile(glob.glob("wheelhouse/elpv_dataset-*.whl")[0]) as wheel:
    for name in sorted(n for n in wheel.namelist() if n.endswith(".png"))[:3]:
        open("photographs/" + name.rpartition("/")[2], "wb").write(wheel.read(name))
EOF
block 2 | grep -v ' serve ' | bash -euxo pipefail
test "$(wc -l <verdicts.jsonl)" = 3
test -s patchbank-demo/index.html
eval "$(block 2 | grep ' serve ') >serve.log 2>&1 &"
service=$!
trap 'kill $service; wait $service 2>/dev/null' EXIT
for _ in $(seq 240); do
    kill -0 $service 2>/dev/null || { cat serve.log >&2; exit 1; }
    python3 -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:8760/ready", timeout=4)' 2>/dev/null && break
    sleep 0.5
done
block 3 | bash -euxo pipefail
echo "offline: installed, demo run, three photographs inspected by the command and by the service"
