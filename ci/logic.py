"""Makes the mutations of logic that cargo-mutants knows: `logic.py CRATE [FILE [SHARD]]`, FILE below the crate's src, SHARD like 2/8.

The tests of the crate must fail for each, or loom-tests/mutants/logic.txt says why none does. (So may those of the crates in `ABOVE` for
core, which is a floor, and those of metrics for what a pattern reports.) There a line is a source, the mutation as cargo-mutants names it
(`…` stands for any text), and the reason.

All mutants are compiled in at once (schemata.py), in a copy of the workspace. Each test runs once alone, to see which mutants it reaches;
then each mutant is switched on, and the tests that reach it run, until one fails (judge.py). What does not compile in this form is made
alone; so is what survives where the compiler itself may run it, in a constant.
Only a test that fails counts as caught. One that finds no end, or a crash, proves nothing: that is listed, too, and needs a reason.
Verdicts are kept in target/logic, and taken from there again as long as the source's code, and for survivors the tests, are the same. So
a run that was ended goes on; after a change to these scripts remove them. A source of which no mutant is left without a reason gets a line
in loom-tests/mutants/judged.txt, and is not judged again until its code changes, or its line is removed.
"""

import collections
import concurrent.futures
import dataclasses
import fcntl
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import schemata
from judge import PROCESSES, Judge

LIST = pathlib.Path("loom-tests/mutants/logic.txt")
JUDGED = pathlib.Path("loom-tests/mutants/judged.txt")
OUT = pathlib.Path("target/logic").resolve()
TREE = OUT / "tree"
# The crates whose tests judge a crate, too.
ABOVE = {"core": ["semaphore", "concurrent-map", "worker-pool", "metrics"], "metrics": [], "tower": []}
# What a pattern reports is judged where it is read.
REPORTS = ["metrics"]
# The switch needs what the compiler keeps for its own library.
ENVIRONMENT = os.environ | {"CARGO_TARGET_DIR": str(OUT / "build"), "RUSTC_BOOTSTRAP": "logic_switch", "CARGO_PROFILE_DEV_DEBUG": "0"}


# What becomes of the mutants of a source without a fault.
KINDS = "caught", "unviable", "with a reason"


def listed(source):
    """Returns a source as it stands in the lists."""
    return source.removeprefix("crates/").replace("/src/", "/", 1)


@dataclasses.dataclass
class Mutant:
    number: int
    name: str
    source: str
    genre: str
    start: int
    end: int
    replacement: str
    function: tuple
    # Whether the compiler may run it, where no switch turns it on.
    may_be_constant: bool
    # Which of the mutants it is that read alike and stand in one source.
    ordinal: int = 0

    def key(self):
        """Returns what stays the same when the code moves to other lines."""
        return f"{' '.join(self.listed())} #{self.ordinal}"

    def listed(self):
        """Returns source and mutation as they stand in the list."""
        return listed(self.source), self.name.split(": ", 1)[1]


