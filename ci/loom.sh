#!/usr/bin/env bash
# Checks the models: loom runs every interleaving of loom-tests, up to a number of preemptions.
# Why: an interleaving that loses a wake-up may come once in a month on a real machine, and here each time.
# A model that has fewer than four executions fails the run, unless it says why (`short_model`): threads do not meet in it.
# `loom.sh NAME…` runs single files of loom-tests/tests.
# Time: a few minutes with 2 preemptions; with `--long` (3 preemptions, run weekly) up to an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preemptions=2 files=()
for argument in "$@"; do
    case "$argument" in
        --long) preemptions=3 ;;
        -*) echo "loom: unknown argument $argument; usage: ci/loom.sh [--long] [NAME…]" >&2; exit 2 ;;
        *) files+=("--test=$argument") ;;
    esac
done
is_usual=$([ -n "${LOOM_MAX_PREEMPTIONS-}" ] || [ $preemptions -ne 2 ] || echo yes)
export CARGO_PROFILE_RELEASE_DEBUG=0 # halves the time of the build
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-$preemptions}
unset LOOM_LOG LOOM_CHECKPOINT_FILE LOOM_MAX_BRANCHES
echo "loom: at most $LOOM_MAX_PREEMPTIONS preemptions"
if ! command -v python3 >/dev/null; then
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 </dev/null >/dev/null
fi

# tokio and its like do not compile under --cfg loom: loom-tests depends on crates/* and test-kit alone.
log=$(mktemp)
export LOOM_EXECUTIONS=$log.executions
trap 'rm -f "$log" "$log.executions"' EXIT
: >"$LOOM_EXECUTIONS"
[ ${#files[@]} -gt 0 ] || files=(--tests)
status=0
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release --no-fail-fast -p loom-tests "${files[@]}" 2>&1 | tee "$log" || status=$?
# For the tables in docs/testing.md, which loom-coverage.sh writes.
if [ -n "$is_usual" ]; then
    touch target/loom/seconds
    awk '/Running tests\// { sub(".*tests/", ""); file = $1 } /finished in/ && file { sub("s$", ""); print file, $NF; file = "" }' \
        "$log" >"$log.seconds"
    awk 'NR == FNR { took[$1]; print; next } !($1 in took)' "$log.seconds" target/loom/seconds | sort >"$log.all"
    mv "$log.all" target/loom/seconds
    rm "$log.seconds"
    python3 ci/executions.py keep "$LOOM_EXECUTIONS"
fi
[ $status -eq 0 ] || { echo "loom: a model failed, see above" >&2; exit 1; }
grep -qE '^running [1-9]' "$log" || { echo "loom: not one model was run" >&2; exit 1; }
python3 ci/executions.py check "$LOOM_EXECUTIONS" "$log" || { echo "loom: there are models that prove nothing" >&2; exit 1; }
echo "loom: ok, $(wc -l <"$LOOM_EXECUTIONS") models"
