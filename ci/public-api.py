"""Prints what a crate promises, from rustdoc's JSON: its public items, and the types of other crates that are part of it.

One line each, sorted: a change of this list is a change of the crate's interface.
"""

import json
import sys


def references(items):
    """The types and traits that signatures and impls name; what blanket and automatic impls name is everybody's."""
    found = set()

    def visit(node):
        if isinstance(node, dict):
            impl = node.get("impl")
            if impl and (impl["is_synthetic"] or impl["blanket_impl"]):
                return
            if isinstance(node.get("id"), int) and "path" in node and "args" in node:
                found.add(node["id"])
            for inner in node.values():
                visit(inner)
        elif isinstance(node, list):
            for inner in node:
                visit(inner)

    for item in items:
        if item["crate_id"] == 0:
            visit(item["inner"])
    return found


def main(path):
    with open(path, encoding="utf-8") as file:
        doc = json.load(file)
    index, paths = doc["index"], doc["paths"]
    lines = set()
    for entry in paths.values():
        if entry["crate_id"] == 0:
            lines.add(f"{entry['kind']} {'::'.join(entry['path'])}")
    for named in sorted(references(index.values())):
        entry = paths.get(str(named))
        if entry and entry["crate_id"] != 0 and entry["path"][0] not in ("core", "alloc", "std"):
            lines.add(f"foreign {entry['kind']} {'::'.join(entry['path'])}")
    for item in index.values():
        inner = item["inner"]
        if "impl" in inner and inner["impl"]["trait"] is None:
            of = inner["impl"]["for"].get("resolved_path")
            if of is None or str(of["id"]) not in paths:
                continue
            parent = "::".join(paths[str(of["id"])]["path"])
            members = inner["impl"]["items"]
        elif "trait" in inner or "enum" in inner or "struct" in inner:
            if str(item["id"]) not in paths:
                continue
            parent = "::".join(paths[str(item["id"])]["path"])
            kind = inner.get("trait") or inner.get("enum") or inner.get("struct")
            members = kind.get("items") or kind.get("variants") or []
            if "struct" in inner and isinstance(kind["kind"], dict) and "plain" in kind["kind"]:
                members = kind["kind"]["plain"]["fields"]
        else:
            continue
        for member in members:
            member = index.get(str(member))
            if member is None or member["name"] is None or member["visibility"] not in ("public", "default"):
                continue
            lines.add(f"{next(iter(member['inner']))} {parent}::{member['name']}")
    print("\n".join(sorted(lines)))


main(sys.argv[1])