class Crate:
    """A crate in the copy of the workspace, and what its mutants and its tests are."""

    def __init__(self, name):
        self.name = name
        self.package = f"tidegate-{name}"
        self.out = OUT / name
        self.out.mkdir(exist_ok=True)
        command = ["cargo", "mutants", "--list", "--json", "--package", self.package]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        self.judges = [name, *ABOVE.get(name, REPORTS)]
        self.judge = Judge(self.out)
        self.sources = {path: schemata.Source(pathlib.Path(path).read_text()) for path in sorted({each["file"] for each in found})}
        self.mutants = [self.mutant(number, each) for number, each in enumerate(found)]
        alike = collections.Counter()
        for mutant in self.mutants:
            mutant.ordinal = alike[mutant.listed()]
            alike[mutant.listed()] += 1

    def mutant(self, number, found):
        source = self.sources[found["file"]]
        start, end = (source.offset(found["span"][side]) for side in ("start", "end"))
        function = found["function"] and tuple(source.offset(found["function"]["span"][side]) for side in ("start", "end"))
        code = source.words[source.token_at(function[0]) : source.token_at(function[1])] if function else ["const"]
        place = found["name"], found["file"], found["genre"], start, end, found["replacement"], function
        return Mutant(number, *place, "const" in code)

    def copy(self):
        """Makes the copy like the workspace, but leaves what is the same: cargo looks at times."""
        listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
        for path in listed.rstrip("\0").split("\0"):
            if pathlib.Path(path).exists():
                self.put(path, pathlib.Path(path).read_bytes())
        manifest = "crates/{}/Cargo.toml".format(self.name)
        text = pathlib.Path(manifest).read_text()
        self.put(manifest, text.replace("[dependencies]\n", '[dependencies]\nlogic-switch = { path = "../logic-switch" }\n', 1).encode())
        self.put("crates/logic-switch/Cargo.toml", b'[package]\nname = "logic-switch"\nedition = "2024"\n')
        self.put("crates/logic-switch/src/lib.rs", pathlib.Path("ci/logic-switch.rs").read_bytes())

    @staticmethod
    def put(path, content):
        target = TREE / path
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def write(self, how, mutants):
        """Writes all sources, with these mutants in them."""
        texts = {}
        for path, source in self.sources.items():
            texts[path] = how(source, [mutant for mutant in mutants if mutant.source == path])
            self.put(path, texts[path].encode())
        return texts

    def cargo(self, *arguments, judges=()):
        """Returns the messages of cargo: errors of the compiler, and programs that were built, with the folders of their crates."""
        judges = judges or [self.name]
        packages = [word for name in judges for word in ("--package", f"tidegate-{name}")]
        command = ["cargo", *arguments, "--offline", *packages, "--message-format=json"]
        done = subprocess.run(command, cwd=TREE, env=ENVIRONMENT, check=False, capture_output=True, text=True)
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        errors = [each["message"] for each in messages if each["reason"] == "compiler-message" and each["message"]["level"] == "error"]
        if done.returncode and not errors:
            sys.exit(f"logic: cargo failed:\n{done.stderr}")
        built = [each for each in messages if each.get("executable")]
        return errors, {each["executable"]: str(pathlib.Path(each["manifest_path"]).parent) for each in built}

    def to_blame(self, errors, texts):
        """Returns the mutants to which errors are laid."""
        numbers = set()
        for error in errors:
            spans = sorted(error["spans"], key=lambda span: not span["is_primary"])
            found = [
                schemata.blamed(texts[span["file_name"]], span["line_start"], span["column_start"])
                for span in spans
                if span["file_name"] in texts
            ]
            numbers.update(next(filter(None, found), []))
        if not numbers:
            sys.exit("logic: an error of the compiler that no mutant makes:\n" + errors[0]["rendered"])
        return [self.mutants[number] for number in numbers]

    def build_all(self, mutants):
        """Builds the tests with as many mutants compiled in as possible; returns the programs, and the mutants that are not."""
        left_out = []
        for command in ["check", "--lib"], ["test", "--no-run", "--lib", "--tests"]:
            while True:
                texts = self.write(schemata.with_all, mutants)
                errors, programs = self.cargo(*command, judges=self.judges if "test" in command else ())
                if not errors:
                    break
                blamed = self.to_blame(errors, texts)
                left_out += blamed
                mutants = [mutant for mutant in mutants if mutant not in blamed]
                print(f"logic: {len(errors)} errors, {len(mutants)} mutants are left", flush=True)
        return programs, left_out

    def viable(self, mutants):
        """Returns those of the mutants that compile as cargo-mutants makes them: one of each function at a time is tried."""
        waiting, compiled = list(mutants), []
        while waiting:
            tried = list({(mutant.source, mutant.function or mutant.start): mutant for mutant in reversed(waiting)}.values())
            while tried:
                texts = self.write(schemata.with_some, tried)
                errors, _ = self.cargo("check", "--lib")
                if not errors:
                    break
                blamed = self.to_blame(errors, texts)
                waiting = [mutant for mutant in waiting if mutant not in blamed]
                tried = [mutant for mutant in tried if mutant not in blamed]
            compiled += tried
            waiting = [mutant for mutant in waiting if mutant not in tried]
        return compiled


