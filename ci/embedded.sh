#!/usr/bin/env bash
# Checks that firmware with all seven patterns runs: examples/embedded is built for a Cortex-M3, runs under QEMU, prints a line for
# each pattern and ends with the status it chose; first one with a wrong expectation, which must be reported. And that the code
# sizes in docs/embedded.md are right, by 20 % (`--write` renews them).
# Why: what compiles without std can still need an allocator, a clock or a wake-up that is not there.
# Time: 2 minutes, of which 1 builds core and alloc once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ci/debian-rust
debian_rust qemu-system-arm lld-19 binutils
page=docs/embedded.md log=$(mktemp)
trap 'rm -f "$log" "$log".*' EXIT

target=thumbv7m-none-eabi
export RUSTFLAGS="-Clinker=ld.lld-19 -Clink-arg=-Tlink.x" CARGO_TARGET_DIR=$PWD/target/embedded
build() { (cd examples/embedded && /usr/bin/cargo build --quiet --release --locked -Zbuild-std=core,alloc --target $target "$@"); }
emulate() {
    timeout 60 qemu-system-arm -cpu cortex-m3 -machine lm3s6965evb -nographic \
        -semihosting-config enable=on,target=native -kernel $CARGO_TARGET_DIR/$target/release/embedded </dev/null >"$log" 2>&1
}

echo "embedded: a wrong expectation"
build --features wrong
if emulate || ! grep -q 'panicked' "$log"; then
    cat "$log" >&2
    echo "embedded: a wrong expectation was not reported: this job proves nothing" >&2
    exit 1
fi
echo "embedded: all patterns"
build
emulate || { cat "$log" >&2; echo "embedded: the firmware ended with status $? (124: not within 60 s)" >&2; exit 1; }
cat "$log"
[ "$(grep -cE '^(semaphore|rate limiter|circuit breaker|concurrent map|worker pool|batch processor|pipeline): ' "$log")" = 7 ] ||
    { echo "embedded: not every pattern has had its say" >&2; exit 1; }

# Bytes of code by the crate that a symbol names; what the optimizer has put into main counts as the firmware's own.
nm -S -C -t d --size-sort $CARGO_TARGET_DIR/$target/release/embedded | awk '
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
