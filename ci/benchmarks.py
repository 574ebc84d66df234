"""Draws what was measured: `benchmarks.py` says which plots and tables in docs/benchmarks are not those of their data, `--write`
makes them anew.

The data are what `compare --tsv` writes, a file for each pattern. Of each a plot is made, and in the pattern's page, between two
marks, the table of rows in which a rival is faster. A row is a workload and a contender of ours; it is compared with the fastest
rival of its class, in patterns whose classes promise the same (ALIKE) with the fastest of all.
"""

import csv
import math
import pathlib
import sys
from xml.sax.saxutils import escape

PAGES = pathlib.Path("docs/benchmarks")
# The classes of maps say when a value is dropped: all of them do what is measured.
ALIKE = {"concurrent-map"}
# Columns of a plot: where the contender's name, the axis, the numbers and the rival's name stand.
NAME, AXIS, END, NUMBERS, RIVAL, WIDTH = 285, 440, 790, 885, 893, 1100
LOW, HIGH = 0.25, 8.0
TOP, LINE = 62, 20
STYLE = """
text { font: 12px system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; fill: #1f2328 }
.head { font-weight: 600 } .mute { fill: #59636e } .end { text-anchor: end } .mid { text-anchor: middle }
.ground { fill: #ffffff } .grid { stroke: #d8dee4 } .one { stroke: #59636e; stroke-width: 1.5 } .band { fill: #f6f8fa }
.ours { fill: #0969da; stroke: #0969da } .first { fill: #0969da; font-weight: 600 } .lost { fill: #bc4c00; font-weight: 600 }
.rival { fill: #848d97 } .other { fill: none; stroke: #848d97 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .mute { fill: #9198a1 } .ground { fill: #0d1117 } .grid { stroke: #2f353d } .one { stroke: #9198a1 }
  .band { fill: #151b23 } .ours { fill: #4493f8; stroke: #4493f8 } .first { fill: #4493f8 } .lost { fill: #f0883e }
  .rival { fill: #7d8590 } .other { stroke: #7d8590 }
}
""".strip()


def rows_of(pattern):
    """Yields each row: its workload, the contender of ours, the rival it is compared with, and all contenders."""
    with open(PAGES / "data" / f"{pattern}.tsv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    for ours in table:
        workload = [row for row in table if row["workload"] == ours["workload"]]
        rivals = [row for row in workload if row["ours"] == "no" and row["class"] != "reference"]
        if pattern not in ALIKE:
            rivals = [row for row in rivals if row["class"] == ours["class"]]
        if ours["ours"] == "yes" and rivals:
            yield ours["workload"].partition("/")[2], ours, min(rivals, key=time), workload


def time(row):
    return float(row["median"])


def shown(ratio):
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:.0f}"


def across(ratio):
    """Returns where a ratio stands on the axis."""
    share = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return f"{AXIS + share * (END - AXIS):.1f}"


def mark(kind, ratio, y, title):
    """Draws a contender: a dot, or at the ends of the axis an arrow."""
    x = across(ratio)
    if LOW <= ratio <= HIGH:
        shape = f'<circle class="{kind}" cx="{x}" cy="{y}" r="{4.5 if kind == "ours" else 3.5}">'
    else:
        back = 7 if ratio < LOW else -7
        shape = f'<path class="{kind}" d="M{x} {y}l{back} -4v8z">'
    return f"{shape}<title>{escape(title)}</title></{shape[1:].split()[0]}>"


