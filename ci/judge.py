"""Runs the tests of a crate with a mutant switched on, until one fails.

Only a test that fails, by an assertion or another panic, catches a mutant. No end, or a crash, proves nothing: but what a test says that
runs alone then, counts.
"""

import array
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

ENVIRONMENT = os.environ | {"RUST_BACKTRACE": "0", "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true", "PROPTEST_MAX_SHRINK_ITERS": "0"}
PROCESSES = 2
# Tests may take so many seconds, and so many times as long as usual.
PATIENCE, TIMES = 10, 10
# Tests that run at once: first so many, then ever more.
FIRST = 8
# So many tests that run alone may find no end: then the others are not asked.
ENDLESS = 2


@dataclasses.dataclass
class Test:
    program: str
    folder: str
    name: str
    seconds: float
    # The mutants that it reaches.
    reached: list


class Judge:
    """Runs tests, each in the folder of its crate."""

    def __init__(self, out):
        self.out = out

    def run(self, program, folder, names, seconds, **environment):
        """Runs tests of a program until one fails; returns that one, or how they ended: passed, no end, or a crash."""
        command = [program, "--exact", "--test-threads=4", *names]
        environment = ENVIRONMENT | {"CARGO_MANIFEST_DIR": folder} | environment
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL, "text": True, "errors": "replace"}
        process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **options)
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            failure = reader.submit(first_failure, process.stdout)
            try:
                ended = failure.result(PATIENCE + TIMES * seconds)
            except TimeoutError:
                ended = "no end"
            if ended:
                kill(process)
                ended = failure.result() or ended
        status = process.wait()
        kill(process)
        process.stdout.close()
        return ended or ("passed" if status == 0 else f"a crash, status {status}")

    def tests(self, programs):
        """Runs each test alone, without a mutant; returns those that pass, with the mutants that they reach, the fastest first.

        As long as the programs are the same, they are not run again.
        """
        state = hashlib.sha256(b"".join(pathlib.Path(program).read_bytes() for program in programs)).hexdigest()
        kept = self.out / "tests"
        if kept.exists() and (known := json.loads(kept.read_text()))["state"] == state:
            return [Test(*test) for test in known["tests"]]
        names = []
        for program, folder in programs.items():
            every, ignored = (
                subprocess.run([program, "--list", "--format=terse", *more], check=True, capture_output=True, text=True).stdout.splitlines()
                for more in ([], ["--ignored"])
            )
            names += [(program, folder, line.removesuffix(": test")) for line in every if line not in ignored]

        def test(number, program, folder, name):
            reached = self.out / f"reached-{number}"
            reached.unlink(missing_ok=True)
            start = time.monotonic()
            ended = self.run(program, folder, [name], 60, LOGIC_REACHED=str(reached))
            seconds = time.monotonic() - start
            numbers = array.array("I", reached.read_bytes() if reached.exists() else b"")
            reached.unlink(missing_ok=True)
            if ended != "passed":
                print(f"logic: left out, as it fails alone, without a mutant: {name}: {ended}", flush=True)
                return None
            return Test(program, folder, name, seconds, numbers.tolist())

        with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
            found = list(pool.map(test, range(len(names)), *zip(*names)))
        found = sorted(filter(None, found), key=lambda test: test.seconds)
        kept.write_text(json.dumps({"state": state, "tests": [dataclasses.astuple(test) for test in found]}))
        return found

    def verdict(self, tests, **environment):
        """Runs tests, the fastest first, until one fails."""
        strange, endless, waiting, size = "", 0, list(tests), FIRST
        while waiting:
            # Those of one program that are next.
            batch = [test for test in waiting[:size] if test.program == waiting[0].program]
            first, names = batch[0], [test.name for test in batch]
            # Four run at a time.
            seconds = max(sum(test.seconds for test in batch) / 4, *(test.seconds for test in batch))
            ended = self.run(first.program, first.folder, names, seconds, **environment)
            if ended.startswith("test "):
                return f"caught by {ended.removeprefix('test ')}"
            if ended != "passed" and len(batch) > 1:
                # What the others would have said is lost with it: from here on each is asked alone.
                size = 1
                continue
            if ended != "passed":
                strange = f"inconclusive: {ended}: {first.name}"
                endless += ended == "no end"
                if endless == ENDLESS:
                    break
            waiting = [test for test in waiting if test not in batch]
            size = size if size == 1 else 4 * size
        return strange or "survived"


def first_failure(lines):
    """Returns the first test that is said to have failed."""
    for line in lines:
        if match := re.match(r"(test .*?)(?: - should panic)? \.\.\. FAILED", line):
            return match[1]
    return None


def kill(process):
    """Ends a test with its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
