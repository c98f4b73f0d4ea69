#!/usr/bin/env bash
# Install what `make test-emulated` needs where it is absent: QEMU and a cross compiler from Debian,
# and in tools/aarch64 Debian's Python for that processor, with the packages that the tests import.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
command -v qemu-aarch64-static >/dev/null || packages+=(qemu-user-static)
command -v aarch64-linux-gnu-gcc >/dev/null || packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
target=tools/aarch64
if [ ${#packages[@]} -eq 0 ] && [ -d "$target" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "test-emulated: expected a system with apt-get, got none" >&2
    exit 1
fi
if [ ${#packages[@]} -gt 0 ]; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -q
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends "${packages[@]}"
fi
if [ ! -d "$target" ]; then
    # Unpacked here and not installed: the packages are of another processor.
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/unpacked"
    touch "$folder/status"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm main" >"$folder/sources.list"
    options=(-q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
        -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=-
        -o Dir::State::Lists="$folder/lists" -o Dir::State::status="$folder/status"
        -o Dir::Cache="$folder/cache")
    apt-get "${options[@]}" update
    (cd "$folder" && apt-get "${options[@]}" download python3.11-minimal libpython3.11-minimal \
        libpython3.11-stdlib libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 \
        libcrypt1 libuuid1 libssl3)
    for package in "$folder"/*.deb; do
        dpkg-deb --extract "$package" "$folder/unpacked"
    done
    .venv/bin/python -m pip install --quiet --target "$folder/unpacked/site" --python-version 3.11 \
        --implementation cp --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
        --only-binary=:all: array-api-compat hypothesis numpy psutil pytest
    mv "$folder/unpacked" "$target"
fi
