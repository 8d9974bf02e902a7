"""The report in one table of ratios, which README repeats, made from the report's plain values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tables import RATIO, shown

LOSS = "held-out log loss"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- bench/results/summary.md -->", "<!-- end -->"


class Line(NamedTuple):
    """Two cells of the report's tables, for one thread and for two, and their name in this table.

    `table` is a pattern for titles; each table that matches makes a line. A cell is a pattern for
    the labels of its row, joined by spaces, and the name of its column, or None if there is none.
    """

    section: str
    table: str
    cells: tuple[tuple[str, str] | None, tuple[str, str] | None]
    words: str
    against: str


def epochs(fit, words, column, against):
    """Return the line for a fit of five epochs."""
    cells = tuple((rf"^lrcore {fit}, {n} threads 5$", column) for n in (1, 2))
    return Line("epochs", ".*", cells, f"{{table}}, 5 epochs {words}", against)


LINES = [
    Line("rules", "Every rule", (None, ("^Adam 20", "x NumPy")),
         "step of Adam, 20,000,000 elements, by the better of both", "the formula in NumPy"),
    *(
        Line("peers", "Adam", tuple((rf"^{size} {n}$", "torch fused") for n in (1, 2)),
             f"step of Adam, {size} elements, unchecked", "torch, fused")
        for size in ("10,000", "1,000,000", "20,000,000")
    ),
    epochs("online", "row by row", "x SGDClassifier", "SGDClassifier"),
    epochs("batches of 256", "in batches of 256", "x SGDClassifier", "SGDClassifier"),
    epochs("online", "row by row", "x VW", "Vowpal Wabbit, from its cache"),
    Line("softmax", ".*", (("^lrcore softmax$", "x SGDClassifier"),
                           ("^lrcore softmax, 2 threads", "x SGDClassifier")),
         "20news, softmax of 20 classes", "SGDClassifier, one against the rest"),
    Line("dense", "To 0.1", tuple((f"^lrcore, {n} threads", "x lbfgs") for n in (1, 2)),
         "dense rows of 100, to within 0.1 % of the minimum", "scikit-learn's lbfgs"),
    *(
        Line("predict", "Margins", tuple((rf"^2\^{bits}$", f"x SciPy {n}T") for n in (1, 2)),
             f"`decision_function`, 2^{bits} features", "SciPy's `X @ w`")
        for bits in (16, 24)
    ),
]  # fmt: skip


def found(line, sections):
    """Yield words and both ratios for each table that matches the line."""
    for table in sections.get(line.section, {}).get("tables", []):
        if re.search(line.table, table["title"]):
            name = table["title"].split(":")[0]
            ratios = [cell_of(table, *cell) if cell else None for cell in line.cells]
            if any(ratio is not None for ratio in ratios):
                words = line.words.format(table=name) + losses(table, line)
                yield words, [shown(ratio, RATIO) if ratio else "" for ratio in ratios]


def row_of(table, pattern):
    """Return the first row with such labels, or None."""
    labels = [k for k, kind in enumerate(table["columns"].values()) if kind == "label"]
    for row in table["rows"]:
        names = (f"{row[k]:,}" if isinstance(row[k], int) else str(row[k]) for k in labels)
        if re.search(pattern, " ".join(names)):
            return row
    return None


def cell_of(table, pattern, column):
    """Return the cell in that column of that row, or None."""
    row, columns = row_of(table, pattern), list(table["columns"])
    return row[columns.index(column)] if row and column in columns else None


def losses(table, line):
    """Return the held-out losses of both fits as words, if rows were held out."""
    if LOSS not in table["columns"]:
        return ""
    row, column = line.cells[0]
    ours = cell_of(table, row, LOSS)
    theirs = cell_of(table, f"^{column.removeprefix('x ')} 5$", LOSS)
    return f"; held-out loss {ours:.4f}, not {theirs:.4f}"


def optima(sections):
    """Yield the times of the fastest other solver over those of the dual one, by accuracy."""
    for table in sections.get("optimum", {}).get("tables", []):
        columns = list(table["columns"])
        ratios = []
        for k in (k for k, kind in enumerate(table["columns"].values()) if kind == RATIO):
            cells = [row[k] for row in table["rows"] if "lrcore" not in row[0] and row[k]]
            best = min((c["median"] if isinstance(c, dict) else c for c in cells), default=None)
            if best is not None:
                ratios.append(f"{columns[k].removeprefix('to ')}: {best:.3g}")
        if ratios:
            yield table["title"].split(":")[0], ", ".join(ratios)


def table(sections):
    """Return the lines as a table in Markdown."""
    rows = [
        f"| {words} | {' | '.join(ratios)} | {line.against} |"
        for line in LINES
        for words, ratios in found(line, sections)
    ]
    rows += [
        f'| `solver="dual"`, {words} | {ratios} | | the fastest of the others |'
        for words, ratios in optima(sections)
    ]
    dates = sorted({section["date"][:10] for section in sections.values()})
    machine = next(iter(sections.values()))["machine"]
    return "\n".join(
        [
            f"Times as fast as others: medians of turns, {machine['processor']}, float32, "
            f"{dates[-1]}; the whole report is [bench/results/report.md](bench/results/report.md).",
            "",
            "| | 1 thread | 2 threads | times as fast as |",
            "|---|--:|--:|---|",
            *rows,
        ]
    )


def write(sections, folder):
    """Write summary.md, and repeat it in README if these are the committed results."""
    path = folder / "summary.md"
    path.write_text(table(sections) + "\n")
    if folder.resolve() == Path(__file__).parent / "results":
        text = README.read_text()
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        README.write_text(f"{before}{BEGIN}\n{path.read_text()}{END}{after}")
    return path