def digest(texts):
    """Returns a digest of texts, each the words of a source or the bytes of a file."""
    state = hashlib.sha256()
    for text in texts:
        state.update(text if isinstance(text, bytes) else "\n".join(text).encode())
    return state.hexdigest()[:16]


class Verdicts:
    """What is known of each mutant: a line of the file is the state of its source's code, that of the tests, its key, and the verdict."""

    def __init__(self, crate):
        self.path = crate.out / "verdicts"
        self.sources = {path: digest([source.words]) for path, source in crate.sources.items()}
        tests = sorted(path for name in crate.judges for path in pathlib.Path(f"crates/{name}").rglob("*.rs"))
        self.tests = digest(path.read_bytes() for path in tests)
        self.known = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            source, tests, key, verdict = line.split("\t")
            if source in self.sources.values() and (tests == self.tests or verdict.startswith(("caught", "unviable"))):
                self.known[key] = verdict

    def add(self, mutant, verdict):
        self.known[mutant.key()] = verdict
        with self.path.open("a") as file:
            file.write(f"{self.sources[mutant.source]}\t{self.tests}\t{mutant.key()}\t{verdict}\n")


def judge_all(crate, chosen, verdicts):
    """Finds a verdict for each of the chosen mutants that has none."""
    missing = [mutant for mutant in chosen if mutant.key() not in verdicts.known]
    if not missing:
        return
    crate.copy()
    programs, left_out = crate.build_all([mutant for mutant in crate.mutants if verdicts.known.get(mutant.key()) != "unviable"])
    tests = crate.judge.tests(programs)
    together = [mutant for mutant in missing if mutant not in left_out]
    alone = crate.viable([mutant for mutant in missing if mutant in left_out])
    for mutant in left_out:
        if mutant in missing and mutant not in alone:
            verdicts.add(mutant, "unviable")
    print(f"logic: {len(tests)} tests, {sum(test.seconds for test in tests):.0f} s; {len(together)} mutants, and {len(alone)} alone", flush=True)

    reached = {mutant.number: [] for mutant in crate.mutants}
    for test in tests:
        for number in test.reached:
            reached[number].append(test)

    def judge(mutant):
        reaching = reached[mutant.number]
        return crate.judge.verdict(reaching, LOGIC_MUTANT=str(mutant.number)) if reaching else "survived: no test reaches it"

    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
        running = {pool.submit(judge, mutant): mutant for mutant in together}
        for done in concurrent.futures.as_completed(running):
            mutant, verdict = running[done], done.result()
            if mutant.may_be_constant and not verdict.startswith("caught"):
                alone.append(mutant)
            else:
                verdicts.add(mutant, verdict)
    for mutant in alone:
        crate.write(schemata.with_some, [mutant])
        verdicts.add(mutant, judge_alone(crate, tests))


def judge_alone(crate, tests):
    """Judges the one mutant that is written now: most are caught by the crate's own tests, which are built before those of others."""
    found = []
    for judges in filter(None, ([crate.name], crate.judges[1:])):
        errors, programs = crate.cargo("test", "--no-run", "--lib", "--tests", judges=judges)
        if errors:
            return "unviable"
        again = [
            dataclasses.replace(test, program=program)
            for test in tests
            for program, folder in programs.items()
            if folder == test.folder and same_program(program, test.program)
        ]
        found.append(crate.judge.verdict(again))
        if found[-1].startswith("caught"):
            break
    return max(found, key=lambda it: (it.startswith("caught"), it.startswith("inconclusive")))


def same_program(one, other):
    """Returns whether these are builds of the same test: cargo adds a dash and a hash to its name."""
    return one.rsplit("-", 1)[0] == other.rsplit("-", 1)[0]


