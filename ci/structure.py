"""Checks what is readable by rules that need more than a search: circles of files, comments, names, words.

- Files of a crate that use each other's items, in a circle. An arrow goes from a file to the module whose items it names, by
  `use crate::…`, `super::…`, `self::…`, or a path in its code. Not counted are: re-exports, what `lib.rs` says, a builder that
  names what it builds, and a module and its own submodules, which are read together.
- Comments of library code that are wider than 100 columns, rows of tables, pictures and code apart; code and pictures of the
  pages with which the crates' docs begin that are wider than 80, which is what rustdoc shows.
- Functions of library code that are longer than 60 lines.
- Public type names of two crates, unless they name one concept (SAME).
- Type names that the field's own terms have replaced (REPLACED).
"""

import pathlib
import re
import sys

# Circles that stay, each as the files it may consist of, with the reason.
CIRCLES = {
    frozenset({"batch-processor/dedupe.rs", "batch-processor/handler.rs"}): "a trait and its combinator",
}
# Public names that several crates have for one concept.
SAME = {
    "Acquire": "future of `acquire`",
    "Builder": "what `builder()` returns",
    "Enter": "future of `Gate::enter`",
    "Idle": "future of `idle`",
    "KeyRefused": "why a keyed form refuses",
    "OnError": "what happens to what has failed",
    "OnFull": "what happens to what comes when there is no room",
    "Pass": "the right to act that a gate has given",
    "Policy": "what decides, with numbers of its own",
    "Push": "future of `push`",
    "PushError": "why `push` refuses",
    "Refused": "why a gate refuses",
    "Run": "future of `run`",
    "Shutdown": "future of `shutdown`",
    "Stats": "what `stats()` returns",
    "Submit": "future of `submit`",
}
# Private words that were replaced by the field's, and must not come back.
REPLACED = (
    "Verdict Judged ByVerdict "
    "Hatch Labour Parcel Carrier Fate StageFigures AtOnce "
    "Askers Errand Draft Chore Seat Hall "
    "Book TwoBuckets FixedKeyed"
).split()
WIDTH = 100
LENGTH = 60
SHOWN = 80


def code(text):
    """The text without comments, strings and private tests."""
    text = re.split(r"^#\[cfg\((?:all\()?(?:loom, )?test\b[^\n]*\n(?:#\[[^\n]*\n)*mod ", text, flags=re.M)[0]
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', text)


def leaves(tree, prefix=()):
    """Yields the paths of a use tree: `a::{b, c::d}` is a::b and a::c::d."""
    depth = start = 0
    parts = []
    for at, char in enumerate(tree):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(tree[start:at])
            start = at + 1
    parts.append(tree[start:])
    for part in filter(None, (part.strip() for part in parts)):
        head, brace, rest = part.partition("{")
        names = tuple(name for name in re.split(r"::", head.split(" as ")[0].strip()) if name)
        if brace:
            yield from leaves(rest.rsplit("}", 1)[0], prefix + names)
        else:
            yield prefix + names


def arrows(src):
    """Returns, for each file below `src`, the files whose items it names."""
    modules = {}
    for path in src.rglob("*.rs"):
        if path.name in ("tests.rs", "main.rs"):
            continue
        name = path.relative_to(src).with_suffix("").parts
        modules[() if name == ("lib",) else name] = path
    # Where a name of `lib.rs` or of a parent comes from: a re-export is an arrow to its source.
    exported = {}
    texts = {module: code(path.read_text(encoding="utf-8")) for module, path in modules.items()}

    def absolute(module, path):
        names = list(path)
        base = ()
        if names and names[0] in ("crate", "$crate"):
            names.pop(0)
        elif names and names[0] in ("self", "super"):
            base = module
            if names[0] == "self":
                names.pop(0)
            while names and names[0] == "super":
                base = base[:-1]
                names.pop(0)
        elif names and module + (names[0],) in modules:
            base = module
        else:
            return None
        return base + tuple(names)

    for module, text in texts.items():
        for is_public, tree in re.findall(r"^\s*(pub(?:\([^)]*\))? )?use ([^;]*);", text, flags=re.M):
            for path in leaves(tree):
                full = absolute(module, path)
                if full:
                    exported[module + (path[-1],)] = full

    def owner(full, seen=()):
        """Returns the module that an absolute path ends in."""
        for length in range(len(full), -1, -1):
            if full[:length] in modules:
                rest = full[length:]
                through = exported.get(full[:length] + rest[:1]) if rest else None
                if through and through != full and through not in seen:
                    return owner(through + rest[1:], (*seen, full))
                return full[:length]
        return ()

    found = {}
    for module, text in texts.items():
        used = set()
        body = text
        for is_public, tree in re.findall(r"^\s*(pub(?:\([^)]*\))? )?use ([^;]*);", text, flags=re.M):
            for path in leaves(tree):
                full = absolute(module, path)
                if full is None:
                    continue
                target = owner(full)
                name = path[-1]
                # What is only re-exported is not used.
                if is_public and not re.search(rf"\b{re.escape(name)}\b", re.sub(r"^\s*(?:pub(?:\([^)]*\))? )?use [^;]*;", "", body, flags=re.M)):
                    continue
                used.add(target)
        without = re.sub(r"^\s*(?:pub(?:\([^)]*\))? )?use [^;]*;", "", text, flags=re.M)
        for path in re.findall(r"(?<![\w:])((?:crate|super|self)(?:::\w+)+)", without):
            full = absolute(module, path.split("::"))
            used.add(owner(full))
        found[module] = {target for target in used if is_counted(module, target)}
    return found


