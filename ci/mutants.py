"""Checks that models and tests would see a mistake: `mutants.py [--all | NAME… | --logic CRATE [FILE [SHARD]]]`.

Each patch in loom-tests/mutants makes one mistake (a check or a wake-up left out, two steps exchanged, a bound off by one), and the
model, or the ordinary test, that its first line names must fail then. And each ordering in a file with models is weakened, and each
fence taken away (weaken.py): a model that looks at the file must fail, unless loom-tests/mutants/survivors.txt says why none can.

Only an assertion that fails counts, or the deadlock that loom reports. A crash, memory or time that has run out, and a search that is
given up prove nothing: they fail the run, unless survivors.txt says why it is so, beginning with "inconclusive:".

All patches must apply. Without arguments, three mutations are run, others each day: a patch that models see, an ordering, a patch that
tests see. The mutations of `--logic` are those of cargo-mutants; loom-tests/mutants/logic.txt has those that survive, with reasons.
"""

import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import weaken

PATCHES = {path.stem: path.resolve() for path in sorted(pathlib.Path("loom-tests/mutants").glob("*.patch"))}
TARGET = pathlib.Path("target/mutants").resolve()
TREE = TARGET / "tree"
UNSET = "LOOM_LOG", "LOOM_CHECKPOINT_FILE", "LOOM_MAX_BRANCHES", "LOOM_EXECUTIONS"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in UNSET}
ENVIRONMENT |= dict(LOOM_MAX_PREEMPTIONS="2", RUST_BACKTRACE="0", CARGO_INCREMENTAL="0", CARGO_TARGET_DIR=str(TARGET))
ENVIRONMENT |= dict(CARGO_PROFILE_DEV_DEBUG="0", CARGO_PROFILE_RELEASE_DEBUG="0")
# Loom panics, too, when it gives a search up.
GAVE_UP = re.compile(r"^Model exce+ded maximum number of|execution appears to be in an infinite loop", re.M)
WHY = re.compile(r"signal: .*|Model exce.*|memory allocation of.*|FAILED")


def chosen(names, places):
    """Returns the mutations that the arguments ask for: names of patches, and places of orderings."""
    if names == ["--all"]:
        return [*PATCHES, *places]
    if not names:
        by_tests = {name: "/" in killers(name, places)[0][0] for name in PATCHES}
        modelled, tested = ([name for name in PATCHES if by_tests[name] is kind] for kind in (False, True))
        day = int(time.time()) // 86400 + 1
        return [kind[day % len(kind)] for kind in (modelled, list(places), tested)]
    found = []
    for name in names:
        some = [name] if name in PATCHES else [place for place in places if name in place]
        if not some:
            print(f"mutants: there is no patch {name}, and no ordering in such a file", file=sys.stderr)
            sys.exit(2)
        found += some
    return found


def killers(name, places):
    """Returns the tests of which one must fail for a mutation: pairs of a file, and a name or nothing for all of the file."""
    if name in places:
        return [(file, "") for file in places[name][0]]
    file, test = PATCHES[name].read_text().splitlines()[0].split(" ", 1)
    return [(file, test)]


