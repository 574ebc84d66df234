#!/usr/bin/env bash
# Checks the models: loom runs every interleaving of loom-tests, up to a number of preemptions.
# Why: an interleaving that loses a wake-up may come once in a month on a real machine, and here each time.
# Time: a few minutes with 2 preemptions; with `--long` (3 preemptions, run weekly) up to an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
    "") preemptions=2 ;;
    --long) preemptions=3 ;;
    *) echo "loom: unknown argument $1; usage: ci/loom.sh [--long]" >&2; exit 2 ;;
esac
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-$preemptions}
unset LOOM_LOG LOOM_CHECKPOINT_FILE LOOM_MAX_BRANCHES
echo "loom: at most $LOOM_MAX_PREEMPTIONS preemptions"

# tokio and its like do not compile under --cfg loom: loom-tests depends on crates/* alone.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p loom-tests --tests 2>&1 | tee "$log" ||
    { echo "loom: a model failed, see above" >&2; exit 1; }
grep -qE '^running [1-9]' "$log" || { echo "loom: not one model was run" >&2; exit 1; }
# For the table in docs/testing.md, which loom-coverage.sh writes.
awk '/Running tests\// { sub(".*tests/", ""); file = $1 } /finished in/ && file { sub("s$", ""); print file, $NF; file = "" }' \
    "$log" >target/loom/seconds
echo "loom: ok"
