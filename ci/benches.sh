#!/usr/bin/env bash
# Checks that the benchmarks compile, in release, without warnings. It does not run them: a number
# from a shared machine says little.
# Why: benches are the first code an API change leaves behind.
# Time: about 3 minutes on a fresh clone (the crawler's dependencies are built in release, and serve crawler.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Warnings are found in the output, not denied by RUSTFLAGS, which would build every dependency twice.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo bench --workspace --no-run 2>&1 | tee "$log"
cargo build --release -p benches 2>&1 | tee -a "$log"
if grep -qE '^warning' "$log"; then
    echo "benches: there are warnings above" >&2
    exit 1
fi
echo "benches: ok"
