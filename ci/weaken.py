"""Weakens the orderings of the crates, one at a time: `weaken.py list` prints where it can, `weaken.py apply PLACE` does it.

A place is FILE:LINE:COLUMN:FROM:TO. With it come the models that look at that file, by the table in docs/testing.md, and, from
loom-tests/mutants/survivors.txt, why no model fails for it, if so. AcqRel becomes Acquire, and Release; a fence goes away. Files
without a model are in a table of their own there, and left out here.
"""

import pathlib
import re
import sys

ORDERING = re.compile(r"fence\(Ordering::\w+\)|Ordering::(Acquire|Release|AcqRel|SeqCst)")
WEAKER = {"Acquire": ["Relaxed"], "Release": ["Relaxed"], "SeqCst": ["Relaxed"], "AcqRel": ["Acquire", "Release"]}


def models():
    """Returns the model files for each source."""
    page = pathlib.Path("docs/testing.md").read_text()
    table = page[page.index("<!-- models -->") : page.index("<!-- end -->")]
    found = {}
    for row in table.splitlines():
        cells = row.split("|")
        if len(cells) > 3 and cells[3].strip().startswith("`"):
            for source in re.findall(r"`([^`]+)`", cells[2]):
                found.setdefault(source, []).append(cells[3].strip(" `").removesuffix(".rs"))
    return found


def survivors():
    """Returns the reason for each pair of a source and a weakened line that is known to survive."""
    known = {}
    for line in pathlib.Path("loom-tests/mutants/survivors.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            source, weakened, reason = (part.strip() for part in line.split(" ~ "))
            known[source, weakened] = reason
    return known


def weakened(line, column, old, new):
    """Returns the line with one ordering replaced."""
    old, new = (old, "()") if new == "nothing" else ("Ordering::" + old, "Ordering::" + new)
    if not line.startswith(old, column):
        sys.exit(f"weaken: there is no {old} any more")
    return line[:column] + new + line[column + len(old) :]


def places():
    """Yields each place, its source, and its line as it will be."""
    for path in sorted(pathlib.Path("crates").glob("*/src/**/*.rs")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("#[cfg(test)]"):
                break
            code = line.split("//")[0]
            if code.lstrip().startswith("use "):
                continue
            for match in ORDERING.finditer(code):
                old = match[1] or match[0]
                for new in WEAKER.get(match[1], ["nothing"]):
                    place = f"{path}:{number}:{match.start()}:{old.replace(':', '.')}:{new}"
                    source = str(path).removeprefix("crates/").replace("/src/", "/")
                    yield place, source, weakened(line, match.start(), old, new).strip()


if sys.argv[1:2] == ["list"]:
    looking, known, met = models(), survivors(), set()
    for place, source, line in places():
        if source in looking:
            print(place, " ".join(looking[source]), known.get((source, line), "-"), sep="\t")
            met.add((source, line))
    for source, line in known.keys() - met:
        sys.exit(f"weaken: loom-tests/mutants/survivors.txt names {line} of {source}, which is not there")
else:
    path, number, column, old, new = sys.argv[2].split(":")
    file = pathlib.Path(path)
    lines = file.read_text().split("\n")
    lines[int(number) - 1] = weakened(lines[int(number) - 1], int(column), old.replace(".", ":"), new)
    file.write_text("\n".join(lines))
