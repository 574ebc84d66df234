#!/usr/bin/env bash
# Checks that the crates compile for bare metal, without std: thumbv7m (Cortex-M3, has compare-and-swap
# on 32 bits) and thumbv6m (Cortex-M0, has none). core and alloc are built from source for it.
# Why: on a host, a forgotten `std` in a dependency goes unnoticed.
# Time: 2 minutes, of which 1 installs the compiler once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/debian-rust
debian_rust

# These hand values through crossbeam-queue, which needs a compare-and-swap that portable-atomic cannot lend it.
no_cas_out=(tidegate-worker-pool tidegate-pipeline)
# What tower's traits are in, tower-service, is made with std.
std_only=(tidegate-tower)
facade_no_cas=tidegate/semaphore,tidegate/rate-limiter,tidegate/circuit-breaker,tidegate/concurrent-map,tidegate/batch-processor
facade_all=$facade_no_cas,tidegate/worker-pool,tidegate/pipeline

mapfile -t crates < <(cat crates/*/Cargo.toml | sed -n 's/^name = "\(tidegate.*\)"/\1/p' | grep -vxF -f <(printf '%s\n' "${std_only[@]}"))
mapfile -t no_cas < <(printf '%s\n' "${crates[@]}" | grep -vxF -f <(printf '%s\n' "${no_cas_out[@]}"))

# check TARGET FEATURES CRATE…
check() {
    local target=$1 features=$2 crate packages=()
    shift 2
    for crate; do packages+=(-p "$crate"); done
    echo "no_std: $target, ${RUSTFLAGS:-no RUSTFLAGS}: $* (features $features)"
    CARGO_TARGET_DIR=target/no_std /usr/bin/cargo check -Zbuild-std=core,alloc --target "$target" \
        "${packages[@]}" --no-default-features --features "$features"
}

echo "no_std: left out, as they need std: ${std_only[*]}"
check thumbv7m-none-eabi "$facade_all,tidegate-core/embassy-time" "${crates[@]}"

# How a chip without compare-and-swap gets one is the choice of the program, never of a library:
# this flag for a single core, or a critical-section (then no flag).
echo "no_std: left out on thumbv6m, as they need a compare-and-swap queue: ${no_cas_out[*]}"
RUSTFLAGS="--cfg portable_atomic_unsafe_assume_single_core" check thumbv6m-none-eabi "$facade_no_cas" "${no_cas[@]}"
RUSTFLAGS="" check thumbv6m-none-eabi "$facade_no_cas,tidegate-core/critical-section,tidegate-core/embassy-time" "${no_cas[@]}"
echo "no_std: ok"
