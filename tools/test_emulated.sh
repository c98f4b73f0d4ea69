#!/usr/bin/env bash
# Run tests of the native kernel as on aarch64: compiled for it, in its Python, by QEMU.
set -euo pipefail
cd "$(dirname "$0")/.."

machine=$PWD/tools/aarch64
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r src tests pyproject.toml "$folder"  # a checkout has the kernel of its own processor
kernel=$folder/src/patchbank/core/int8/kernel
aarch64-linux-gnu-gcc -O3 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden "$kernel.c" -o "$kernel.so" -lm
cd "$folder"
export PYTHONPATH=$folder/src:$machine/site PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1
test=(qemu-aarch64-static -L "$machine" "$machine/usr/bin/python3.11" -m pytest -q -p no:cacheprovider
    -p tests.requirements)
# Two processes, as each takes a minute.
PATCHBANK_REQUIRE=kernel "${test[@]}" tests/laws/test_int8.py -k test_the_nearest &
laws=$!
PATCHBANK_REQUIRE=kernel "${test[@]}" tests/laws/test_int8.py -k 'not test_the_nearest'
for kernel in neon-dot neon; do
    PATCHBANK_KERNEL=$kernel "${test[@]}" tests/golden/test_selection.py
done
wait $laws
