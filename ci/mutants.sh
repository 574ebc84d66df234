#!/usr/bin/env bash
# Checks that models and tests would see a mistake. Each patch in loom-tests/mutants makes one (a look or a wake-up left out, two steps
# exchanged, a bound off by one), and the model, or the ordinary test, that it names in its first line must fail then. And each
# ordering in a file with models is weakened, and each fence taken away (ci/weaken.py): a model that looks at the file must fail, unless
# loom-tests/mutants/survivors.txt says why none can.
# Why: a model that has never failed proves nothing.
# Only an assertion that fails counts, or the deadlock that loom reports. A crash, memory or time that has run out, and a search that is
# given up prove nothing: they fail the run, unless survivors.txt says why it is so, beginning with "inconclusive:".
# All patches must apply. Some of them are run, and some orderings, others each day; `mutants.sh --all` runs all (an hour, weekly), and
# `mutants.sh NAME…` runs single ones: a patch by its name, the orderings of a file by a part of its path.
# `mutants.sh --logic CRATE [FILE [SHARD]]` makes every mutation of logic that cargo-mutants knows, in a crate, or in a file of it, or in a
# part of both (like 2/8), and runs the tests of that crate: loom-tests/mutants/logic.txt has those that survive, with their reasons. They are
# all compiled in at once (ci/schemata.py), so that takes a quarter of an hour for a crate; a run that was ended goes on where it was.
# Time: 4 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
patches=loom-tests/mutants sample=1
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
    --logic) exec python3 ci/logic.py "${@:2}" ;;
    "")
        chosen=() modelled=() tested=()
        for name in "${all[@]}"; do
            if [[ $(head -n 1 "$patches/$name.patch") == */* ]]; then tested+=("$name"); else modelled+=("$name"); fi
        done
        day=$(($(date +%s) / 86400))
        for n in $(seq $sample); do
            for list in modelled weakenable tested; do
                declare -n of=$list
                chosen+=("${of[(day * sample + n) % ${#of[@]}]}")
            done
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

export LOOM_MAX_PREEMPTIONS=2 CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_RELEASE_DEBUG=0 RUST_BACKTRACE=0
export CARGO_TARGET_DIR=$PWD/target/mutants
unset LOOM_LOG LOOM_CHECKPOINT_FILE LOOM_MAX_BRANCHES LOOM_EXECUTIONS
tree=$CARGO_TARGET_DIR/tree
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z | xargs -0 tar -cf - | tar -xmf - -C "$tree" # with new times: what an earlier run left is mutated
# tests FILE [NAME [OPTION]]: builds tests and runs them in the copy: models of loom-tests, or, where FILE is CRATE/FILE, a crate's own tests. What
# does not compile is an error.
tests() {
    local arguments=(-p loom-tests --release "--test=$1")
    local flags="--cfg loom"
    local names=("${@:2}")
    if [[ $1 == */* ]]; then
        local crate=${1%/*} file=${1#*/}
        flags=
        arguments=(-p "tidegate-$crate" "--test=$file")
        if [ "$file" = lib ]; then
            arguments[2]=--lib
        elif [ -f "$tree/crates/$crate/tests/it/$file.rs" ]; then
            arguments[2]=--test=it
            [ $# -eq 1 ] || names[0]=$file::$2
        fi
    fi
    (cd "$tree" && RUSTFLAGS=$flags cargo test "${arguments[@]}" --no-run) >"$log" 2>&1 ||
        { cat "$log" >&2; echo "mutants: $name does not compile" >&2; exit 1; }
    [ $# -eq 1 ] || arguments+=(-- --exact "${names[@]}")
    (cd "$tree" && RUSTFLAGS=$flags timeout 180 cargo test "${arguments[@]}") >"$log" 2>&1
}
# asserts: whether the log has a test that has failed by a panic of its own. Loom panics, too, when it gives a search up.
asserts() {
    awk '
        /^---- .* stdout ----$/ { name = $2; gave_up[name] = 0 }
        /^Model exce+ded maximum number of/ || /execution appears to be in an infinite loop/ { gave_up[name] = 1 }
        /^test .* \.\.\. FAILED$/ { failed[$2] }
        END { for (name in failed) if (name in gave_up && !gave_up[name]) found = 1; exit !found }' "$log"
}
# asserts_first FILE NAME: whether a test that aborted did so while it unwound from a failed assertion, or from the deadlock that loom
# reports. What an aborted test has printed is lost, so it runs once more.
asserts_first() {
    tests "$1" "$2" --nocapture && return 1
    awk '/panicked at / { getline; found = /^(deadlock; threads|assertion )/; exit } END { exit !found }' "$log"
}
declare -A sound
# outcome FILES [NAME], with the mutation made: says "caught by" what, "survived", or "inconclusive" and why.
outcome() {
    local status file answer=survived
    for file in $1; do
        status=0
        tests "$file" "${@:2}" || status=$?
        if asserts; then
            echo "caught by $(grep -oE '^test .* FAILED$' "$log" | head -n 1)"
            return
        fi
        if [ $status -eq 101 ] && [ $# -eq 2 ] && grep -q 'signal: 6' "$log" && asserts_first "$file" "$2"; then
            echo "caught by $2, which aborts while it unwinds"
            return
        fi
        case $status in
            0) ;;
            124) answer="inconclusive: $file finds no end" ;;
            *) answer="inconclusive: $file: $(grep -oE 'signal: .*|Model exce.*|memory allocation of.*|FAILED' "$log" | head -n 1 ||
                echo "status $status")" ;;
        esac
    done
    echo "$answer"
}
# must_pass FILES [NAME], without a mutation, once for each: else their failing proves nothing.
must_pass() {
    local file
    for file in $1; do
        [ -z "${sound[$file ${*:2}]-}" ] || continue
        tests "$file" "${@:2}" && grep -qE '^test result: ok. [1-9]' "$log" ||
            { cat "$log" >&2; echo "mutants: without a mutation these tests do not pass, or are not there: $file ${*:2}" >&2; exit 1; }
        sound[$file ${*:2}]=yes
    done
}

