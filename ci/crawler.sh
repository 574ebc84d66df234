#!/usr/bin/env bash
# Checks the main job by doing it: 300 pages crawled from the built-in server, faults injected, on threads,
# on tokio and on smol; then a search in the database must find something.
# Why: the crawler uses all seven patterns together, and a newcomer runs it first.
# Time: 1 minute, and 3 to build it on a fresh clone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_PROFILE_RELEASE_DEBUG=0 # as in benches.sh, whose dependencies these are
cargo build --release -p crawler
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
crawler() { timeout 180 cargo run --quiet --release -p crawler -- "$@" </dev/null; }

for executor in threads tokio smol; do
    db=$place/$executor.db
    echo "crawler: 300 pages on $executor"
    crawler --max-pages 300 --quiet --executor "$executor" --db "$db" ||
        { echo "crawler: the crawl on $executor ended with status $? (124: after 180 s)" >&2; exit 1; }
    hits=$(crawler search mutex --db "$db") || { echo "crawler: the search on $executor's database failed" >&2; exit 1; }
    [[ ${hits,,} == *mutex* && $hits == *http* ]] || { echo "crawler: no hit for 'mutex' after the crawl on $executor" >&2; exit 1; }
    head -n 3 <<<"$hits"
done
echo "crawler: ok"