def plot(pattern, rows):
    """Returns the plot of a pattern: a line for each row, on which the contenders stand by their times."""
    height = TOP + LINE * len(rows) + 10
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{pattern}: tidegate beside its rivals</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="head" x="10" y="20">{pattern}</text>',
    ]
    x, kinds = 150, ("rival", "no rival") if pattern in ALIKE else ("rival of the class", "of another class, or no rival")
    for kind, label in zip(("ours", "rival", "other"), ("tidegate, with quartiles", *kinds)):
        out.append(f'<circle class="{kind}" cx="{x}" cy="16" r="4"/><text class="mute" x="{x + 9}" y="20">{label}</text>')
        x += 35 + 7 * len(label)
    out.append(f'<text class="mute end" x="{WIDTH - 10}" y="20">left is faster; 1 is the fastest rival</text>')
    titles = (f"{NAME}", "", "contender"), (f"{END + 50}", "end", "ns"), (f"{NUMBERS}", "end", "×"), (f"{RIVAL}", "", "fastest rival")
    for x, anchor, label in ("10", "", "workload"), *titles:
        out.append(f'<text class="mute {anchor}" x="{x}" y="{TOP - 12}">{label}</text>')
    for number, (workload, *_) in enumerate(rows):
        if len({row[0] for row in rows[: number + 1]}) % 2:
            out.append(f'<rect class="band" y="{TOP + LINE * number}" width="{WIDTH}" height="{LINE}"/>')
    ratio = LOW
    while ratio <= HIGH:
        x, kind = across(ratio), "one" if ratio == 1 else "grid"
        out.append(f'<path class="{kind}" d="M{x} {TOP}V{height - 10}"/><text class="mute mid" x="{x}" y="{TOP - 12}">{ratio:g}</text>')
        ratio *= 2
    last = None
    for number, (workload, ours, rival, contenders) in enumerate(rows):
        y = TOP + LINE * number + LINE // 2
        if workload != last:
            out.append(f'<text x="10" y="{y + 4}">{escape(workload)}</text>')
            last = workload
        out.append(f'<text class="mute" x="{NAME}" y="{y + 4}">{escape(ours["contender"])}</text>')
        for row in contenders:
            if row["ours"] == "no":
                is_alike = row["class"] != "reference" if pattern in ALIKE else row["class"] == ours["class"]
                title = f"{row['contender']} ({row['class']}): {row['median']} ns, {shown(time(row) / time(rival))} ×"
                out.append(mark("rival" if is_alike else "other", time(row) / time(rival), y, title))
        low, high = (across(float(ours[side]) / time(rival)) for side in ("lower quartile", "upper quartile"))
        ratio = time(ours) / time(rival)
        out.append(f'<path class="ours" stroke-width="2" d="M{low} {y}H{high}"/>')
        out.append(mark("ours", ratio, y, f"{ours['contender']} ({ours['class']}): {ours['median']} ns, {shown(ratio)} ×"))
        out.append(f'<text class="end" x="{END + 50}" y="{y + 4}">{ours["median"]}</text>')
        out.append(f'<text class="end {"lost" if is_lost(ours, rival) else "first"}" x="{NUMBERS}" y="{y + 4}">{shown(ratio)}</text>')
        out.append(f'<text x="{RIVAL}" y="{y + 4}">{escape(rival["contender"])}</text>')
    return "\n".join([*out, "</svg>", ""])


def is_lost(ours, rival):
    return round(time(ours) / time(rival), 2) > 1


def table(pattern, rows):
    """Returns what stands between the marks of a page: the plot, and the rows in which a rival is faster."""
    lost = [row for row in rows if is_lost(row[1], row[2])]
    among = "any rival" if pattern in ALIKE else "the fastest rival of its class"
    out = [
        f"![Each workload of {pattern}, the contenders by their times](data/{pattern}.svg)",
        "",
        f"Tidegate is as fast as {among}, or faster, in {f'{len(rows) - len(lost)} of {len(rows)} rows. In the others:' if lost else 'every row.'}",
    ]
    if lost:
        out += ["", "| workload | ours | ns | fastest rival | ns | × |", "| --- | --- | --: | --- | --: | --: |"]
    for workload, ours, rival, _ in lost:
        cells = workload, ours["contender"], ours["median"], rival["contender"], rival["median"], shown(time(ours) / time(rival))
        out.append(f"| {' | '.join(cells)} |".replace("<", "\\<"))
    return "\n".join(out) + "\n"


def main(write):
    outdated = []
    for data in sorted((PAGES / "data").glob("*.tsv")):
        rows = list(rows_of(data.stem))
        page = PAGES / f"{data.stem}.md"
        before, start, rest = page.read_text(encoding="utf-8").partition("<!-- figures -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        if not end:
            sys.exit(f"benchmarks: {page} lacks a mark")
        made = {data.with_suffix(".svg"): plot(data.stem, rows), page: before + start + table(data.stem, rows) + end + after}
        for path, text in made.items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                outdated.append(path)
                if write:
                    path.write_text(text, encoding="utf-8")
    if outdated and not write:
        sys.exit(f"benchmarks: not those of the data: {' '.join(map(str, outdated))}: ci/docs.sh --write")


if __name__ == "__main__":
    main("--write" in sys.argv[1:])
