#!/usr/bin/env bash
# Checks sequences of operations that libFuzzer makes up, guided by what they reach, against a reference on paper: semaphore, map,
# limiter, breaker, batcher. First with a reference that is wrong, which each fuzzer must find.
# Why: a sequence of ten steps that nobody thought of is found in seconds.
# The corpora in fuzz/corpus are replayed first. `fuzz.sh --long MINUTES` fuzzes each target for so long and keeps what reached
# something new in the corpus. What fails is left in fuzz/, with the command that replays it.
# Time: 3 minutes, of which 2 build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
targets=(semaphore concurrent_map rate_limiter circuit_breaker batch_processor)
seconds=5 corpus=
case "${1-}" in
    "") ;;
    --long) seconds=$((${2:?how many minutes?} * 60)) corpus=kept ;;
    *) echo "fuzz: unknown argument $1; usage: ci/fuzz.sh [--long MINUTES]" >&2; exit 2 ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# libFuzzer is C++.
if ! command -v c++ >/dev/null; then
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends g++ </dev/null >/dev/null
fi

# The instrumentation of cargo-fuzz, with the sanitizer of the toolchain, which a stable compiler opens so.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$PWD/target/fuzz
export RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
target=x86_64-unknown-linux-gnu
build() { cargo build --quiet --release --locked --manifest-path fuzz/Cargo.toml --target $target "$@"; }
fuzzer() { "$CARGO_TARGET_DIR/$target/release/$1" "${@:2}"; }

build --features wrong
for name in "${targets[@]}"; do
    if fuzzer "$name" -seed=1 -max_total_time=20 -artifact_prefix="$scratch/" >"$scratch/log" 2>&1; then
        echo "fuzz: $name did not find that its reference is wrong: this job proves nothing" >&2
        exit 1
    fi
    grep -q 'panicked' "$scratch/log" || { cat "$scratch/log" >&2; echo "fuzz: $name ended for another reason" >&2; exit 1; }
done
echo "fuzz: each finds a wrong reference"

build
for name in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$name" "$scratch/$name"
    into=$scratch/$name
    [ -z "$corpus" ] || into=fuzz/corpus/$name
    seed=$((RANDOM * 32768 + RANDOM + 1))
    if ! fuzzer "$name" -seed=$seed -max_total_time=$seconds -max_len=512 -artifact_prefix=fuzz/ \
        "$into" "fuzz/corpus/$name" >"$scratch/log" 2>&1; then
        tail -n 40 "$scratch/log" >&2
        echo "fuzz: $name failed with -seed=$seed; replay: $CARGO_TARGET_DIR/$target/release/$name fuzz/crash-…" >&2
        exit 1
    fi
    echo "fuzz: $name, seed $seed: $(grep -oE 'stat::|Done [0-9]+ runs' "$scratch/log" | tail -n 1)"
done
echo "fuzz: ok"