survivors=() unclear=() outdated=()
for name in "${chosen[@]}"; do
    if [[ $name == crates/* ]]; then
        IFS=$'\t' read -r _ looking reason < <(grep -F -- "$name"$'\t' <<<"$orderings")
        by=("$looking")
        must_pass "${by[@]}"
        cp "$tree/${name%%:*}" "$log.rs"
        (cd "$tree" && python3 ci/weaken.py apply "$name")
    else
        patch=$PWD/$patches/$name.patch reason=-
        read -r file model <"$patch"
        by=("$file" "$model")
        must_pass "${by[@]}"
        (cd "$tree" && patch -s -p1 <"$patch")
    fi
    became=$(outcome "${by[@]}")
    echo "mutants: $name: $became; asked were ${by[*]}; reason: $reason"
    case "$became/$reason" in
        caught*/-) ;;
        caught*) outdated+=("$name") ;;
        survived/- | survived/inconclusive:*) survivors+=("$name") ;;
        survived/*) ;;
        inconclusive*/inconclusive:*) ;;
        *) unclear+=("$name") ;;
    esac
    if [[ $name == crates/* ]]; then cat "$log.rs" >"$tree/${name%%:*}"; else (cd "$tree" && patch -s -R -p1 <"$patch"); fi
done
status=0
[ ${#outdated[@]} -eq 0 ] || { echo "mutants: caught, although survivors.txt says why it cannot be: ${outdated[*]}" >&2; status=1; }
[ ${#unclear[@]} -eq 0 ] || { echo "mutants: no assertion failed: ${unclear[*]}" >&2; status=1; }
[ ${#survivors[@]} -eq 0 ] || { echo "mutants: not caught: ${survivors[*]}" >&2; status=1; }
[ $status -eq 0 ] || exit $status
echo "mutants: ok"
