#!/usr/bin/env bash
# Build all wheels twice, compare them to the byte, and use those that this machine can run: the
# wheel of manylinux in a clean environment of each Python that is here, and the kernels for ARM
# under QEMU where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv-wheels/bin/python tools/build_wheels.py --out "$folder/first"
.venv-wheels/bin/python tools/build_wheels.py --out "$folder/second" >"$folder/again"
diff -r "$folder/first" "$folder/second"
echo "built again: the same bytes"
wheel=$(ls "$folder"/first/*manylinux2014_"$(uname -m)".whl)
for version in 10 11 12 13 14; do
    python=$(command -v python3.$version) || { echo "Python 3.$version: absent"; continue; }
    "$python" -m venv "$folder/3.$version"
    "$folder/3.$version/bin/python" -m pip install --quiet "patchbank[demo] @ file://$wheel"
    said=$("$folder/3.$version/bin/patchbank" --version)
    case $said in *"not used"*) echo "Python 3.$version: $said" >&2; exit 1 ;; esac
    (cd "$folder/3.$version" && bin/patchbank demo --out demo >/dev/null && test -s demo/index.html -o -s demo/report.html)
    echo "Python 3.$version: $said; demo ran"
done
