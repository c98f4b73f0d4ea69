#!/usr/bin/env bash
# Install what `make test-wheels` runs kernels and Pythons with, where it is absent: QEMU, musl and
# Wine from Debian, and in tools/wheels Debian's musl for ARM and a root of Debian testing with the
# Python that this release does not have.  What is absent then is left out, and said to be.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$PWD/tools/wheels
if ! command -v apt-get >/dev/null; then
    echo "test-wheels: expected a system with apt-get, got none: the kernels of other systems are left out" >&2
    exit 0
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
packages=()
command -v qemu-aarch64-static >/dev/null || packages+=(qemu-user-static)
[ -d /usr/aarch64-linux-gnu ] || packages+=(libc6-arm64-cross)
[ -e /lib/ld-musl-x86_64.so.1 ] || packages+=(musl)
[ -x /usr/lib/wine/wine64 ] || packages+=(wine64)
command -v debootstrap >/dev/null || packages+=(debootstrap)
if [ ${#packages[@]} -gt 0 ]; then
    "${as_root[@]}" apt-get update -q
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends "${packages[@]}"
fi
if [ ! -d "$target/musl-aarch64" ]; then
    # Unpacked here and not installed: the package is of another processor.
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    touch "$folder/status"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm main" >"$folder/sources.list"
    options=(-q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
        -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=-
        -o Dir::State::Lists="$folder/lists" -o Dir::State::status="$folder/status"
        -o Dir::Cache="$folder/cache")
    apt-get "${options[@]}" update
    (cd "$folder" && apt-get "${options[@]}" download musl)
    mkdir -p "$target"
    dpkg-deb --extract "$folder"/musl*.deb "$folder/unpacked"
    mv "$folder/unpacked" "$target/musl-aarch64"
fi
if [ ! -e "$target/python3.14/ready" ]; then
    "${as_root[@]}" debootstrap --variant=minbase --include=python3.14,python3.14-venv,ca-certificates \
        testing "$target/python3.14" http://deb.debian.org/debian
    # Names and certificates of the network that this machine is in.
    "${as_root[@]}" cp -L /etc/resolv.conf "$target/python3.14/etc/resolv.conf"
    "${as_root[@]}" cp -L /etc/ssl/certs/ca-certificates.crt "$target/python3.14/etc/ssl/certs/"
    "${as_root[@]}" touch "$target/python3.14/ready"
fi
