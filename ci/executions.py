"""Looks at how many executions each model has: `executions.py check RUN LOG` says what is wrong with a run of loom.sh, `keep RUN`
notes it for the tables, `tables` compares those of docs/testing.md with the tree, and `tables --write` makes them anew.

A run is a file with a line for each model: the file of tests, the test, the number of executions, and why they are so few.
"""

import collections
import pathlib
import re
import sys

FEWEST = 4
PAGE = pathlib.Path("docs/testing.md")
KEPT = pathlib.Path("target/loom/executions")
TESTS = pathlib.Path("loom-tests/tests")
LAWS = pathlib.Path("loom-tests/src/laws.rs").read_text()
# The laws of a subject, and then those of hostile executors, in the order of the macro.
LISTS = re.search(r"laws_of_waiting!\(@ .*?\{(.*?)\}(.*?)\);", LAWS, re.S)
OF_SUBJECT = re.findall(r"\w+", LISTS[2]) + ["hostile::" + name for name in re.findall(r"\w+", LISTS[1])]


def read(path):
    """Returns what a run says of each test of each file: numbers of executions and reasons, one for each model."""
    run = collections.defaultdict(lambda: collections.defaultdict(list))
    for line in path.read_text().splitlines():
        file, test, executions, why = line.split("\t")
        run[file][test].append((int(executions), why))
    return run


def check(run, log):
    """Yields what is wrong with a run of which cargo wrote `log`."""
    file = None
    for line in log.splitlines():
        if found := re.search(r"Running tests/(\w+)\.rs", line):
            file = found[1]
        elif (found := re.match(r"test (\S+) \.\.\. ok", line)) and found[1] not in run[file]:
            yield f"{file}: {found[1]} runs no model"
    for file, tests in run.items():
        for test, models in tests.items():
            for executions, why in models:
                if executions < FEWEST and not why:
                    yield f"{file}: a model of {test} has {executions} executions, which prove nothing"
                if executions >= FEWEST and why:
                    yield f"{file}: a model of {test} has {executions} executions, and says why it has few: {why}"


def keep(run):
    """Notes a run, in place of what an earlier one said of the same files."""
    kept = read(KEPT) if KEPT.exists() else {}
    kept.update(run)
    lines = [
        f"{file}\t{test}\t{executions}\t{why}\n"
        for file, tests in sorted(kept.items())
        for test, models in sorted(tests.items())
        for executions, why in models
    ]
    KEPT.write_text("".join(lines))


def in_tree():
    """Returns the subjects of laws, and the other models: pairs of a file and a name."""
    subjects, models = [], []
    for path in sorted(TESTS.glob("*.rs")):
        text = path.read_text()
        if "#![cfg(not(loom))]" not in text:
            subjects += [(path.stem, name) for name in re.findall(r"^laws_of_waiting!\((\w+):", text, re.M)]
            models += [(path.stem, name) for name in re.findall(r"#\[test\]\s*(?:#\[.*\]\s*)*fn (\w+)", text)]
    return subjects, models


def in_page(mark):
    """Returns the cells of the rows after a mark of the page, by the first two."""
    table = PAGE.read_text().partition(f"<!-- {mark} -->")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table.splitlines()[3:]]
    return {(file.removesuffix(".rs"), name): numbers for file, name, *numbers in rows}


def numbers(kept, before, file, tests):
    """Returns the number of executions of each test, added up as written; what was not run keeps that of the page."""
    for test, old in zip(tests, before or ["?"] * len(tests)):
        found = kept[file][test] if file in kept and test in kept[file] else None
        yield "+".join(str(executions) for executions, _ in found) if found else old


def tables(write):
    """Compares the tables of the page with the tree, or makes them anew; returns what is wrong."""
    subjects, models = in_tree()
    laws, others = in_page("laws"), in_page("executions")
    faults = [f"{PAGE} has no row for {name} of {file}" for file, name in subjects if (file, name) not in laws]
    faults += [f"{PAGE} has no row for {name} of {file}" for file, name in models if (file, name) not in others]
    faults += [f"{PAGE} names {name} of {file}, which is not there" for file, name in laws if (file, name) not in subjects]
    faults += [f"{PAGE} names {name} of {file}, which is not there" for file, name in others if (file, name) not in models]
    for (file, name), cells in [*laws.items(), *others.items()]:
        faults += [f"{PAGE} has no number for {name} of {file}: ci/loom.sh {file}"] * ("?" in cells)
    if not write:
        return faults
    kept = read(KEPT) if KEPT.exists() else {}
    of_subject = [name.removeprefix("hostile::") for name in OF_SUBJECT]
    head = "".join(f" | {n}" if n <= 12 else f" | {chr(84 + n)}" for n in range(1, len(of_subject) + 1))
    law_rows = [f"| file | subject{head} |", "|" + " --- |" * (2 + len(of_subject))]
    for file, name in subjects:
        found = numbers(kept, laws.get((file, name)), file, [f"{name}::{law}" for law in OF_SUBJECT])
        law_rows.append(f"| `{file}.rs` | `{name}` | {' | '.join(found)} |")
    other_rows = ["| file | model | executions |", "| --- | --- | --- |"]
    for file, name in models:
        found = numbers(kept, others.get((file, name)), file, [name])
        other_rows.append(f"| `{file}.rs` | `{name}` | {next(found)} |")
    text = PAGE.read_text()
    for mark, rows in ("laws", law_rows), ("executions", other_rows):
        before, mark, rest = text.partition(f"<!-- {mark} -->\n")
        text = before + mark + "\n".join(rows) + "\n" + rest[rest.index("<!-- end -->") :]
    PAGE.write_text(text)
    return tables(False)


command, *arguments = sys.argv[1:]
if command == "check":
    run, log = (pathlib.Path(argument) for argument in arguments)
    found = list(check(read(run), log.read_text()))
elif command == "keep":
    keep(read(pathlib.Path(arguments[0])))
    found = []
else:
    found = tables("--write" in arguments)
for fault in found:
    print(f"executions: {fault}", file=sys.stderr)
sys.exit(1 if found else 0)
