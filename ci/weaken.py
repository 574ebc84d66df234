"""Finds where the orderings of the crates can be weakened, and weakens one.

A place is FILE:LINE:COLUMN:FROM:TO. AcqRel becomes Acquire, and Release; a fence goes away. Files without a model are in a table of
their own in docs/testing.md, and left out here.
"""

import pathlib
import re
import sys

FUNCTION = re.compile(r"\bfn (\w+)")
ORDERING = re.compile(r"fence\(Ordering::\w+\)|Ordering::(Acquire|Release|AcqRel|SeqCst)")
WEAKER = {"Acquire": ["Relaxed"], "Release": ["Relaxed"], "SeqCst": ["Relaxed"], "AcqRel": ["Acquire", "Release"]}


def models():
    """Returns the model files for each source, by the table in docs/testing.md."""
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


def everywhere():
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


def places():
    """Returns, for each place, the models that look at its file, and why none of them fails when it is weakened, or None."""
    looking, known = models(), survivors()
    found = [(place, weakening) for place, weakening in everywhere() if weakening[0] in looking]
    for weakening in known.keys() - {weakening for _, weakening in found}:
        sys.exit(f"weaken: loom-tests/mutants/survivors.txt names {' | '.join(weakening)}, which is not there")
    return {place: (looking[weakening[0]], known.get(weakening)) for place, weakening in found}


def weaken(tree, place):
    """Weakens one ordering in the file of that place below `tree`."""
    path, number, column, old, new = place.split(":")
    old = old.replace(".", ":")
    old, new = (old, "()") if new == "nothing" else ("Ordering::" + old, "Ordering::" + new)
    lines = (tree / path).read_text().split("\n")
    line, column = lines[int(number) - 1], int(column)
    if not line.startswith(old, column):
        sys.exit(f"weaken: there is no {old} any more")
    lines[int(number) - 1] = line[:column] + new + line[column + len(old) :]
    (tree / path).write_text("\n".join(lines))
