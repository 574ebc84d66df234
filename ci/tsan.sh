#!/usr/bin/env bash
# Checks with ThreadSanitizer that the laws of waiting and every crate's own tests run on real threads
# without a data race, and, first, that a planted race is reported: that this job can fail.
# Why: loom sees only what goes through our `primitive`; this sees every access, std's included.
# std is built with the sanitizer too; without that it reports races that are none.
# `tsan.sh --long MINUTES` repeats the stress tests with fresh seeds for so long.
# Time: 10 minutes; most of it is compiling, and installing the compiler and building std once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/debian-rust
debian_rust clang-19 libclang-rt-19-dev llvm-19 lld-19
log=$(mktemp)
trap 'rm -f "$log"' EXIT
minutes=
case "${1-}" in
    "") ;;
    --long) minutes=${2:?how many minutes?} ;;
    *) echo "tsan: unknown argument $1; usage: ci/tsan.sh [--long MINUTES]" >&2; exit 2 ;;
esac

target=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR=target/tsan CARGO_INCREMENTAL=0
# Compiling takes longer than running by far, and optimizing makes it three times as long.
export CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
export RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Clinker=clang-19 -Clink-arg=-fuse-ld=lld -Clink-arg=-fsanitize=thread"
# A test forks, and its child starts a thread. Others end their process while the handle of a thread is still there.
export TSAN_OPTIONS="external_symbolizer_path=/usr/bin/llvm-symbolizer-19 die_after_fork=0 report_thread_leaks=0 allocator_may_return_null=1"
# The sanitizer's shadow memory does not fit today's address randomisation: switch that off.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="setarch -R"
setarch -R true || { echo "tsan: setarch -R is not permitted here (a container's seccomp filter?)" >&2; exit 1; }

echo "tsan: the planted race"
/usr/bin/cargo build -Zbuild-std --target $target --manifest-path ci/tsan-canary/Cargo.toml
if setarch -R target/tsan/$target/debug/tsan-canary >"$log" 2>&1 || ! grep -q 'data race' "$log"; then
    cat "$log" >&2
    echo "tsan: the planted race was not reported: this job proves nothing" >&2
    exit 1
fi
grep 'SUMMARY' "$log"

echo "tsan: the laws and the tests of the crates"
run() {
    /usr/bin/cargo test -Zbuild-std --no-fail-fast --target $target "$@" 2>&1 | tee "$log" ||
        { echo "tsan: a race was reported or a test failed, see above" >&2; exit 1; }
    grep -qE '^running [1-9]' "$log" || { echo "tsan: not one test was run" >&2; exit 1; }
}
if [ -z "$minutes" ]; then
    # Not the programs that count allocations in one thread; and of the random sequences, most in one thread, a few.
    export PROPTEST_CASES=${PROPTEST_CASES:-4}
    # Programs of the simulation run in one thread.
    TIDEGATE_ROUNDS=${TIDEGATE_ROUNDS:-60} run -p loom-tests --tests
    # Not those of tower and metrics, which are safe code above the patterns: their servers and exporters take minutes to compile.
    run -p 'tidegate-[!tm]*' --lib --test it --test exit --test fork --test few_shards
else
    until=$((SECONDS + minutes * 60)) rounds=0
    while [ $SECONDS -lt $until ]; do
        run -p 'tidegate*' --test it -- stress:: flight_threads::
        rounds=$((rounds + 1))
    done
    echo "tsan: $rounds rounds"
fi
echo "tsan: ok"
