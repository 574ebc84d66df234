"""Makes the mutations of logic that cargo-mutants knows: `logic.py CRATE [FILE [SHARD]]`, FILE below the crate's src, SHARD like 2/8.

The tests of the crate must fail for each, or loom-tests/mutants/logic.txt says why none does. There a line is a source, the mutation as
cargo-mutants names it, and the reason. A mutation that ends no test in time is listed there, too: that proves nothing.
"""

import pathlib
import re
import shutil
import subprocess
import sys

LIST = pathlib.Path("loom-tests/mutants/logic.txt")
OUT = pathlib.Path("target/logic")


def excused():
    """Returns the reason for each mutation that is known to survive, by its source and its name."""
    known = {}
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            source, mutation, reason = line.split(" | ")
            known[source, mutation] = reason
    return known


def named(path):
    """Yields source and name of each mutation in a list that cargo-mutants wrote."""
    for line in path.read_text().splitlines() if path.exists() else []:
        place, _, mutation = re.match(r"crates/(\S+?\.rs):(\d+:\d+): (.*)", line).groups()
        yield place.replace("/src/", "/"), mutation


def main(crate, file=None, shard=None):
    if not shutil.which("cargo-mutants"):
        subprocess.run(["cargo", "install", "cargo-mutants", "--locked"], check=True)
    sources = f"crates/{crate}/src/{file or '**/*.rs'}"
    command = ["cargo", "mutants", "--package", f"tidegate-{crate}", "--file", sources, "--output", OUT, "--jobs=1"]
    command += ["--timeout=180", "--cargo-test-arg=--tests", "--no-shuffle"] + ([f"--shard={shard}"] if shard else [])
    OUT.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(OUT / "mutants.out", ignore_errors=True)
    # 0: all caught, 2: some missed, 3: some timed out.
    status = subprocess.run(command, check=False).returncode
    if status not in (0, 2, 3):
        sys.exit(f"logic: cargo-mutants ended with {status}")
    known, faults = excused(), 0
    for kind in "missed", "timeout":
        for source, mutation in named(OUT / "mutants.out" / f"{kind}.txt"):
            reason = known.get((source, mutation))
            print(f"logic: {kind}: {source} | {mutation} | {reason or 'NO REASON'}")
            faults += reason is None
    for source, mutation in named(OUT / "mutants.out" / "caught.txt"):
        if (source, mutation) in known:
            print(f"logic: caught, although logic.txt says why it cannot be: {source} | {mutation}")
            faults += 1
    if faults:
        sys.exit(f"logic: {faults} mutations without a reason, or with a wrong one")
    print("logic: ok")


main(*sys.argv[1:])
