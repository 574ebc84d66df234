"""Weakens the orderings of the crates, one at a time: `weaken.py list` prints where it can, `weaken.py apply PLACE` does it.

A place is FILE:LINE:COLUMN:FROM:TO. With it come the models that look at that file, by the table in docs/testing.md, and, from
loom-tests/mutants/survivors.txt, why no model fails for it, or a dash. AcqRel becomes Acquire, and Release; a fence goes away. Files
without a model are in a table of their own there, and left out here.
"""

import pathlib
import re
import sys

FUNCTION = re.compile(r"\bfn (\w+)")
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
    """Returns the reason for each weakening that is known to survive: source, function, from what and to what."""
    known = {}
    for line in pathlib.Path("loom-tests/mutants/survivors.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            *weakening, reason = (part.strip() for part in line.split("|"))
            known[tuple(weakening)] = reason
    return known


def weakened(line, column, old, new):
    """Returns the line with one ordering replaced."""
    old, new = (old, "()") if new == "nothing" else ("Ordering::" + old, "Ordering::" + new)
    if not line.startswith(old, column):
        sys.exit(f"weaken: there is no {old} any more")
    return line[:column] + new + line[column + len(old) :]


def places():
    """Yields each place, and what is weakened there as `survivors` names it."""
    for path in sorted(pathlib.Path("crates").glob("*/src/**/*.rs")):
        source, function = str(path).removeprefix("crates/").replace("/src/", "/"), "-"
        # The unit tests are the end of a file.
        text = path.read_text().split("\n#[cfg(test)]\nmod tests {")[0]
        for number, line in enumerate(text.splitlines(), 1):
            code = line.split("//")[0]
            if found := FUNCTION.search(code):
                function = found[1]
            if code.lstrip().startswith("use "):
                continue
            for match in ORDERING.finditer(code):
                old = match[1] or match[0]
                for new in WEAKER.get(match[1], ["nothing"]):
                    place = f"{path}:{number}:{match.start()}:{old.replace(':', '.')}:{new}"
                    yield place, (source, function, old.replace("Ordering::", ""), new)


if sys.argv[1:2] == ["list"]:
    looking, known, met = models(), survivors(), set()
    for place, weakening in places():
        if weakening[0] in looking:
            print(place, " ".join(looking[weakening[0]]), known.get(weakening, "-"), sep="\t")
            met.add(weakening)
    for weakening in known.keys() - met:
        sys.exit(f"weaken: loom-tests/mutants/survivors.txt names {' | '.join(weakening)}, which is not there")
else:
    path, number, column, old, new = sys.argv[2].split(":")
    file = pathlib.Path(path)
    lines = file.read_text().split("\n")
    lines[int(number) - 1] = weakened(lines[int(number) - 1], int(column), old.replace(".", ":"), new)
    file.write_text("\n".join(lines))