def cargo_test(file, test, *harness):
    """Builds tests and runs them in the copy of the tree; returns the status and what they printed.

    A file is one of models in loom-tests, or, as CRATE/FILE, of a crate's own tests. What does not compile is an error.
    """
    crate, is_own, of_crate = file.partition("/")
    arguments, flags = ["-p", "loom-tests", "--release", f"--test={file}"], "--cfg loom"
    if is_own:
        kind = f"--test={of_crate}"
        if of_crate == "lib":
            kind = "--lib"
        elif (TREE / f"crates/{crate}/tests/it/{of_crate}.rs").exists():
            kind, test = "--test=it", test and f"{of_crate}::{test}"
        arguments, flags = ["-p", f"tidegate-{crate}", kind], ""
    options = dict(cwd=TREE, env=ENVIRONMENT | {"RUSTFLAGS": flags}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    built = subprocess.run(["cargo", "test", *arguments, "--no-run"], **options)
    if built.returncode:
        sys.exit(f"{built.stdout}mutants: {file} does not compile")
    chosen = ["--", "--exact", test, *harness] if test else []
    done = subprocess.run(["timeout", "180", "cargo", "test", *arguments, *chosen], **options)
    return done.returncode, done.stdout


def asserted(log):
    """Returns the line of a test that has failed by a panic of its own, or None."""
    parts = re.split(r"^---- (\S+) .*stdout ----$", log, flags=re.M)
    gave_up = {name: GAVE_UP.search(said) for name, said in zip(parts[1::2], parts[2::2])}
    failed = re.finditer(r"^test (\S+) .*\.\.\. FAILED$", log, flags=re.M)
    return next((line[0] for line in failed if gave_up.get(line[1], True) is None), None)


def asserted_alone(file, log):
    """As `asserted`, of tests of which the process did not say why they failed, as another one has ended it: they run once more, alone."""
    if re.search(r"^failures:$", log, flags=re.M):
        return None
    names = re.findall(r"^test (\S+) .*\.\.\. FAILED$", log, flags=re.M)
    own = file.rpartition("/")[2] + "::"
    return next(filter(None, (asserted(cargo_test(file, name.removeprefix(own))[1]) for name in names)), None)


def aborts_by_assertion(file, test):
    """Whether a test that aborts does so while it unwinds from a failed assertion, or from the deadlock that loom reports.

    What an aborted test has printed is lost, so it runs once more.
    """
    status, log = cargo_test(file, test, "--nocapture")
    first = re.search(r"panicked at .*\n(.*)", log)
    return status != 0 and bool(first) and first[1].startswith(("deadlock; threads", "assertion "))


@functools.cache
def must_pass(file, test):
    """Without a mutation: else their failing proves nothing."""
    status, log = cargo_test(file, test)
    if status or not re.search(r"^test result: ok\. [1-9]", log, flags=re.M):
        sys.exit(f"{log}mutants: without a mutation these tests do not pass, or are not there: {file} {test}")


def outcome(tests):
    """Runs the tests with the mutation made: "caught by" what, "survived", or "inconclusive" and why."""
    answer = "survived"
    for file, test in tests:
        status, log = cargo_test(file, test)
        if line := asserted(log) or asserted_alone(file, log):
            return f"caught by {line}"
        if status == 101 and test and "signal: 6" in log and aborts_by_assertion(file, test):
            return f"caught by {test}, which aborts while it unwinds"
        if status == 124:
            answer = f"inconclusive: {file} finds no end"
        elif status:
            why = WHY.search(log)
            answer = f"inconclusive: {file}: {why[0] if why else f'status {status}'}"
    return answer


@contextlib.contextmanager
def mutated(name, places):
    """Makes one mutation in the copy of the tree, and takes it back."""
    if name in places:
        file = TREE / name.partition(":")[0]
        before = file.read_text()
        weaken.weaken(TREE, name)
        yield
        file.write_text(before)
    else:
        patch = ["patch", "-s", "-p1", "--no-backup-if-mismatch", "-i", PATCHES[name]]
        subprocess.run(patch, cwd=TREE, check=True)
        yield
        subprocess.run([*patch, "-R"], cwd=TREE, check=True)


def copy_tree():
    """Copies what git tracks, with new times, as what an earlier run left is mutated."""
    shutil.rmtree(TREE, ignore_errors=True)
    for file in subprocess.check_output(["git", "ls-files", "-z"], text=True).split("\0")[:-1]:
        (TREE / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, TREE / file)


def main(*names):
    for name, patch in PATCHES.items():
        if subprocess.run(["git", "apply", "--check", patch]).returncode:
            sys.exit(f"mutants: {name} does not apply any more: make it anew")
    places = weaken.places()
    if names[:1] == ("--logic",):
        os.execvp("python3", ["python3", "-Bu", "ci/logic.py", *names[1:]])
    mutations = chosen(list(names), places)
    excused = sum(reason is not None for _, reason in places.values())
    print(f"mutants: {len(PATCHES)} patches apply; {len(places)} orderings can be weakened, {excused} of them with a reason why nobody sees it")
    print("mutants: to be run:", *mutations)
    copy_tree()
    faults = {}
    for name in mutations:
        tests, reason = killers(name, places), places[name][1] if name in places else None
        for file, test in tests:
            must_pass(file, test)
        with mutated(name, places):
            became = outcome(tests)
        asked = " ".join(f"{file} {test}".strip() for file, test in tests)
        print(f"mutants: {name}: {became}; asked were {asked}; reason: {reason or '-'}")
        is_open = (reason or "").startswith("inconclusive:")
        if became.startswith("caught") and reason:
            faults.setdefault("caught, although survivors.txt says why it cannot be", []).append(name)
        elif became == "survived" and (not reason or is_open):
            faults.setdefault("not caught", []).append(name)
        elif became.startswith("inconclusive") and not is_open:
            faults.setdefault("no assertion failed", []).append(name)
    for fault, found in faults.items():
        print(f"mutants: {fault}:", *found, file=sys.stderr)
    if faults:
        sys.exit(1)
    print("mutants: ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