def excused():
    """Returns the lines of the list: source, mutation, which may have a bar of its own in it, and reason."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return [re.fullmatch(r"(.+?) \| (.+) \| (.+?)", line).groups() for line in lines]


class Judged:
    """The sources that were judged: a line is one of them, a digest of its code, and what became of its mutants."""

    def __init__(self):
        lines = JUDGED.read_text().splitlines() if JUDGED.exists() else []
        self.lines = dict(line.split(" ", 1) for line in lines)

    def knows(self, mutant, verdicts):
        digest_then = self.lines.get(mutant.listed()[0], "").split(" ")[0]
        return digest_then == verdicts.sources[mutant.source]

    def add(self, counts, verdicts):
        """Notes the sources of `counts`; drops those that are there no more."""
        for source, count in counts.items():
            figures = ", ".join(f"{count[kind]} {kind}" for kind in KINDS)
            self.lines[listed(source)] = f"{verdicts.sources[source]} {figures}"
        crates = pathlib.Path("crates")
        there = [(source, line) for source, line in sorted(self.lines.items()) if (crates / source.replace("/", "/src/", 1)).exists()]
        JUDGED.write_text("".join(f"{source} {line}\n" for source, line in there))


def matches(pattern, text):
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("…")), text) is not None


def report(crate, chosen, verdicts, judged):
    """Prints the mutants that are not caught, with their reasons, and reasons for nothing; returns how many faults there are, and what
    became of the mutants of each source without a fault."""
    counts, faults = {mutant.source: collections.Counter() for mutant in chosen}, collections.Counter()
    reasons, used = excused(), {}
    for mutant in chosen:
        line = next((line for line in reasons if all(map(matches, line[:2], mutant.listed()))), None)
        if judged.knows(mutant, verdicts):
            counts[mutant.source]["judged before"] += 1
            used.setdefault(line, []).append(True)
            continue
        verdict = verdicts.known[mutant.key()]
        caught = verdict.startswith(("caught", "unviable"))
        if line:
            used.setdefault(line, []).append(not caught)
        if caught:
            counts[mutant.source][verdict.split()[0]] += 1
            continue
        counts[mutant.source]["with a reason" if line else "without"] += 1
        faults[mutant.source] += line is None
        print(f"logic: {verdict}: {mutant.name} | {line[2] if line else 'NO REASON'}")
    used.pop(None, None)
    for line in reasons:
        if chosen == crate.mutants and line[0].startswith(f"{crate.name}/") and line not in used:
            print(f"logic: logic.txt has a reason for what is no mutation: {' | '.join(line)}")
            faults["logic.txt"] += 1
    for line, survive in used.items():
        # A rule for all crates need not be of use in each.
        if not any(survive) and not line[0].startswith("…"):
            print(f"logic: caught, although logic.txt says why it cannot be: {' | '.join(line)}")
            faults["logic.txt"] += 1
    total = sum(counts.values(), collections.Counter())
    print(f"logic: {len(chosen)} mutants: " + ", ".join(f"{total[kind]} {kind}" for kind in (*KINDS, "without", "judged before")))
    return faults.total(), {source: count for source, count in counts.items() if not faults[source] and not count["judged before"]}


def main(name, file=None, shard="0/1"):
    os.nice(19)
    if not shutil.which("cargo-mutants"):
        subprocess.run(["cargo", "install", "cargo-mutants", "--locked"], check=True)
    # The builds are offline: on a new machine nothing has been fetched.
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], check=True)
    OUT.mkdir(parents=True, exist_ok=True)
    # There is one copy of the workspace: a second run waits.
    lock = (OUT / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    crate = Crate(name)
    chosen = [mutant for mutant in crate.mutants if not file or fnmatch.fnmatch(mutant.source, f"crates/{name}/src/{file}")]
    part, parts = shard.split("/")
    chosen = chosen[int(part) % int(parts) :: int(parts)]
    if not chosen:
        sys.exit("logic: there is no such mutation")
    verdicts, judged = Verdicts(crate), Judged()
    judge_all(crate, [mutant for mutant in chosen if not judged.knows(mutant, verdicts)], verdicts)
    faults, without_fault = report(crate, chosen, verdicts, judged)
    if parts == "1":
        judged.add(without_fault, verdicts)
    if faults:
        sys.exit(f"logic: {faults} mutations without a reason, or with a wrong one")
    print("logic: ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
