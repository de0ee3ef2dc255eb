#!/bin/sh
# Installs the Debian packages that some work needs, if they are missing:  needs.sh [build] [deb] [systemd]
# Rust itself is taken for granted.
set -eu

missing=""
# need PACKAGE COMMAND-OR-FILE
need() { [ -e "$2" ] || command -v "$2" >/dev/null || missing="$missing $1"; }

for work in "$@"; do
    case $work in
    build)
        need gcc cc
        need libc6-dev /usr/include/stdio.h
        need pkg-config pkg-config
        need libssl-dev /usr/include/openssl/ssl.h
        ;;
    deb)
        need dpkg-dev dpkg-shlibdeps # finds the libraries that the package depends on
        ;;
    systemd)
        need mmdebstrap mmdebstrap
        need systemd-container systemd-nspawn
        need util-linux nsenter
        need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
        ;;
    *)
        echo "needs.sh: unknown work: $work" >&2
        exit 2
        ;;
    esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "please install what is called here:$missing" >&2
    exit 1
fi
root=""
if [ "$(id -u)" != 0 ]; then
    root="sudo"
fi
echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # Not our standard input: it may be what the user pipes into `make run`.
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >"$log" 2>&1 </dev/null
}
# Package lists may be absent or old: then fetch them, and once more.
install || { $root apt-get update -qq >"$log" 2>&1 && install; } || {
    cat "$log" >&2
    echo "could not install:$missing" >&2
    exit 1
}
