#!/usr/bin/env bash
# Install what `make test-emulated` needs where it is absent: QEMU and a cross compiler from Debian,
# and in tools/aarch64 Debian's Python for that processor, with the packages that the tests import.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/debian.sh

packages=()
command -v qemu-aarch64-static >/dev/null || packages+=(qemu-user-static)
command -v aarch64-linux-gnu-gcc >/dev/null || packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
debian_install "${packages[@]}"
target=tools/aarch64
if [ ! -d "$target" ]; then
    debian_expect "unpack Python and its libraries for aarch64 into $target by hand"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    debian_unpack bookworm arm64 "$folder/unpacked" python3.11-minimal libpython3.11-minimal \
        libpython3.11-stdlib libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 \
        libcrypt1 libuuid1 libssl3
    .venv/bin/python -m pip install --quiet --target "$folder/unpacked/site" --python-version 3.11 \
        --implementation cp --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
        --only-binary=:all: array-api-compat hypothesis numpy psutil pytest
    mv "$folder/unpacked" "$target"
fi
