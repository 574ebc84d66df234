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
    "verdict": BOUND.format("Verdict|Classifier"),
    "condition": BOUND.format("Condition"),
    "handler": BOUND.format("Handler"),
    "io": BOUND.format("AsyncRead|AsyncWrite|Read|Write"),
    "serde": BOUND.format("Serialize|Deserialize|Visitor"),
    "error": BOUND.format("Error|Display"),
    "waker": r"\bWaker\b|\bwaker\(\)|\bwake_by_ref\b|\.wake\(\)",
    "drop": r"(?<!fn )\bdrop\(",
    "catcher": r"\b(?:contain|attempt|catch|bury|in_drop|drop_each|each)\(|\bForeign\b",
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
if __name__ == "__main__" and sys.argv[1:] == ["--scan"]:
    by={}
    for f,k in scan(): by.setdefault(f,[]).append(k)
    for f in sorted(by): print(f, ' '.join(sorted(by[f])))
