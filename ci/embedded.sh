#!/usr/bin/env bash
# Checks that firmware with the patterns runs: examples/embedded is built for a Cortex-M3, with all seven, and for a Cortex-M0, with
# the five that need no compare-and-swap, runs under QEMU, prints a line for each pattern and ends with the status it chose; first
# one with a wrong expectation, which must be reported. And that the code sizes in docs/embedded.md are right, by 20 % (`--write`
# renews them).
# Why: what compiles without std can still need an allocator, a clock or a wake-up that is not there.
# Time: 2 minutes, of which 1 builds core and alloc once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/debian-rust
debian_rust qemu-system-arm lld-19 binutils
page=docs/embedded.md log=$(mktemp)
trap 'rm -f "$log" "$log".*' EXIT

export RUSTFLAGS="-Clinker=ld.lld-19 -Clink-arg=-Tlink.x" CARGO_TARGET_DIR=$PWD/target/embedded
m3=(thumbv7m-none-eabi cortex-m3) m0=(thumbv6m-none-eabi cortex-m0)
everywhere=(semaphore 'rate limiter' 'circuit breaker' 'concurrent map' 'batch processor')

# build TARGET OPTION…
build() { (cd examples/embedded && /usr/bin/cargo build --quiet --release --locked -Zbuild-std=core,alloc --target "$@"); }
# emulate TARGET PROCESSOR: the machine is that of a Cortex-M3; a Cortex-M0 in its place refuses what only the larger one can do.
emulate() {
    timeout 60 qemu-system-arm -cpu "$2" -machine lm3s6965evb -nographic \
        -semihosting-config enable=on,target=native -kernel "$CARGO_TARGET_DIR/$1/release/embedded" </dev/null >"$log" 2>&1
}
# passes TARGET PROCESSOR PATTERN…: it runs to its end, and these patterns, no others, have had their say.
passes() {
    local chip=("$1" "$2") said wanted
    shift 2
    echo "embedded: $# patterns on a ${chip[1]}"
    build "${chip[0]}"
    emulate "${chip[@]}" ||
        { cat "$log" >&2; echo "embedded: the firmware ended with status $? (124: not within 60 s)" >&2; exit 1; }
    cat "$log"
    said=$(sed -n 's/^\([a-z ]*\): .*/\1/p' "$log" | sort) wanted=$(printf '%s\n' "$@" | sort)
    [ "$said" = "$wanted" ] || { echo "embedded: not these patterns have had their say, but:"$'\n'"$said" >&2; exit 1; }
    grep -qx "$# patterns: ok" "$log" || { echo "embedded: no last line" >&2; exit 1; }
}

echo "embedded: a wrong expectation"
build "${m3[0]}" --features wrong
if emulate "${m3[@]}" || ! grep -q 'panicked' "$log"; then
    cat "$log" >&2
    echo "embedded: a wrong expectation was not reported: this job proves nothing" >&2
    exit 1
fi
passes "${m0[@]}" "${everywhere[@]}"
passes "${m3[@]}" "${everywhere[@]}" 'worker pool' pipeline

# Bytes of code by the crate that a symbol names; what the optimizer has put into main counts as the firmware's own.
nm -S -C -t d --size-sort "$CARGO_TARGET_DIR/${m3[0]}/release/embedded" | awk '
    tolower($3) == "t" {
        crate = "other"
        if (match($0, /tidegate_[a-z_]*/)) crate = substr($0, RSTART, RLENGTH)
        else if (match($0, /embedded::/)) crate = "the firmware itself"
        else if (match($0, /event_listener|crossbeam_queue|hashbrown/)) crate = substr($0, RSTART, RLENGTH)
        sum[crate] += $2
    }
    END { for (crate in sum) print crate "\t" sum[crate] }' | sort >"$log.sizes"
if [ "${1-}" = --write ]; then
    {
        sed '/<!-- sizes -->/q' "$page"
        printf '| crate | bytes |\n| --- | --- |\n'
        sed 's/^\(.*\)\t\(.*\)$/| `\1` | \2 |/' "$log.sizes"
        sed -n '/<!-- end -->/,$p' "$page"
    } >"$log.page"
    cat "$log.page" >"$page"
fi
while IFS=$'\t' read -r crate bytes; do
    said=$(sed -n "/<!-- sizes -->/,/<!-- end -->/s/^| \`$crate\` | \([0-9]*\) |\$/\1/p" "$page")
    [ -n "$said" ] && [ $((bytes * 100)) -le $((said * 120)) ] && [ $((bytes * 100)) -ge $((said * 80)) ] ||
        { echo "embedded: $crate has $bytes bytes of code, $page says ${said:-nothing}: ci/embedded.sh --write" >&2; exit 1; }
done <"$log.sizes"
echo "embedded: ok"
