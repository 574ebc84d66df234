#!/usr/bin/env bash
# Checks that the models would see a mistake. Each patch in loom-tests/mutants takes away one look, one wake-up or the like, and the
# model that it names in its first line must fail then. And each ordering in a file with models is weakened, and each fence taken
# away (ci/weaken.py): a model that looks at the file must fail, unless loom-tests/mutants/survivors.txt says why none can.
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
mapfile -t weakenable < <(cut -f 1 <<<"$orderings")
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
echo "mutants: ${#all[@]} patches apply; ${#weakenable[@]} orderings can be weakened, $(grep -vcP '\t-$' <<<"$orderings" || true) of them with a reason why nobody sees it"
echo "mutants: to be run: ${chosen[*]}"

export RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 CARGO_INCREMENTAL=0 RUST_BACKTRACE=0
export CARGO_TARGET_DIR=$PWD/target/mutants
tree=$CARGO_TARGET_DIR/tree
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z | xargs -0 tar -cf - | tar -xmf - -C "$tree" # with new times: what an earlier run left is mutated
# tests ARGUMENTS: builds models and runs them in the copy. One that finds no end in time has failed; what does not compile is an error.
tests() {
    (cd "$tree" && cargo test --release -p loom-tests --no-run "$@") >"$log" 2>&1 ||
        { cat "$log" >&2; echo "mutants: $name does not compile" >&2; exit 1; }
    (cd "$tree" && timeout 180 cargo test --release -p loom-tests "$@") >"$log" 2>&1
}
declare -A sound
# is_caught ARGUMENTS, with the mutation made: whether a model fails.
is_caught() {
    local status=0
    tests "$@" || status=$?
    [ $status -ne 0 ] || return 1
    [ $status -eq 124 ] || grep -qE 'FAILED|panicked|signal: ' "$log" ||
        { cat "$log" >&2; echo "mutants: with $name the models end for another reason" >&2; exit 1; }
}
# must_pass ARGUMENTS, without a mutation, once for each: else their failing proves nothing.
must_pass() {
    [ -z "${sound[$*]-}" ] || return 0
    tests "$@" && grep -qE '^test result: ok. [1-9]' "$log" ||
        { cat "$log" >&2; echo "mutants: without a mutation these models do not pass, or are not there: $*" >&2; exit 1; }
    sound[$*]=yes
}

survivors=() outdated=()
for name in "${chosen[@]}"; do
    if [[ $name == crates/* ]]; then
        IFS=$'\t' read -r _ looking reason < <(grep -F -- "$name"$'\t' <<<"$orderings")
        read -ra models <<<"$looking"
        models=("${models[@]/#/--test=}")
        must_pass "${models[@]}"
        cp "$tree/${name%%:*}" "$log.rs"
        (cd "$tree" && python3 ci/weaken.py apply "$name")
    else
        patch=$PWD/$patches/$name.patch reason=-
        read -r file model <"$patch"
        models=("--test=$file" -- --exact "$model")
        must_pass "${models[@]}"
        (cd "$tree" && patch -s -p1 <"$patch")
    fi
    if is_caught "${models[@]}"; then
        echo "mutants: $name caught by ${models[*]#--test=}: $(grep -oE '^test .* FAILED$' "$log" | head -n 1 || true)"
        [ "$reason" = - ] || outdated+=("$name")
    else
        echo "mutants: $name SURVIVED ${models[*]#--test=}: $reason"
        [ "$reason" != - ] || survivors+=("$name")
    fi
    if [[ $name == crates/* ]]; then cat "$log.rs" >"$tree/${name%%:*}"; else (cd "$tree" && patch -s -R -p1 <"$patch"); fi
done
[ ${#outdated[@]} -eq 0 ] || { echo "mutants: caught, although survivors.txt says why it cannot be: ${outdated[*]}" >&2; exit 1; }
[ ${#survivors[@]} -eq 0 ] || { echo "mutants: not caught: ${survivors[*]}" >&2; exit 1; }
echo "mutants: ok"