def is_counted(module, target):
    kin = module[: len(target)] == target or target[: len(module)] == module
    return bool(target) and not kin and module[-1:] != ("builder",)


def circles(graph):
    """Tarjan's strongly connected components of more than one node."""
    index, low, stack, on, out = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for to in graph.get(node, ()):
            if to not in index:
                visit(to)
                low[node] = min(low[node], low[to])
            elif to in on:
                low[node] = min(low[node], index[to])
        if low[node] == index[node]:
            group = set()
            while True:
                top = stack.pop()
                on.discard(top)
                group.add(top)
                if top == node:
                    break
            if len(group) > 1:
                out.append(group)

    sys.setrecursionlimit(10_000)
    for node in list(graph):
        if node not in index:
            visit(node)
    return out


def circle_faults():
    known = dict(CIRCLES)
    for manifest in sorted(pathlib.Path("crates").glob("*/Cargo.toml")):
        graph = arrows(manifest.parent / "src")
        for group in circles(graph):
            names = frozenset(f"{manifest.parent.name}/{'/'.join(module)}.rs" for module in group)
            if known.pop(names, None):
                continue
            yield f"circle: {' '.join(sorted(names))}"
            for module in sorted(group):
                yield f"    {'/'.join(module)} uses {', '.join('/'.join(to) for to in sorted(graph[module] & group))}"
    for names in known:
        yield f"ci/structure.py names a circle that is none: {' '.join(sorted(names))}"


def comment_faults():
    for path in sorted(pathlib.Path("crates").glob("*/src/**/*.rs")):
        is_drawn = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            comment = re.match(r"\s*//[/!]?\s*(.*)", line)
            if not comment:
                is_drawn = False
                continue
            if comment[1].startswith("```"):
                is_drawn = not is_drawn
            if len(line) > WIDTH and not is_drawn and not comment[1].startswith("|"):
                yield f"{path}:{number}: a comment wider than {WIDTH} columns"


def page_faults():
    for path in sorted(pathlib.Path("crates").glob("*/README.md")):
        for page, mark in (path, ""), (path.parent / "src/lib.rs", "//! "):
            is_code = False
            for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
                shown = line.removeprefix(mark) if line.startswith(mark) else ""
                is_code ^= shown.startswith("```")
                if is_code and len(shown) > SHOWN and not shown.startswith("# "):
                    yield f"{page}:{number}: code wider than {SHOWN} columns"


def function_faults():
    head = re.compile(r"^( *)(?:pub(?:\([^)]*\))? )?(?:const )?(?:async )?(?:unsafe )?fn (\w+)")
    for path in sorted(pathlib.Path("crates").glob("*/src/**/*.rs")):
        if path.name == "tests.rs":
            continue
        begun = None
        for number, line in enumerate(code(path.read_text(encoding="utf-8")).splitlines(), 1):
            if found := head.match(line):
                begun = (number, *found.groups())
            elif begun and line == begun[1] + "}":
                if number - begun[0] >= LENGTH:
                    yield f"{path}:{begun[0]}: {begun[2]} is longer than {LENGTH} lines"
                begun = None


def name_faults():
    crates = {}
    for path in sorted(pathlib.Path("ci/public-api").glob("tidegate-*.txt")):
        for name in re.findall(r"^(?:struct|enum|trait|union) (?:\w+::)*(\w+)", path.read_text(), flags=re.M):
            crates.setdefault(name, set()).add(path.stem)
    for name, users in sorted(crates.items()):
        if len(users) > 1 and name not in SAME:
            yield f"{name} is a public type of {' and '.join(sorted(users))}: if it is one concept, ci/structure.py says so"
    for name in SAME:
        if len(crates.get(name, ())) < 2:
            yield f"ci/structure.py lists {name}, which two crates do not have"


def word_faults():
    pattern = re.compile(rf"\b(?:{'|'.join(REPLACED)})\b")
    for path in sorted(pathlib.Path("crates").glob("*/src/**/*.rs")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for word in pattern.findall(line):
                yield f"{path}:{number}: {word} is no word of docs/glossary.md any more"


def main():
    faults = [*circle_faults(), *comment_faults(), *page_faults()]
    faults += [*function_faults(), *name_faults(), *word_faults()]
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(bool(faults))


main()
