#!/bin/sh
# Runs the suites with the OTP of another system's root, such as one that debootstrap made: for the
# releases that this machine does not have.
#
#   sh test_in_root.sh ROOT      needs root, and erlang and rebar3 in ROOT
#
# The library is the one in priv/: it is built once and loaded by every release.
set -eu
root=${1:?the root of a system with erlang and rebar3}
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" != 0 ]; then
    echo "test_in_root.sh: skipped, chroot needs root"
    exit 0
fi
for needed in erl rebar3; do
    if [ ! -x "$root/usr/bin/$needed" ]; then
        echo "test_in_root.sh: there is no $needed in $root/usr/bin; install it there" >&2
        exit 1
    fi
done
[ -f "$here/priv/rendez_nif.so" ] || sh "$here/build_nif.sh"
copy=$(mktemp -d "$root/tmp/rendez-XXXXXX")
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/erlang"
for part in src test priv bench rebar.config build_nif.sh; do
    cp -R "$here/$part" "$copy/erlang/"
done
chroot "$root" env HOME=/root RENDEZ_SKIP_NIF_BUILD=1 sh -c \
    'cd "$1/erlang" && erl -noshell -eval "io:format(\"OTP ~s~n\", [erlang:system_info(otp_release)]), halt()." &&
     rebar3 eunit && rebar3 ct' sh "${copy#"$root"}"
