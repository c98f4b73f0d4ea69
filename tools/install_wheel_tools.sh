#!/usr/bin/env bash
# Install what `make test-wheels` runs kernels and Pythons with, where it is absent: QEMU, musl and
# Wine from Debian, and in tools/wheels Debian's musl for ARM and a root of Debian testing with the
# Python that this release does not have.  What is absent then is left out, and said to be.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/debian.sh

target=$PWD/tools/wheels
debian_expect "the kernels of other systems are left out" || exit 0
packages=()
command -v qemu-aarch64-static >/dev/null || packages+=(qemu-user-static)
[ -d /usr/aarch64-linux-gnu ] || packages+=(libc6-arm64-cross)
[ -e /lib/ld-musl-x86_64.so.1 ] || packages+=(musl)
[ -x /usr/lib/wine/wine64 ] || packages+=(wine64)
command -v debootstrap >/dev/null || packages+=(debootstrap)
debian_install "${packages[@]}"
if [ ! -d "$target/musl-aarch64" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    debian_unpack bookworm arm64 "$folder/unpacked" musl
    mkdir -p "$target"
    mv "$folder/unpacked" "$target/musl-aarch64"
fi
if [ ! -e "$target/python3.14/ready" ]; then
    as_root debootstrap --variant=minbase --include=python3.14,python3.14-venv,ca-certificates \
        testing "$target/python3.14" http://deb.debian.org/debian
    # Names and certificates of the network that this machine is in.
    as_root cp -L /etc/resolv.conf "$target/python3.14/etc/resolv.conf"
    as_root cp -L /etc/ssl/certs/ca-certificates.crt "$target/python3.14/etc/ssl/certs/"
    as_root touch "$target/python3.14/ready"
fi
