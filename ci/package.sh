#!/usr/bin/env bash
# Checks that the crates can be published, and what they promise: `cargo package` builds each from its archive, which has its
# licences; the public items, and the foreign types among them, are those of ci/public-api (`--write` renews it); docs build as on
# docs.rs; every dependency has a licence from the list in deny.toml.
# Known vulnerabilities are for `cargo deny check`, by hand: their list is not in the registry, so not at hand here.
# Why: what is missing in an archive, or became public by accident, is found by the first user otherwise.
# Time: 2 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! command -v python3 >/dev/null; then
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 </dev/null >/dev/null
fi
mapfile -t crates < <(sed -n 's/^name = "\(tidegate.*\)"/\1/p' crates/*/Cargo.toml)

echo "package: ${crates[*]}"
# What cargo has unpacked and built of an earlier run from this place, it would take for what is packaged now: versions and path are the same.
rm -rf target/package "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/tidegate*
cargo package --quiet --allow-dirty --target-dir target/package "${crates[@]/#/-p}"
for crate in "${crates[@]}"; do
    files=$(cargo package --quiet --allow-dirty --list -p "$crate")
    for file in LICENSE-MIT LICENSE-APACHE README.md; do
        grep -qx "$file" <<<"$files" || { echo "package: $crate's archive has no $file" >&2; exit 1; }
    done
done

# rustdoc's JSON and docs.rs's cfg are nightly's: a stable compiler opens them so.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target/package
for crate in "${crates[@]}"; do
    cargo rustdoc --quiet -p "$crate" --lib --all-features -- -Zunstable-options --output-format json --cap-lints allow
    list=ci/public-api/$crate.txt
    python3 ci/public-api.py "target/package/doc/${crate//-/_}.json" >target/package/list
    if [ "${1-}" = --write ]; then
        cp target/package/list "$list"
    elif ! diff "$list" target/package/list; then
        echo "package: the public items of $crate are not those of $list; if that is meant: ci/package.sh --write" >&2
        exit 1
    fi
done
RUSTDOCFLAGS="-D warnings --cfg docsrs" cargo doc --quiet --no-deps --all-features "${crates[@]/#/-p}"

# A choice (`OR`) needs one licence of the list, a sum (`AND`) needs all. Of what the crates bring along: benchmarks are not shipped.
cargo tree --quiet -e normal,build --all-features --target all --prefix none --format '{p}|{l}' "${crates[@]/#/-p}" |
    grep -v '^tidegate' | sed 's/ (\*)$//' | sort -u | python3 -c '
import re, sys, tomllib
allowed = set(tomllib.load(open("deny.toml", "rb"))["licenses"]["allow"])
def good(text):
    text = re.sub(r"\(([^()]*)\)", lambda inner: "MIT" if good(inner[1]) else "no", text.replace("/", " OR ").strip())
    return any(all(part.strip() in allowed for part in choice.split(" AND ")) for choice in text.split(" OR "))
lines = [line.strip().partition("|") for line in sys.stdin if line.strip()]
bad = [(name, licence) for name, _, licence in lines if not good(licence)]
for name, licence in bad: print(f"package: {name} has the licence {licence or None}", file=sys.stderr)
print(f"package: {len(lines)} dependencies, their licences are allowed" if lines and not bad else "package: not allowed")
sys.exit(bool(bad) or not lines)'
echo "package: ok"
