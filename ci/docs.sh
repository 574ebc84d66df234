#!/usr/bin/env bash
# Checks that what the documents name is there: every link to a file, every path, every test, law and function whose name has three
# words and more; that the table of mutations in docs/testing.md is that of loom-tests/mutants; that the mistakes in its table of what was found are
# those of CHANGELOG.md; that every script and every decision is listed; and that the plots of docs/benchmarks are those of their data.
# Why: a table that nobody compares with the tree is wrong within a month.
# `--write` makes the table of mutations and the plots anew.
# Time: 2 seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
page=docs/testing.md
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# matches ARGUMENTS: grep, to which nothing found is no failure.
matches() { grep "$@" || [ $? -eq 1 ]; }
fault() { echo "docs: $*" >&2; echo fault >>"$scratch/faults"; }

git ls-files --cached --others --exclude-standard | while read -r file; do [ ! -f "$file" ] || echo "$file"; done | sort >"$scratch/files"
sed 'p; s|/src/|/|' "$scratch/files" >"$scratch/paths"
mapfile -t pages < <(grep -E '\.md$' "$scratch/files" | grep -v '^fuzz/')
# Every word of what is no document.
grep -vE '\.md$|^fuzz/corpus/|\.lock$' "$scratch/files" | xargs -d '\n' grep -IhoE '[A-Za-z_][A-Za-z0-9_]*' -- | sort -u >"$scratch/words"

for file in "${pages[@]}"; do
    # Links to files.
    matches -oE '\]\([^)#:]+(#[^)]*)?\)' "$file" | sed -E 's/^\]\(//; s/(#[^)]*)?\)$//' | sort -u | while read -r link; do
        [ -e "$(dirname "$file")/$link" ] || fault "$file links to $link, which is not there"
    done
    matches -oE '`[^` ]+`' "$file" | tr -d '`' | sort -u >"$scratch/quoted"
    # Paths: the end of one is enough, and `src` may be left out.
    matches -E '^[A-Za-z0-9_./-]+\.(rs|sh|md|toml|patch)$' "$scratch/quoted" | while read -r path; do
        grep -qE "(^|/)${path//./\\.}$" "$scratch/paths" || fault "$file names the file $path, which is not there"
    done
    # Names of three words and more; the rest of one may be left out.
    matches -E '^[a-z0-9]+(_[a-z0-9]+){2,}(_?…)?$' "$scratch/quoted" | while read -r name; do
        case $name in
            *…) grep -q "^${name%%…*}" "$scratch/words" || fault "$file names $name, and nothing begins so" ;;
            *) grep -qxF "$name" "$scratch/words" || fault "$file names $name, which is not there" ;;
        esac
    done
done

for patch in loom-tests/mutants/*.patch; do
    read -r file model <"$patch"
    case $file in
        */lib) shown=${file%/*}/src/lib.rs ;;
        */*)
            shown=${file%/*}/tests/it/${file#*/}.rs
            [ -f "crates/$shown" ] || shown=${file%/*}/tests/${file#*/}.rs
            ;;
        *) shown=$file.rs ;;
    esac
    echo "| $(basename "$patch" .patch) | \`$shown\` | \`$model\` |"
    case $file in
        */lib) grep -rqE "fn ${model##*::}\b" "crates/${file%/*}/src" ;;
        */*) grep -rqE "fn ${model##*::}\b" "crates/$shown" ;;
        *) grep -qE "fn ${model##*::}\b" "loom-tests/tests/$file.rs" loom-tests/src/{laws,hostile}.rs ;;
    esac || fault "$patch names $model, which is not in $file"
done >"$scratch/mutants"
if [ "${1-}" = --write ]; then
    {
        sed '/<!-- mutants -->/q' "$page"
        printf '| mistake | file | model or test that fails |\n| --- | --- | --- |\n'
        cat "$scratch/mutants"
        sed -n '/<!-- mutants -->/,$p' "$page" | sed -n '/<!-- end -->/,$p'
    } >"$scratch/page"
    cat "$scratch/page" >"$page"
fi
rows() { sed -n "/<!-- $1 -->/,/<!-- end -->/p" "$page" | matches '^|' | tail -n +3; }
rows mutants | diff - "$scratch/mutants" >&2 || fault "the table of mutations in $page is not that of loom-tests/mutants: ci/docs.sh --write"

rows found | cut -d '|' -f 2 | tr -d '` ' | sort >"$scratch/found"
sed -n '/^### Fixed/,/^##* [^#]/p' CHANGELOG.md | tr '\n' ' ' | sed 's/ - `/\n&/g' | matches -oE '`[a-z_]+` *$' | tr -d '` ' | sort >"$scratch/fixed"
[ -s "$scratch/found" ] || fault "$page has no table of what was found"
diff "$scratch/found" "$scratch/fixed" >&2 || fault "what was found, in $page, is not what was fixed, in CHANGELOG.md"
while read -r law; do
    grep -rqE --include='*.rs' "fn $law\b" crates loom-tests examples || fault "no test and no law is called $law"
done <"$scratch/found"

for script in ci/*.sh; do
    grep -q "^| \`$(basename "$script")\`" ci/README.md || fault "ci/README.md has no row for $script"
done
for decision in docs/decisions/0*.md; do
    grep -qF "($(basename "$decision"))" docs/decisions/README.md || fault "docs/decisions/README.md does not list $decision"
done

python3 ci/benchmarks.py "$@" || fault "the pages of docs/benchmarks are not those of their data"

[ ! -e "$scratch/faults" ] || { echo "docs: $(wc -l <"$scratch/faults") faults" >&2; exit 1; }
echo "docs: ${#pages[@]} pages, $(wc -l <"$scratch/mutants") mutations, $(wc -l <"$scratch/found") mistakes found: ok"
