#!/usr/bin/env bash
# Install what `make test-native` needs where it is absent: a C++ compiler, CMake, libpng, and the
# headers of ONNX Runtime. The library itself is that of the package of Python.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/debian.sh

packages=()
command -v g++ >/dev/null || packages+=(g++)
command -v cmake >/dev/null || packages+=(cmake make)
[ -e /usr/include/png.h ] || packages+=(libpng-dev)
debian_install "${packages[@]}"
headers=tools/native/include
if [ ! -d "$headers" ]; then
    debian_expect "put the headers of ONNX Runtime into $headers by hand"
    # Debian has them from its release 13 on; an older release does for the rest.
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    debian_unpack trixie "$(dpkg --print-architecture)" "$folder" libonnxruntime-dev
    mkdir -p tools/native
    mv "$folder/usr/include/onnxruntime" "$headers"
fi
