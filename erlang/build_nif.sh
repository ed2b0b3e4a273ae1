#!/bin/sh
# Builds the NIF library with cargo and puts it into priv/.
#
# RENDEZ_SKIP_NIF_BUILD=1  takes the library that is in priv/ already.
# RENDEZ_CARGO_PROFILE     the cargo profile, "release" unless set.
# RENDEZ_NIF_FEATURES      providers that are left out unless named here, commas between them: ec2, http, kubernetes, rancher.
# CARGO_TARGET_DIR         as cargo has it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# The repository has the cargo workspace above this folder, the package has it in native/.
root="$here/.."
[ -f "$here/native/Cargo.toml" ] && root="$here/native"
[ "${RENDEZ_SKIP_NIF_BUILD:-}" = 1 ] && [ -f "$here/priv/rendez_nif.so" ] && exit 0

# The oldest compiler that builds it, as Cargo.toml says.
needs=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$root/Cargo.toml" | head -n 1)
if ! command -v cargo >/dev/null 2>&1; then
    echo "rendez: cargo is not in PATH. The NIF is written in Rust; install Rust ${needs:-(stable)} or newer, for example with rustup." >&2
    exit 1
fi
has=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
older() { [ "${1%%.*}" -lt "${2%%.*}" ] || { [ "${1%%.*}" -eq "${2%%.*}" ] && [ "${1#*.}" -lt "${2#*.}" ]; }; }
if [ -n "$needs" ] && [ -n "$has" ] && older "$has" "$needs"; then
    echo "rendez: rustc $has is too old, the NIF needs $needs or newer. With rustup: rustup update stable." >&2
    exit 1
fi

profile=${RENDEZ_CARGO_PROFILE:-release}
# Quiet when nothing changed, so that a compile without news prints none.
cargo build --quiet --locked --manifest-path "$root/Cargo.toml" --package rendez_nif --profile "$profile" \
    --features "${RENDEZ_NIF_FEATURES:-}"
target=${CARGO_TARGET_DIR:-"$root/target"}
folder=$profile
[ "$profile" = dev ] && folder=debug
for name in librendez_nif.so librendez_nif.dylib; do
    built="$target/$folder/$name"
    if [ -f "$built" ]; then
        mkdir -p "$here/priv"
        if ! cmp -s "$built" "$here/priv/rendez_nif.so"; then
            # A running BEAM keeps the old file's content: it is replaced, not overwritten.
            cp "$built" "$here/priv/rendez_nif.so.new"
            mv -f "$here/priv/rendez_nif.so.new" "$here/priv/rendez_nif.so"
        fi
        exit 0
    fi
done
echo "rendez: cargo built no librendez_nif in $target/$folder" >&2
exit 1
