"""The pictures of the report, drawn from its plain values only, for light and for dark pages."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from benchmarks.functions import FUNCTIONS
from paths import WINDOWS

#: The solvers that are drawn; the distance to the optimum that counts, and the smallest drawn.
DRAWN = (
    "lrcore dual, 1 thread", "lrcore dual, 2 threads", "lrcore AdaGrad", "SGDClassifier",
    "liblinear dual", "liblinear-official -s 7", "saga", "lbfgs", "VW",
)  # fmt: skip
GOAL, CLOSEST = 1e-3, 1e-6


class Theme(NamedTuple):
    """Colours of a page: its background, text, secondary text and grid, and those of the lines."""

    page: str
    text: str
    dim: str
    grid: str
    ours: str
    others: tuple[str, ...]


THEMES = {
    "": Theme(
        "#ffffff", "#1f2328", "#59636e", "#e4e8ec", "#0a5cad",
        ("#c2410c", "#0f766e", "#7e22ce", "#a16207", "#be185d", "#4d7c0f", "#57534e"),
    ),
    "-dark": Theme(
        "#14181d", "#e6e9ed", "#9aa4af", "#2b333c", "#6cb6ff",
        ("#fb923c", "#2dd4bf", "#c084fc", "#facc15", "#f472b6", "#a3e635", "#d6d3d1"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """The title of a picture, which states its result, and its files."""

    title: str
    light: Path
    dark: Path


def panels(section):
    """Return the curves by panel, then by name."""
    found = {}
    for curve in section["curves"]:
        found.setdefault(curve["panel"], {})[curve["name"]] = curve
    return found


def colours(names, theme):
    """Return a colour for each name: one for all of lrcore, others in their order."""
    others = iter(theme.others * 3)
    return {name: theme.ours if name.startswith("lrcore") else next(others) for name in names}


def line_style(name):
    """Return the style that distinguishes lines of one colour."""
    if "threads" in name or "@" in name:
        return "--"
    return ":" if name.endswith("AdaGrad") else "-"


def spread_out(ends, gap):
    """Return the heights of the ends, moved apart so that neighbours have a distance of `gap`.

    Of ends at about the same height the leftmost is lowest, so that the lines to the labels do not
    cross.
    """
    placed = np.array([y for _, y in ends])
    order = np.lexsort(([x for x, _ in ends], np.round(placed / gap)))
    for _ in range(200):
        moved = False
        for low, high in pairwise(order):
            short = gap - (placed[high] - placed[low])
            if short > 1e-6:
                placed[low] -= short / 2
                placed[high] += short / 2
                moved = True
        if not moved:
            break
    return placed


def label_ends(ax, lines, theme, *, size=8.5):
    """Write names at the right ends of lines, {name: (x, y, colour)}, without overlaps."""
    ax.figure.draw_without_rendering()
    to_axes = ax.transData + ax.transAxes.inverted()
    ends = {name: to_axes.transform((x, y)) for name, (x, y, _) in lines.items()}
    gap = size * 1.35 / 72 / (ax.get_position().height * ax.figure.get_figheight())
    heights = spread_out(list(ends.values()), gap)
    for (name, (x, y, colour)), height in zip(lines.items(), heights):
        ax.annotate(
            name, (x, y), (1.02, height), textcoords="axes fraction",
            color=colour, fontsize=size, va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6,
                        "shrinkA": 1, "shrinkB": 2},
        )  # fmt: skip


def binary(size):
    """Format bytes in a suitable unit."""
    for unit, word in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if size >= unit:
            return f"{size / unit:g} {word}"
    return f"{size:g} B"


def draw_sweep(section, figure, theme):
    found = panels(section)
    axes = np.atleast_1d(figure.subplots(1, len(found), sharey=True))
    words = []
    for ax, (panel, curves) in zip(axes, found.items()):
        tint = colours([name for name in curves if name not in ("floor", "Adam")], theme)
        tint.update({"floor": theme.dim, "Adam": theme.ours})
        for name, curve in curves.items():
            wide = {"lw": 6, "alpha": 0.35, "solid_capstyle": "round"} if name == "floor" else {}
            ax.plot(curve["x"], curve["y"], color=tint[name], **wide)
            ax.fill_between(
                curve["x"], curve["low"], curve["high"], color=tint[name], alpha=0.12, lw=0
            )
        ax.set(xscale="log", yscale="log", title=panel, xlabel="weights, states and gradient")
        ax.set_xticks(
            [1 << k for k in range(12, 31, 3)], labels=[binary(1 << k) for k in range(12, 31, 3)]
        )
        ax.minorticks_off()
        for level, size in section["machine"]["caches"].items():
            ax.axvline(size, color=theme.dim, lw=0.8, ls=(0, (4, 3)))
            ax.text(
                size,
                0.015,
                f"{level} {binary(size)} ",
                color=theme.dim,
                fontsize=8,
                transform=ax.get_xaxis_transform(),
                ha="right",
            )
        ax.set_xlim(
            min(c["x"][0] for c in curves.values()), max(c["x"][-1] for c in curves.values())
        )
        label_ends(ax, {n: (c["x"][-1], c["y"][-1], tint[n]) for n, c in curves.items()}, theme)
        words.append(f"{curves['Adam']['y'][-1] / curves['floor']['y'][-1]:.0%} on {panel}")
    axes[0].set_ylabel("GB/s")
    from matplotlib.ticker import FuncFormatter

    axes[0].yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    return f"Past the caches a step of Adam has {' and '.join(words)} of the floor's bandwidth"


def draw_optimum(section, figure, theme):
    found = panels(section)
    axes = np.atleast_1d(figure.subplots(1, len(found)))
    words = []
    for ax, (panel, curves) in zip(axes, found.items()):
        curves = {name: curves[name] for name in DRAWN if name in curves}
        tint, ends, there = colours(curves, theme), {}, {}
        for name, curve in curves.items():
            x, y = np.array(sorted(zip(curve["x"], curve["y"]))).T
            y = np.maximum(np.minimum.accumulate(y), CLOSEST)
            drawn = slice(1 + int(np.argmax(y == y.min())))
            x, y = x[drawn], y[drawn]
            ours = name.startswith("lrcore")
            ax.plot(
                x,
                y,
                color=tint[name],
                lw=2.2 if ours else 1.3,
                marker="o",
                ms=3.5 if ours else 2.5,
                ls=line_style(name),
            )
            ends[name] = (x[-1], y[-1], tint[name])
            if (y <= GOAL).any():
                there[name] = x[y <= GOAL][0]
        ax.axhline(GOAL, color=theme.dim, lw=0.8, ls=(0, (4, 3)))
        ax.set(xscale="log", yscale="log", xlabel="seconds", title=panel)
        ax.set_ylim(CLOSEST / 1.5, 3)
        label_ends(ax, ends, theme)
        ours, peers = (
            min(((t, n) for n, t in there.items() if n.startswith("lrcore") is own), default=None)
            for own in (True, False)
        )
        if ours and peers:
            words.append(f"{panel}: {peers[0] / ours[0]:.1f} times as fast as {peers[1]}")
    axes[0].set_ylabel("objective over the optimum, less 1")
    return f"lrcore comes within {GOAL:.1%} of the optimum\n" + "; ".join(words)


def draw_features(section, figure, theme):
    (curves,) = panels(section).values()
    ax, tint = figure.subplots(), colours(panels(section)[""], theme)
    tint["SciPy's X @ w"] = theme.dim
    for name, curve in curves.items():
        ax.plot(
            curve["x"], curve["y"], color=tint[name], marker="o", ms=4,
            lw=2.2 if name.startswith("lrcore") else 1.3, ls=line_style(name),
        )  # fmt: skip
        ax.fill_between(curve["x"], curve["low"], curve["high"], color=tint[name], alpha=0.12, lw=0)
    ax.set(yscale="log", xlabel="features", ylabel="million values a second")
    ax.set_xscale("log", base=2)
    ax.yaxis.set_major_formatter("{x:g}")
    label_ends(ax, {n: (c["x"][-1], c["y"][-1], tint[n]) for n, c in curves.items()}, theme)
    base = np.array(curves["SGDClassifier"]["y"])
    ratios = {
        name: np.array(c["y"]) / base for name, c in curves.items() if name.startswith("lrcore")
    }
    low, high = min(map(np.min, ratios.values())), max(map(np.max, ratios.values()))
    return f"Epochs of lrcore are {low:.1f} to {high:.1f} times as fast as SGDClassifier's"


def draw_threads(section, figure, theme):
    (curves,) = panels(section).values()
    most = int(next(iter(curves.values()))["x"][-1])
    ax, last = figure.subplots(), {name: c["y"][-1] for name, c in curves.items()}
    names = sorted(last, key=last.get)
    spread = np.array(
        [[last[n] - curves[n]["low"][-1], curves[n]["high"][-1] - last[n]] for n in names]
    )
    ax.barh(
        names, [last[n] for n in names], xerr=spread.T.clip(0), color=theme.ours, height=0.62,
        error_kw={"ecolor": theme.dim, "lw": 1},
    )  # fmt: skip
    for row, name in enumerate(names):
        ax.text(
            0.03, row, f"{last[name]:.2f}", color=theme.page, va="center", fontsize=9, weight="bold"
        )
    for at in (1, most):
        ax.axvline(at, color=theme.dim, lw=0.8, ls=(0, (4, 3)))
    ax.set_xlabel(f"times as fast on {most} threads as on one")
    ax.grid(axis="y", visible=False)
    return (
        f"{most} threads are {last[names[0]]:.1f} to {last[names[-1]]:.1f} times as fast "
        "as one, depending on the work"
    )


def grid_of(figure, count, columns, **keywords):
    """Return so many axes in rows; the rest of the last row stays empty."""
    rows = math.ceil(count / columns)
    axes = figure.subplots(rows, columns, **keywords).ravel()
    for ax in axes[count:]:
        ax.set_visible(False)
    return axes[:count]


def draw_paths(name, section, figure, theme):
    curves, problem = panels(section)[name], FUNCTIONS[name]()
    (table,) = (t for t in section["tables"] if t["title"].lower().startswith(name))
    ended = {row[0]: row for row in table["rows"]}
    x, y = (np.linspace(*ends, 160) for ends in WINDOWS[name])
    values = problem.fun(np.array(np.meshgrid(x, y)))
    levels = np.geomspace(max(values.min(), 1e-3), values.max(), 14)
    for ax, (rule, curve) in zip(
        grid_of(figure, len(curves), 5, sharex=True, sharey=True), curves.items()
    ):
        ax.contour(x, y, values, levels=levels, colors=theme.dim, linewidths=0.5, alpha=0.45)
        ax.plot(curve["x"], curve["y"], color=theme.ours, lw=1.4)
        ax.plot(curve["x"], curve["y"], ".", color=theme.ours, ms=2.5)
        ax.plot(*problem.x0, "o", color=theme.text, ms=4)
        ax.plot(*problem.minima.T, "*", color=theme.others[0], ms=10)
        ax.set_title(f"{rule}, lr={ended[rule][1]:g}\nends at {ended[rule][2]:.1g}", fontsize=8.5)
        ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        ax.grid(visible=False)
    order = sorted(ended, key=lambda rule: ended[rule][2])
    steps = table["title"].partition(", ")[2]
    return f"{name.capitalize()}, {steps}: {order[0]} ends lowest, then {order[1]} and {order[2]}"


def draw_schedules(section, figure, theme):
    curves = panels(section)[""]
    axes = grid_of(figure, len(curves), 5, sharex=True, sharey=True)
    for ax, (name, curve) in zip(axes, curves.items()):
        ax.plot(curve["x"], curve["y"], color=theme.ours, lw=1.8)
        ax.fill_between(curve["x"], 0, curve["y"], color=theme.ours, alpha=0.12, lw=0)
        ax.set_title(name, fontsize=9.5)
        ax.set(ylim=(0, 1.08), xlim=(0, curve["x"][-1]), yticks=[0, 0.5, 1])
    return f"Schedules: {len(curves)} shapes of a learning rate over {curve['x'][-1]} steps"


#: File, section, size in inches, and the function that draws it and returns its title.
PICTURES = [
    ("bandwidth", "sweep", (11, 4.6), draw_sweep),
    ("optimum", "optimum", (11, 4.8), draw_optimum),
    ("threads", "threads", (8.5, 4.2), draw_threads),
    ("features", "features", (8.5, 4.4), draw_features),
    ("rosenbrock", "paths", (11, 7.2), partial(draw_paths, "rosenbrock")),
    ("beale", "paths", (11, 7.2), partial(draw_paths, "beale")),
    ("schedules", "schedules", (11, 7.2), draw_schedules),
]


def style(theme):
    """Return matplotlib's settings for a page of this theme."""
    return {
        "figure.facecolor": theme.page, "axes.facecolor": theme.page,
        "savefig.facecolor": theme.page,
        "text.color": theme.text, "axes.labelcolor": theme.dim, "axes.edgecolor": theme.grid,
        "xtick.color": theme.dim, "ytick.color": theme.dim, "grid.color": theme.grid,
        "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False,
        "axes.spines.right": False, "axes.titlesize": 10, "axes.titlecolor": theme.text,
        "font.size": 9.5, "figure.dpi": 100, "savefig.dpi": 130,
        "axes.formatter.useoffset": False,
    }  # fmt: skip


def save(figure, path):
    """Save a PNG with few colours, which takes a third of the size."""
    from PIL import Image

    whole = io.BytesIO()
    figure.savefig(whole)
    Image.open(whole).convert("RGB").quantize(128).save(path, optimize=True)


def draw(sections, folder):
    """Draw the pictures of the sections that were measured: section -> [Drawn, ...]."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    found = {}
    for name, section, size, fill in PICTURES:
        if section not in sections:
            continue
        files = []
        for ending, theme in THEMES.items():
            with rc_context(style(theme)):
                figure = Figure(figsize=size, layout="constrained")
                title = fill(sections[section], figure, theme)
                figure.suptitle(title, x=0.01, ha="left", fontsize=12.5, weight="bold")
                files.append(folder / f"{name}{ending}.png")
                save(figure, files[-1])
        found.setdefault(section, []).append(Drawn(title.replace("\n", ": "), *files))
    return found
