#!/usr/bin/env bash
# Checks that the models would see a mistake: each patch in loom-tests/mutants weakens one ordering, or takes away one look, one fence
# or one wake-up, and the model that the patch names in its first line must fail then.
# Why: a model that has never failed proves nothing.
# All patches must apply. Some of them are run, others each day; `mutants.sh --all` runs all (20 minutes, weekly), and
# `mutants.sh NAME…` runs single ones.
# Time: 2 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
patches=loom-tests/mutants sample=3
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if ! command -v patch >/dev/null; then
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends patch </dev/null >/dev/null
fi
mapfile -t all < <(cd $patches && printf '%s\n' *.patch | sed 's/\.patch$//')
for name in "${all[@]}"; do
    git apply --check "$patches/$name.patch" || { echo "mutants: $name does not apply any more: make it anew" >&2; exit 1; }
done
case "${1-}" in
    "")
        chosen=()
        day=$(($(date +%s) / 86400))
        for n in $(seq $sample); do chosen+=("${all[(day * sample + n) % ${#all[@]}]}"); done
        ;;
    --all) chosen=("${all[@]}") ;;
    *) chosen=("$@") ;;
esac
echo "mutants: ${#all[@]} apply; to be run: ${chosen[*]}"

export RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 CARGO_INCREMENTAL=0 RUST_BACKTRACE=0
export CARGO_TARGET_DIR=$PWD/target/mutants
tree=$CARGO_TARGET_DIR/tree
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z | xargs -0 tar -cf - | tar -xmf - -C "$tree" # with new times: what an earlier run left is mutated
# model FILE MODEL: runs one model in the copy.
model() { (cd "$tree" && timeout 120 cargo test --release -p loom-tests --test "$1" -- --exact "$2") >"$log" 2>&1; }

survivors=()
for name in "${chosen[@]}"; do
    patch=$PWD/$patches/$name.patch
    [ -f "$patch" ] || { echo "mutants: there is no $patches/$name.patch" >&2; exit 2; }
    read -r file model <"$patch"
    model "$file" "$model" && grep -q '^test result: ok. 1 passed' "$log" ||
        { cat "$log" >&2; echo "mutants: $model of $file.rs does not pass without a mutation, or is not there" >&2; exit 1; }
    (cd "$tree" && patch -s -p1 <"$patch")
    if model "$file" "$model"; then
        survivors+=("$name")
        echo "mutants: $name SURVIVED $file $model"
    elif grep -q 'could not compile' "$log"; then
        cat "$log" >&2
        echo "mutants: $name does not compile" >&2
        exit 1
    else
        echo "mutants: $name caught by $file $model"
    fi
    (cd "$tree" && patch -s -R -p1 <"$patch")
done
[ ${#survivors[@]} -eq 0 ] || { echo "mutants: not caught: ${survivors[*]}" >&2; exit 1; }
echo "mutants: ok"
