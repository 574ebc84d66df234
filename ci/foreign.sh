#!/usr/bin/env bash
# Checks the table "what foreign code may run where" of docs/testing.md against the tree: each kind of foreign code (closures, futures,
# streams, iterators, `Hash`, `Eq`, `Ord`, `Clone`, clocks, observers, gates, wakers, destructors, calls of the catcher) that a scan finds in
# a file has its row, with a test that panics there, or its reason; each row and each reason is of what is there. `--scan` prints what the
# scan finds.
# Why: a place that nobody has listed is a place where nobody has tried a panic.
# Time: 1 second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! command -v python3 >/dev/null; then
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 </dev/null >/dev/null
fi
exec python3 ci/foreign.py "$@"
