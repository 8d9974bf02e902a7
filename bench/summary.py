"""The report in one table of ratios, which README repeats: made from the report's plain values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tables import RATIO, shown

LOSS = "held-out log loss"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- bench/results/summary.md -->", "<!-- end -->"


class Line(NamedTuple):
    """A cell of the report: in which table, of which row, and what it is called here.

    `table` is a pattern of titles; the tables that it finds make a line each. `row` is a pattern of
    the row's labels, with spaces between.
    """

    section: str
    table: str
    row: str
    column: str
    words: str
    against: str


ONLINE, BATCHES = "lrcore online, {} threads 5$", "lrcore batches of 256, {} threads 5$"
LINES = [
    Line("rules", "Every rule", "^Adam 20", "x NumPy", "step of {row}", "the NumPy formula"),
    *(
        Line("peers", "Adam", rf"^(10,000|20,000,000) {n}$", "torch fused",
             f"unchecked step of Adam {{row}} thread{'s' * (n > 1)}", "torch, fused")
        for n in (1, 2)
    ),
    *(
        Line("epochs", ".*", row.format(n), "x SGDClassifier",
             f"{{table}}, 5 epochs{order}, {n} thread{'s' * (n > 1)}", "SGDClassifier")
        for row, order in ((ONLINE, ""), (BATCHES, " in batches of 256"))
        for n in (1, 2)
    ),
    Line("softmax", ".*", "^lrcore softmax, 2 threads", "x SGDClassifier",
         "20news, softmax of 20 classes, 2 threads", "SGDClassifier's one against the rest"),
    Line("dense", "To 0.1", "^lrcore, 2 threads", "x lbfgs",
         "dense rows of 100, to within 0.1 % of the minimum, 2 threads", "scikit-learn's lbfgs"),
    *(
        Line("predict", "Margins", "", f"x SciPy {n}T",
             f"`decision_function`, {{row}} features, {n} thread{'s' * (n > 1)}", "SciPy's `X @ w`")
        for n in (1, 2)
    ),
]  # fmt: skip


def found(line, sections):
    """Words and ratio for each table and row that the line means."""
    for table in sections.get(line.section, {}).get("tables", []):
        columns = list(table["columns"])
        if not re.search(line.table, table["title"]) or line.column not in columns:
            continue
        labels = [k for k, kind in enumerate(table["columns"].values()) if kind == "label"]
        for row in table["rows"]:
            name = " ".join(
                f"{row[k]:,}" if isinstance(row[k], int) and row[k] > 9999 else str(row[k])
                for k in labels
            )
            cell = row[columns.index(line.column)]
            if re.search(line.row, name) and cell is not None:
                words = line.words.format(table=table["title"].split(":")[0], row=name)
                yield words + losses(columns, row, table["rows"]), shown(cell, RATIO)


def losses(columns, row, rows):
    """What a fit lost, and SGDClassifier after as many epochs, where rows were held out."""
    if LOSS not in columns:
        return ""
    k = columns.index(LOSS)
    other = next(other for other in rows if other[:2] == ["SGDClassifier", row[1]])
    return f"; held-out loss {row[k]:.4f}, not {other[k]:.4f}"


def optima(sections):
    """Times of the fastest of the others over those of the dual solver, for each accuracy."""
    for table in sections.get("optimum", {}).get("tables", []):
        columns = list(table["columns"])
        ratios = []
        for k in (k for k, kind in enumerate(table["columns"].values()) if kind == RATIO):
            cells = [row[k] for row in table["rows"] if "lrcore" not in row[0] and row[k]]
            best = min((c["median"] if isinstance(c, dict) else c for c in cells), default=None)
            if best is not None:
                ratios.append(f"{columns[k].removeprefix('to ')}: {best:.3g}")
        if ratios:
            yield f"{table['title'].split(':')[0]}, to the optimum, 1 thread", ", ".join(ratios)


def table(sections):
    """The lines as Markdown."""
    rows = [
        f"| {words} | {ratio} | {line.against} |"
        for line in LINES
        for words, ratio in found(line, sections)
    ]
    rows += [
        f'| `solver="dual"`, {words} | {ratios} | the fastest of the others |'
        for words, ratios in optima(sections)
    ]
    dates = sorted({section["date"][:10] for section in sections.values()})
    machine = next(iter(sections.values()))["machine"]
    return "\n".join(
        [
            f"Medians of turns in one run, {dates[-1]}, {machine['processor']}, up to "
            f"{machine['threads']} threads, float32; the whole report is [bench/results/report.md]"
            "(bench/results/report.md):",
            "",
            "| | times as fast | as |",
            "|---|---|---|",
            *rows,
        ]
    )


def write(sections, folder):
    """summary.md; of the committed results README repeats it."""
    path = folder / "summary.md"
    path.write_text(table(sections) + "\n")
    if folder.resolve() == Path(__file__).parent / "results":
        text = README.read_text()
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        README.write_text(f"{before}{BEGIN}\n{path.read_text()}{END}{after}")
    return path
