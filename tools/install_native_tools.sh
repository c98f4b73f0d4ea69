#!/usr/bin/env bash
# Install what `make test-native` needs where it is absent: a C++ compiler, CMake, libpng, and the
# headers of ONNX Runtime. The library itself is that of the package of Python.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
command -v g++ >/dev/null || packages+=(g++)
command -v cmake >/dev/null || packages+=(cmake make)
[ -e /usr/include/png.h ] || packages+=(libpng-dev)
headers=tools/native/include
if [ ${#packages[@]} -eq 0 ] && [ -d "$headers" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "test-native: expected a system with apt-get, got none; install ${packages[*]:-nothing} and" \
        "put the headers of ONNX Runtime into $headers by hand" >&2
    exit 1
fi
if [ ${#packages[@]} -gt 0 ]; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -q
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends "${packages[@]}"
fi
if [ ! -d "$headers" ]; then
    # Debian has them from its release 13 on. They are unpacked here and not installed, so that an
    # older release does for the rest.
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian trixie main" >"$folder/sources.list"
    options=(-q -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=-
        -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User=)
    apt-get "${options[@]}" update
    (cd "$folder" && apt-get "${options[@]}" download libonnxruntime-dev)
    dpkg-deb --extract "$folder"/libonnxruntime-dev_*.deb "$folder/unpacked"
    mkdir -p tools/native
    cp -r "$folder/unpacked/usr/include/onnxruntime" "$headers"
fi
