#!/usr/bin/env bash
# Checks that models and tests would see a mistake: ci/mutants.py says how. By default it runs three mutations, others each day.
# `mutants.sh --all` runs all (an hour, weekly), `mutants.sh NAME…` single ones: a patch by its name, the orderings of a file by a
# part of its path. `mutants.sh --logic CRATE [FILE [SHARD]]` makes the mutations of logic that cargo-mutants
# knows, in a crate, or in a file of it, or in a part of both (like 2/8): ci/logic.py, a quarter of an hour for a crate.
# Why: a model that has never failed proves nothing.
# Time: 4 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v patch >/dev/null || ! command -v python3 >/dev/null; then
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends patch python3 </dev/null >/dev/null
fi
exec python3 -Bu ci/mutants.py "$@"
