#!/usr/bin/env bash
# Checks the rules of structure that a script can check: sizes, doors, the one file that knows the
# machine, unsafe, names, leftovers, that dependencies point down only, and what structure.py knows.
# Why: these are what keeps the workspace readable, and the first things a hurried change breaks.
# Every breach is printed as file:line: rule. Code is searched without its `//` comments.
# Time: 2 seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

breaches=$(mktemp)
code=$(mktemp -d) # the Rust files again, without comments, line for line
trap 'rm -rf "$breaches" "$code"' EXIT

breach() { printf '%s\n' "$1" >>"$breaches"; }

# Tracked files, and untracked ones that are not ignored; a file deleted but not yet committed is skipped.
mapfile -t files < <(git ls-files --cached --others --exclude-standard | while read -r f; do [ ! -f "$f" ] || echo "$f"; done)
mapfile -t strays < <(printf '%s\n' "${files[@]}" | grep -oE '^(.*/)?target/' | sort -u)
for f in ${strays[@]+"${strays[@]}"}; do breach "$f:1: a build folder that git does not ignore"; done
mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -vE '(^|/)target/')
mapfile -t rust < <(printf '%s\n' "${files[@]}" | grep '\.rs$')
[ ${#rust[@]} -gt 0 ] || { echo "structure: git lists no Rust file here" >&2; exit 1; }
for f in "${rust[@]}"; do
    mkdir -p "$code/${f%/*}"
    sed -E 's@(^|[[:space:]])//.*@@' "$f" >"$code/$f"
done

# search DIR RULE TEXT PATHS [EXCEPT]: in files below DIR whose path matches PATHS, no line may match TEXT.
search() {
    local dir=$1 rule=$2 text=$3 paths=$4 except=${5:-^$} file line _
    while IFS=: read -r file line _; do
        breach "$file:$line: $rule"
    done < <({ printf '%s\n' "${files[@]}" | grep -E "$paths" | grep -vE "$except" || true; } |
        (cd "$dir" && xargs -r -d '\n' grep -InHE -e "$text" 2>>"$breaches"))
}
in_code() { search "$code" "$@"; }
in_text() { search . "$@"; }

# longest LINES FILE: the file exists and is no longer than that.
longest() {
    if [ ! -f "$2" ]; then
        breach "$2:1: is missing"
    elif [ "$(wc -l <"$2")" -gt "$1" ]; then
        breach "$2:$(wc -l <"$2"): longer than $1 lines"
    fi
}

# demand LINE FILE: the file has exactly this line.
demand() { grep -qxF -- "$1" "$2" 2>/dev/null || breach "$2:1: lacks the line $1"; }

# Sizes, and what every crate says of itself.
for f in "${rust[@]}"; do longest 600 "$f"; done
longest 80 README.md
listed=$(grep -oE '(crates|benches|loom-tests|examples)/[A-Za-z0-9_/-]+\.rs' docs/unsafe.md 2>/dev/null | sort -u || true)
for manifest in crates/*/Cargo.toml; do
    crate=${manifest%/Cargo.toml}
    longest 60 "$crate/README.md"
    longest 80 "$crate/src/lib.rs"
    demand '#![no_std]' "$crate/src/lib.rs"
    demand '#![doc = include_str!("../README.md")]' "$crate/src/lib.rs"
    grep -q "^$crate/src/" <<<"$listed" || demand '#![forbid(unsafe_code)]' "$crate/src/lib.rs"
done
for f in $listed; do [ -f "$f" ] || breach "docs/unsafe.md:1: lists $f, which is not there"; done

# Doors: one file for each outside crate, and one manifest.
in_code 'event_listener belongs behind crates/core/src/event.rs' '\bevent_listener\b' '^crates/.*\.rs$' '^crates/core/src/event\.rs$'
in_code 'crossbeam_queue belongs behind crates/core/src/queue.rs' '\bcrossbeam_queue\b' '^crates/.*\.rs$' '^crates/core/src/queue\.rs$'
in_code 'quanta belongs behind crates/core/src/time/tsc.rs' '\bquanta::' '^crates/.*\.rs$' '^crates/core/src/time/tsc\.rs$'
in_code 'tokio belongs behind crates/core/src/time/tokio_clock.rs' '\btokio::' '^crates/core/src/.*\.rs$' '^crates/core/src/time/tokio_clock\.rs$'
in_code 'async_io belongs behind crates/core/src/time/async_io_clock.rs' '\basync_io::' '^crates/.*\.rs$' '^crates/core/src/time/async_io_clock\.rs$'
in_code 'embassy_time belongs behind crates/core/src/time/embassy_clock.rs' '\bembassy_time::' '^crates/.*\.rs$' '^crates/core/src/time/embassy_clock\.rs$'
in_code 'hashbrown belongs behind crates/concurrent-map/src' '\bhashbrown\b' '^crates/.*\.rs$' '^crates/concurrent-map/src/'
in_text 'only crates/core may depend on this crate' '^(event-listener|crossbeam-queue|portable-atomic)' '^crates/.*Cargo\.toml$' '^crates/core/'
in_text 'only crates/concurrent-map may depend on hashbrown' '^hashbrown' '^crates/.*Cargo\.toml$' '^crates/concurrent-map/'

# The machine: one file chooses between std, portable-atomic and loom; the others import from it.
primitive='^crates/core/src/primitive\.rs$'
in_code 'cfg(loom) belongs in crates/core/src/primitive.rs' '\bcfg.*\bloom\b|^[[:space:]]*(loom|not\(loom\)),?$' '^crates/[^/]*/src/.*\.rs$' "$primitive"
in_code 'portable_atomic belongs in crates/core/src/primitive.rs' '\bportable_atomic' '^crates/[^/]*/src/.*\.rs$' "$primitive"
in_code 'sync types come from tidegate_core::primitive' '\b(std|core|alloc)::(sync\b|\{.*\bsync\b)|^[[:space:]]*sync::' '^crates/[^/]*/src/.*\.rs$' "$primitive"
in_code 'unsafe in a file that docs/unsafe.md does not list' '\bunsafe\b' '\.rs$' "^ci/${listed:+|^(${listed//$'\n'/|})\$}"

# Names and leftovers. ([O] and the like keep this file from finding itself.)
for f in "${rust[@]}"; do
    [[ ! $f =~ (^|/)(utils?|helpers?|common|misc|internal)(/|\.rs$) ]] || breach "$f:1: named for nothing: ${BASH_REMATCH[2]}"
done
in_text 'leftover' '\b(TOD[O]|FIXM[E])\b' '\.(rs|toml|sh|yml)$'
in_code 'unfinished' '\b(todo|unimplemented)!' '\.rs$'
in_code 'an ignored test is a test that nobody runs' '#\[ignore\b|\bcfg_attr\(.*\bignore\b' '\.rs$'
in_code 'thread::sleep: use a manual clock, a barrier or a counting waker' '\bthread::(sleep|\{.*\bsleep)' '^(crates/[^/]*/src|(.*/)?tests|loom-tests)/.*\.rs$'
in_text 'a path of somebody'"'"'s machine' '(^|[^A-Za-z0-9_.-])/wor[k]/|[.][.]/share[d]\b|(^|[^A-Za-z0-9_)])[.]librar[y]\b' '.'

# Arrows: each crate of the workspace has a floor and may use (dev-dependencies apart) lower floors only.
# `cargo metadata` names a package by {"name":…,"version":… and a dependency by {"name":…,"source":….
cargo metadata --no-deps --format-version 1 |
    grep -oE '\{"name":"[^"]+",("version"|"source":[^,]*,"req":"[^"]*","kind":(null|"[a-z]+"))' |
    awk -F'"' '
        BEGIN {
            floor["tidegate-core"] = 0
            floor["tidegate-semaphore"] = floor["tidegate-concurrent-map"] = 1
            floor["tidegate-worker-pool"] = floor["tidegate-batch-processor"] = 1
            floor["tidegate-rate-limiter"] = floor["tidegate-circuit-breaker"] = 2
            floor["tidegate-pipeline"] = 3
            floor["tidegate"] = floor["tidegate-tower"] = floor["tidegate-metrics"] = 4
            floor["test-kit"] = 1
        }
        function height(name) { return (name in floor) ? floor[name] : 5 }
        $6 == "version" {
            user = $4
            if (user ~ /^tidegate-/ && !(user in floor)) print "ci/structure.sh:1: " user " has no floor; give it one"
        }
        $6 == "source" && $7 == ":null," && !/"kind":"dev"/ {
            # What is keyed uses the map; nothing else on the two lower floors looks sideways.
            allowed = height($4) < height(user) && (height(user) != 2 || $4 == "tidegate-core" || $4 == "tidegate-concurrent-map")
            if (!allowed) print "Cargo.toml:1: " user " must not depend on " $4 ": arrows point down"
        }' >>"$breaches"

python3 ci/structure.py >>"$breaches" || true

if [ -s "$breaches" ]; then
    sort -u "$breaches" >&2
    echo "structure: $(sort -u "$breaches" | wc -l) breaches" >&2
    exit 1
fi
echo "structure: ok"
