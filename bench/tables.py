"""The results of a section of the report: tables and curves, printed as they are measured and
kept as plain values.

A cell is a word, a number, a `Measured` (its median and quartiles are kept) or None.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field

from measure import Measured

#: The kinds of columns: words; figures without a unit, which come first on a page; figures of this
#: machine and details of the settings, which come second.
LABEL, RATIO, VALUE, SECONDS, SPEED, DETAIL = (
    "label", "ratio", "value", "seconds", "speed", "detail",
)  # fmt: skip
DASH = "\N{EN DASH}"
UNITS = {1.0: "s", 1e-3: "ms", 1e-6: "µs", 1e-9: "ns"}


def plain(value):
    """Convert a cell for JSON: six digits of a number, a dict for a `Measured`."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Measured):
        low, high = map(plain, value.quartiles())
        return {
            "median": plain(float(value)), "low": low, "high": high, "rounds": len(value.rounds),
        }  # fmt: skip
    if isinstance(value, int):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def digits(number, count):
    """Format a number with so many significant digits, with an exponent if it is small or huge."""
    if not 1e-3 <= abs(number) < 1e9:
        return f"{number:.2g}"
    return f"{number:,.{max(0, count - 1 - math.floor(math.log10(abs(number))))}f}"


def shown(cell, kind, *, spread=False):
    """Return a plain cell as text, with quartiles in brackets if `spread`."""
    if cell is None:
        return DASH
    if isinstance(cell, str):
        return cell
    if kind in (LABEL, DETAIL):
        return f"{cell:,}" if isinstance(cell, int) else f"{cell:g}"
    numbers = [cell]
    if isinstance(cell, dict):
        wide = spread and cell["rounds"] > 1
        numbers = [cell["median"], cell["low"], cell["high"]] if wide else [cell["median"]]
    unit = 1.0
    if kind == SECONDS:
        unit = next((u for u in UNITS if abs(numbers[0]) >= u), 1e-9)
    middle, *around = (digits(n / unit, 5 if kind == VALUE else 3) for n in numbers)
    text = f"{middle} ({DASH.join(around)})" if around else middle
    return f"{text} {UNITS[unit]}" if kind == SECONDS else text


@dataclass
class Table:
    """Rows of figures, each of which is printed when it is added."""

    title: str
    columns: dict[str, str]
    note: str = ""
    rows: list[list] = field(default_factory=list)

    def __post_init__(self):
        print(f"\n{self.title}\n{self._line(self.columns)}", flush=True)

    def add(self, *cells):
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append([plain(cell) for cell in cells])
        kinds = self.columns.values()
        print(self._line(map(shown, self.rows[-1], kinds)), flush=True)

    def _line(self, cells):
        words = []
        for k, (cell, name) in enumerate(zip(cells, self.columns)):
            words.append(f"{cell:<26}" if k == 0 else f"{cell:>{max(9, len(name))}}")
        return "  " + "  ".join(words)


@dataclass
class Section:
    """Tables, curves for the pictures, and the notes that are needed to read them."""

    title: str
    about: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    curves: list[dict] = field(default_factory=list)

    def __post_init__(self):
        print(f"\n=== {self.title} ===\n{self.about}".rstrip(), flush=True)

    def table(self, title, columns, note=""):
        """Begin a new table; `columns` maps names to kinds of columns."""
        self.tables.append(Table(title, columns, note))
        return self.tables[-1]

    def curve(self, panel, name, x, y):
        """Add a line of a picture; measured values of y keep their quartiles."""
        line = {"panel": panel, "name": name, "x": [plain(float(v)) for v in x]}
        if all(isinstance(v, Measured) for v in y):
            line["low"], line["high"] = zip(*(map(plain, v.quartiles()) for v in y))
        self.curves.append({**line, "y": [plain(float(v)) for v in y]})

    def set(self, name, words):
        """Note the settings of a library that is measured."""
        self.settings[name] = words
        print(f"  {name}: {words}", flush=True)

    def note(self, words):
        self.notes.append(words)
        print(f"  {words}", flush=True)

    def leave_out(self, what, how):
        """Note what is not measured, and what would change that."""
        line = f"{what}: left out, {how}"
        if line not in self.left_out:
            self.left_out.append(line)
            print(f"  {line}", flush=True)

    def take_part(self, found):
        """Note which peers, a `peers.Found`, are measured and which are missing."""
        self.peers.update(found.versions)
        for name, package in found.missing.items():
            self.leave_out(name, f"pip install {package}")

    def as_plain(self):
        return asdict(self)
