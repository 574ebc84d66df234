#!/usr/bin/env bash
# Checks the guarded web service of examples/web as its users see it: the page in headless Chromium, where charts move, buttons work by
# mouse and by keyboard and the console has no error, in light and in dark, on a desk and on a phone; and the drill, in its short form,
# which fails unless the guard keeps goodput and latency under four times the load, and the same service without it collapses.
# Leaves its screenshots in target/web/.
# Why: no other check opens the page, and what the guard is good for shows under load only.
# Time: 1 minute, and 2 to build it on a fresh clone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lacks() { ! command -v "$1" >/dev/null; }
if lacks chromium || lacks node || lacks npm; then
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium nodejs npm fonts-dejavu-core </dev/null >/dev/null
fi
place=$PWD/target/web
mkdir -p "$place"
[ -d "$place/node_modules/playwright-core" ] ||
    npm install --silent --no-audit --no-fund --prefix "$place" playwright-core@1.55.0 </dev/null

export CARGO_PROFILE_RELEASE_DEBUG=0 # as in benches.sh, whose dependencies these are
cargo build --release -p web
NODE_PATH=$place/node_modules timeout 120 node ci/web.js target/release/web "$place" </dev/null ||
    { echo "web: the page failed with status $? (124: not within 120 s)" >&2; exit 1; }
# What else a machine does may spoil a run; a guard that is good for nothing spoils all three.
for run in 1 2 3; do
    timeout 60 target/release/web drill --short </dev/null && break
    echo "web: run $run of the drill failed (not within 60 s, or see above)" >&2
    [ "$run" -lt 3 ] || exit 1
done
echo "web: ok"
