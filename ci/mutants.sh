#!/usr/bin/env bash
# Checks that the models would see a mistake. Each patch in loom-tests/mutants takes away one look, one wake-up or the like, and the
# model that it names in its first line must fail then. And each ordering in crates/*/src is weakened, and each fence taken away
# (ci/weaken.py): a model that looks at the file must fail, unless loom-tests/mutants/survivors.txt says why none can.
# Why: a model that has never failed proves nothing.
# All patches must apply. Some of them are run, and some orderings, others each day; `mutants.sh --all` runs all (an hour, weekly), and
# `mutants.sh NAME…` runs single ones: a patch by its name, the orderings of a file by a part of its path.
# Time: 2 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
patches=loom-tests/mutants sample=2
log=$(mktemp)
trap 'rm -f "$log" "$log.rs"' EXIT

if ! command -v patch >/dev/null || ! command -v python3 >/dev/null; then
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends patch python3 </dev/null >/dev/null
fi
mapfile -t all < <(cd $patches && printf '%s\n' *.patch | sed 's/\.patch$//')
for name in "${all[@]}"; do
    git apply --check "$patches/$name.patch" || { echo "mutants: $name does not apply any more: make it anew" >&2; exit 1; }
done
orderings=$(python3 ci/weaken.py list)
mapfile -t weakenable < <(grep -P '\t-$' <<<"$orderings" | cut -f 1)
case "${1-}" in
    "")
        chosen=()
        day=$(($(date +%s) / 86400))
        for n in $(seq $sample); do
            chosen+=("${all[(day * sample + n) % ${#all[@]}]}" "${weakenable[(day * sample + n) % ${#weakenable[@]}]}")
        done
        ;;
    --all) chosen=("${all[@]}" "${weakenable[@]}") ;;
    *)
        chosen=()
        for name in "$@"; do
            if [ -f "$patches/$name.patch" ]; then chosen+=("$name"); continue; fi
            mapfile -t found < <(printf '%s\n' "${weakenable[@]}" | grep -F -- "$name")
            [ ${#found[@]} -gt 0 ] || { echo "mutants: there is no patch $name, and no ordering in such a file" >&2; exit 2; }
            chosen+=("${found[@]}")
        done
        ;;
esac
echo "mutants: ${#all[@]} patches apply; ${#weakenable[@]} orderings can be weakened, $(grep -vcP '\t-$' <<<"$orderings" || true) more have a reason why nobody sees it"
echo "mutants: to be run: ${chosen[*]}"

export RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 CARGO_INCREMENTAL=0 RUST_BACKTRACE=0
export CARGO_TARGET_DIR=$PWD/target/mutants
tree=$CARGO_TARGET_DIR/tree
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z | xargs -0 tar -cf - | tar -xmf - -C "$tree" # with new times: what an earlier run left is mutated
# model FILE MODEL: runs one model in the copy.
model() { (cd "$tree" && timeout 120 cargo test --release -p loom-tests --test "$1" -- --exact "$2") >"$log" 2>&1; }
# files FILE…: runs all models of these files. One that finds no end has failed.
files() { (cd "$tree" && timeout 200 cargo test --release -p loom-tests "${@/#/--test=}") >"$log" 2>&1; }
compiled() {
    ! grep -q 'could not compile' "$log" || { cat "$log" >&2; echo "mutants: $1 does not compile" >&2; exit 1; }
}

survivors=()
for name in "${chosen[@]}"; do
    if [[ $name == crates/* ]]; then
        read -ra looking < <(grep -F -- "$name"$'\t' <<<"$orderings" | cut -f 2)
        source=$tree/${name%%:*}
        cp "$source" "$log.rs"
        (cd "$tree" && python3 ci/weaken.py apply "$name")
        if files "${looking[@]}"; then
            survivors+=("$name")
            echo "mutants: $name SURVIVED ${looking[*]}"
        else
            compiled "$name"
            echo "mutants: $name caught by $(grep -oE '^test .* FAILED$' "$log" | head -n 1 | cut -d ' ' -f 2 || true) of ${looking[*]}"
        fi
        cat "$log.rs" >"$source"
        continue
    fi
    patch=$PWD/$patches/$name.patch
    read -r file model <"$patch"
    model "$file" "$model" && grep -q '^test result: ok. 1 passed' "$log" ||
        { cat "$log" >&2; echo "mutants: $model of $file.rs does not pass without a mutation, or is not there" >&2; exit 1; }
    (cd "$tree" && patch -s -p1 <"$patch")
    if model "$file" "$model"; then
        survivors+=("$name")
        echo "mutants: $name SURVIVED $file $model"
    else
        compiled "$name"
        echo "mutants: $name caught by $file $model"
    fi
    (cd "$tree" && patch -s -R -p1 <"$patch")
done
[ ${#survivors[@]} -eq 0 ] || { echo "mutants: not caught: ${survivors[*]}" >&2; exit 1; }
echo "mutants: ok"
