#!/usr/bin/env bash
# Checks that no synchronization path is without a model: every file in crates/*/src with an atomic, a Lock, an Event, a WaitList
# or something else that orders threads is named in docs/testing.md, by a row of the table of models or, with the reason, of the
# table of files without one; and that what both tables say is so.
# Why: a path that is added without a model is a path that nobody has checked, and nothing else would say so.
# `--write` renews what the table counts: the models of each file, and the seconds they took in the last run of loom.sh.
# Time: 1 second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
page=docs/testing.md log=target/loom/seconds models=loom-tests/tests
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
fault() { echo "loom-coverage: $*" >&2; echo fault >>"$found/faults"; }

# What orders threads, in code: neither in comments, nor in `use` lines alone, nor in the file's unit tests.
words='Atomic[A-Z][A-Za-z0-9]*|Ordering::(Relaxed|Acquire|Release|AcqRel|SeqCst)|\b(Lock|Event|WaitList|Turnstile|Waiter|UnsafeCell|RingOrModel|RwShards|OnceLock)\b|\bfence\('
find crates/*/src -name '*.rs' | sort | while read -r file; do
    code=$(awk '/^mod tests \{/ { exit } /^(pub )?use / { skip = 1 } !skip && !/^ *(\/\/|#\[)/ { print } /;$/ { skip = 0 }' "$file")
    if grep -qE "$words" <<<"$code"; then echo "${file#crates/}"; fi
done | sed 's|/src/|/|' >"$found/files"

# The rows between two marks of the page, without the head: cells are separated by tabs.
rows() { sed -n "/<!-- $1 -->/,/<!-- end -->/p" "$page" | grep '^|' | tail -n +3 | sed 's/^| *//; s/ *|$//; s/ *| */\t/g'; }
rows models >"$found/models"
rows "no models" >"$found/reasons"
[ -s "$found/models" ] || fault "no table of models in $page"

names() { grep -o '`[^`]*`' | tr -d '`' || true; }
cut -f 2 "$found/models" | names | sort -u >"$found/named"
cut -f 1 "$found/reasons" | names | sort -u >"$found/excused"
while read -r file; do
    grep -qxF "$file" "$found/named" "$found/excused" || fault "$file orders threads, and no row of $page names it"
done <"$found/files"
cat "$found/named" "$found/excused" | sort | while read -r file; do
    grep -qxF "$file" "$found/files" || fault "$page names $file, which is not there or orders nothing"
done
comm -12 "$found/named" "$found/excused" | while read -r file; do fault "$file has a model and a reason for none"; done

# Models in a file: its tests, and for each subject twelve laws and five of hostile executors.
count() { echo $(($(grep -c '^ *#\[test\]' "$1") + 17 * $(grep -c '^laws_of_waiting!' "$1"))); }
for file in "$models"/*.rs; do
    name=$(basename "$file")
    grep -q '^#!\[cfg(not(loom))\]' "$file" && continue
    cut -f 3 "$found/models" | grep -qF "\`$name\`" || fault "no row of $page names the models of $file"
done
while IFS=$'\t' read -r _ _ name number _; do
    name=$(tr -d '`' <<<"$name")
    if [ ! -f "$models/$name" ]; then fault "$page names $models/$name, which is not there"; continue; fi
    is=$(count "$models/$name")
    echo "$name $is $(awk -v name="$name" '$1 == name { print $2 }' "$log" 2>/dev/null || true)" >>"$found/counts"
    [ "${1-}" = --write ] || [ "$is" = "$number" ] ||
        fault "$models/$name has $is models, $page says $number: ci/loom-coverage.sh --write"
done <"$found/models"

if [ "${1-}" = --write ]; then
    awk -F ' *\\| *' -v OFS=' | ' '
        NR == FNR { split($0, row, " "); is["`" row[1] "`"] = row[2]; took["`" row[1] "`"] = row[3]; next }
        /<!-- models -->/ { inside = 1 } /<!-- end -->/ { inside = 0 }
        inside && ($4 in is) {
            print "| " $2, $3, $4, is[$4], $6, $7, (took[$4] == "" ? $8 : took[$4]) " |"
            next
        }
        { print }' "$found/counts" "$page" >"$found/page"
    cat "$found/page" >"$page"
fi

# How many executions each model had in the last run.
python3 ci/executions.py tables "${1-}" || fault "see above"

[ ! -e "$found/faults" ] || { echo "loom-coverage: $(wc -l <"$found/faults") faults" >&2; exit 1; }
echo "loom-coverage: $(wc -l <"$found/files") files that order threads, $(wc -l <"$found/models") files of models"
