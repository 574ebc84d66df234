#!/usr/bin/env bash
# Checks that the benchmarks compile, in release, without warnings, and that each of them runs and fails no assertion of
# its own, and that docs/benchmarks has no other rows. Their figures are not looked at: a number from a shared machine says little.
# Why: benches are the first code an API change leaves behind.
# Time: about 3 minutes on a fresh clone (the crawler's dependencies are built in release, and serve crawler.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_PROFILE_RELEASE_DEBUG=0 # as in crawler.sh, which uses what is built here
# Warnings are found in the output, not denied by RUSTFLAGS, which would build every dependency twice.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo bench -p benches --no-run 2>&1 | tee "$log"
cargo build --release -p benches 2>&1 | tee -a "$log"
if grep -qE '^warning' "$log"; then
    echo "benches: there are warnings above" >&2
    exit 1
fi
rows=$(mktemp)
trap 'rm -f "$log" "$rows"' EXIT
timeout 300 target/release/compare --quick --tsv "$rows" >/dev/null ||
    { echo "benches: compare --quick failed" >&2; exit 1; }
listed=$(target/release/compare --list | grep -c '^ ') || true
measured=$(($(wc -l <"$rows") - 1)) # but the names of the columns
if [ "$measured" -ne "$listed" ] || [ "$listed" -eq 0 ]; then
    echo "benches: compare measured $measured rows of $listed" >&2
    exit 1
fi
names() { cut -f 1,3-5 "$@" | sort -u; }
renamed=$(comm -23 <(names docs/benchmarks/data/*.tsv) <(names "$rows"))
[ -z "$renamed" ] || { echo "benches: docs/benchmarks has figures of what is not measured any more: $renamed" >&2; exit 1; }
echo "benches: ok"
