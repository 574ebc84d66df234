#!/usr/bin/env bash
# Checks with AddressSanitizer and its leak checker that the crates' tests, the laws on real threads and the simulation touch no
# memory that is not theirs, and leave none behind; and, first, that a planted error of each kind is reported.
# Why: the queue's ring, the jobs' cells and the scopes are unsafe code; and what waits in a circle of Arcs is a leak that no
# assertion sees.
# `asan.sh --long MINUTES` repeats the stress tests and the simulation with fresh seeds for so long.
# Time: 6 minutes; most of it is compiling.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
log=$(mktemp)
planted=$(mktemp -d)
trap 'rm -rf "$log" "$planted"' EXIT

# The sanitizer is in rustup's toolchain, behind a flag that a stable compiler opens so.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target/asan CARGO_INCREMENTAL=0
# Compiling takes longer than running by far, and optimizing makes it three times as long.
export CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
target=x86_64-unknown-linux-gnu
# hashbrown leaves memory behind where a key's `Hash` or a value's `Drop` panics, which these tests make it do.
# And a payload whose drop panics with another such payload ends in a leak.
# What a function or a block gives is lost by the compiler where a destructor at its end panics (rust-lang/rust#47949). No crate of
# ours leaves that to it, and tests which let every destructor panic drop what may panic before they return.
printf 'leak:%s\n' panics::MAP panics::REGISTRY the_timer_thread_survives_what_a_waker_panics_with::Payload \
    unwind::tests::Chain values_are_dropped_each_on_its_own >"$planted/suppressions"
# A size that nobody has is refused, as the system's allocator does.
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 LSAN_OPTIONS=suppressions=$planted/suppressions:print_suppressions=0

for kind in use-after-free leak; do
    rustc -Zsanitizer=address --cfg "planted=\"$kind\"" --check-cfg 'cfg(planted, values("use-after-free", "leak"))' \
        -o "$planted/$kind" ci/asan-canary.rs
    if "$planted/$kind" >"$log" 2>&1 || ! grep -q "AddressSanitizer: .*\(heap-use-after-free\|leaked\)" "$log"; then
        cat "$log" >&2
        echo "asan: the planted $kind was not reported: this job proves nothing" >&2
        exit 1
    fi
    grep SUMMARY "$log"
done

export RUSTFLAGS=-Zsanitizer=address
run() {
    cargo test --no-fail-fast --target $target "$@" 2>&1 | tee "$log" ||
        { echo "asan: an error was reported or a test failed, see above" >&2; exit 1; }
    grep -qE '^running [1-9]' "$log" || { echo "asan: not one test was run" >&2; exit 1; }
}

case "${1-}" in
    # Not those that count what is allocated. Nor those of tower and metrics, which are safe code above the patterns: their servers
    # and exporters take minutes to compile.
    "") PROPTEST_CASES=${PROPTEST_CASES:-32} run -p loom-tests -p 'tidegate-[!tm]*' --lib --test '[!m]*' ;;
    --long)
        until=$((SECONDS + ${2:?how many minutes?} * 60)) rounds=0
        while [ $SECONDS -lt $until ]; do
            run -p 'tidegate*' --test it -- stress::
            TIDEGATE_SEED=$RANDOM$RANDOM TIDEGATE_ROUNDS=2000 run -p loom-tests --test simulation
            rounds=$((rounds + 1))
        done
        echo "asan: $rounds rounds"
        ;;
    *) echo "asan: unknown argument $1; usage: ci/asan.sh [--long MINUTES]" >&2; exit 2 ;;
esac
echo "asan: ok"
