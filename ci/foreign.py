"""Compares the table "what foreign code may run where" of docs/testing.md with the tree, both ways.

A scan finds, file by file, the kinds of foreign code that can run there: by trait bounds, by what is done with wakers, by what
is dropped, and by calls of the one catcher. Each kind in each file has a row, or a reason why none of it runs; each row and each
reason is of a kind that the scan finds there; each test that is named is there. `--scan` prints what is found.
"""

import pathlib
import re
import sys

PAGE = pathlib.Path("docs/testing.md")

# Where a bound stands: after a single colon, a plus, `impl` or `dyn`; what a function returns is ours.
BOUND = r"(?:(?<!:):\s*|\+\s*|(?<!->\s)\bimpl\s+|\bdyn\s+)(?:\?Sized\s*\+\s*)?(?:for<[^>]*>\s*)?(?:\w+::)*(?:{})\b(?!\s+for\b)"
KINDS = {
    "closure": BOUND.format("Fn|FnMut|FnOnce"),
    "future": BOUND.format("Future|IntoFuture"),
    "stream": BOUND.format("Stream"),
    "iterator": BOUND.format("Iterator|IntoIterator|ExactSizeIterator|DoubleEndedIterator"),
    "hash": BOUND.format("Hash|BuildHasher|Hasher|Equivalent"),
    "eq": BOUND.format("Eq|PartialEq|Equivalent"),
    "ord": BOUND.format("Ord|PartialOrd"),
    "clone": BOUND.format("Clone|ToOwned"),
    "default": BOUND.format("Default"),
    "clock": BOUND.format("Clock|Timer"),
    "observer": BOUND.format("Observer"),
    "gate": BOUND.format("Gate|OwnedGate|Pass"),
    "classification": BOUND.format("Classify|Classifier|SettleBy"),
    "condition": BOUND.format("Condition"),
    "handler": BOUND.format("Handler"),
    "io": BOUND.format("AsyncRead|AsyncWrite|Read|Write"),
    "report": BOUND.format("Report"),
    "serde": BOUND.format("Serialize|Deserialize|Visitor"),
    "error": BOUND.format("Error|Display"),
    "waker": r"\bWaker\b|\bwaker\(\)|\bwake_by_ref\b|\.wake\(\)",
    "drop": r"(?<!fn )\bdrop\(",
    "catcher": r"\b(?:contain|attempt|catch|bury|in_drop|drop_each|each)\(|\b(?:Foreign|DropEach|Contained)\b",
}


def code(text):
    """The text without comments, strings and private tests."""
    text = re.split(r"^#\[cfg\((?:all\()?(?:loom, )?test\b[^\n]*\n(?:#\[[^\n]*\n)*mod ", text, flags=re.M)[0]
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    # Imports name a trait and bind nothing.
    return re.sub(r"^(?:pub )?use [^;]*;", "", text, flags=re.M)


def scan():
    found = set()
    for path in sorted(pathlib.Path("crates").glob("*/src/**/*.rs")):
        if path.name == "tests.rs":
            continue
        name = str(path).removeprefix("crates/").replace("/src/", "/")
        text = code(path.read_text(encoding="utf-8"))
        for kind, pattern in KINDS.items():
            if re.search(pattern, text):
                found.add((name, kind))
    return found


def rows(mark):
    page = PAGE.read_text(encoding="utf-8")
    table = re.search(rf"<!-- {mark} -->\n(.*?)<!-- end -->", page, flags=re.S)
    if not table:
        sys.exit(f"foreign: {PAGE} has no table {mark}")
    lines = [line for line in table[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def tests():
    sources = [*pathlib.Path("crates").glob("*/**/*.rs"), *pathlib.Path("loom-tests").glob("*/*.rs")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources if "target" not in path.parts)
    return set(re.findall(r"#\[test\]\n(?:\s*#\[[^\n]*\n)*\s*fn (\w+)", text))


def main():
    found, faults = scan(), []
    if sys.argv[1:] == ["--scan"]:
        files = sorted({file for file, _ in found})
        print("\n".join(f"{file}: {' '.join(sorted(kind for f, kind in found if f == file))}" for file in files))
        return
    known, names = set(), tests()
    for place, kinds, held, end, laws in rows("foreign"):
        files, kinds = quoted(place), kinds.split(", ")
        if not files or not held or not quoted(laws):
            faults.append(f"a row without a file, a lock or a test: {place}")
        if not re.match(r"(caught|guard|caller)\b", end):
            faults.append(f"{place}: what becomes of a panic begins with caught, guard or caller")
        for file in files:
            if not pathlib.Path("crates", file.replace("/", "/src/", 1)).is_file():
                faults.append(f"{file} is not there")
            elif not any(file == other for other, _ in found):
                faults.append(f"{file} runs no foreign code that the scan finds")
            known.update((file, kind) for kind in kinds)
            if end.startswith("caught") and "caught by" not in end:
                known.add((file, "catcher"))
        for kind in kinds:
            if kind not in KINDS:
                faults.append(f"{place}: {kind} is no kind of foreign code")
            elif kind != "drop" and not any((file, kind) in found for file in files):
                faults.append(f"{place}: the scan finds no {kind} there")
        faults += [f"{place}: no test is called {law}" for law in quoted(laws) if law not in names]
    for place, kinds, why in rows("foreign-none"):
        for file in quoted(place):
            for kind in kinds.split(", "):
                if (file, kind) not in found:
                    faults.append(f"{file} has a reason for {kind}, which the scan does not find there")
                if (file, kind) in known:
                    faults.append(f"{file} has a row and a reason for {kind}")
                known.add((file, kind))
        if not why:
            faults.append(f"{place}: no reason")
    missing = sorted(found - known)
    faults += [f"{file}: {kind} has neither a row nor a reason in {PAGE}" for file, kind in missing]
    for fault in faults:
        print(f"foreign: {fault}", file=sys.stderr)
    if faults:
        sys.exit(f"foreign: {len(faults)} faults")
    print(f"foreign: {len(rows('foreign'))} rows, {len(found)} kinds in files: ok")


main()
