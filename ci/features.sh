#!/usr/bin/env bash
# Checks that every crate compiles without warnings with no feature, with each feature alone and with
# all of them, and that the semaphore without features pulls in only the few crates we chose.
# Why: a default build hides a `use` that only another feature makes valid.
# Time: about 1 minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

check() {
    echo "cargo check $*"
    RUSTFLAGS="-D warnings" cargo check --quiet "$@" || { echo "features: cargo check $* failed" >&2; exit 1; }
}

metadata=$(cargo metadata --no-deps --format-version 1)
for manifest in crates/*/Cargo.toml; do
    crate=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
    # In the metadata a package's features are an object, followed by the path of its manifest.
    table=$(grep -oE '"features":\{[^}]*\},"manifest_path":"[^"]*/'"$manifest"'"' <<<"$metadata") ||
        { echo "features: cargo metadata says nothing of $manifest" >&2; exit 1; }
    check -p "$crate" --no-default-features
    for feature in $(grep -oE '"[^"]+":\[' <<<"$table" | tr -d '":['); do
        check -p "$crate" --no-default-features --features "$feature"
    done
    check -p "$crate" --all-features
done

chosen='^(tidegate-(semaphore|core)|crossbeam-(utils|queue)|event-listener|concurrent-queue|futures-core|pin-project-lite|portable-atomic(-util)?)$'
for target in x86_64-unknown-linux-gnu thumbv6m-none-eabi; do
    tree=$(cargo tree -p tidegate-semaphore --no-default-features -e normal --prefix none --target $target)
    strangers=$(cut -d' ' -f1 <<<"$tree" | sort -u | grep -vE "$chosen" | paste -sd ' ' || true)
    [ -z "$strangers" ] ||
        { echo "features: tidegate-semaphore without features pulls in $strangers on $target" >&2; exit 1; }
done
echo "features: ok"
