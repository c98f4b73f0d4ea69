# Functions that the scripts tools/install_*.sh share, for packages of Debian.  To be sourced.

# Run a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Fail where there is no apt-get: debian_expect ADVICE.
debian_expect() {
    command -v apt-get >/dev/null && return
    echo "$0: expected a system with apt-get, got none; $1" >&2
    return 1
}

# Install packages: debian_install PACKAGE...; nothing to do without one.
debian_install() {
    [ $# -gt 0 ] || return 0
    debian_expect "install $* by hand"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# Unpack packages of any release and processor, which leaves those of this system as they are:
# debian_unpack RELEASE ARCHITECTURE FOLDER PACKAGE...; without what they depend on.
debian_unpack() (
    release=$1 architecture=$2 target=$3
    shift 3
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$target"
    touch "$folder/status"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian $release main" >"$folder/sources.list"
    options=(-q -o APT::Architecture="$architecture" -o APT::Architectures="$architecture"
        -o APT::Sandbox::User= -o Dir::Etc::SourceList="$folder/sources.list"
        -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$folder/lists"
        -o Dir::State::status="$folder/status" -o Dir::Cache="$folder/cache")
    apt-get "${options[@]}" update
    (cd "$folder" && apt-get "${options[@]}" download "$@")
    for package in "$folder"/*.deb; do
        dpkg-deb --extract "$package" "$target"
    done
)
