"""report.md and report.html, made from the report's plain values and its pictures only."""

from __future__ import annotations

import base64
import html
import re
from itertools import groupby

from tables import DETAIL, LABEL, RATIO, SECONDS, SPEED, VALUE, shown

TITLE = "lrcore measured"
ABOUT = (
    "Figures are medians, with the quartiles in brackets. Everything that is compared was measured "
    "in turns in one run, and a ratio is the median of the ratios of the rounds, so that a slow "
    "spell of the machine affects both sides. Ratios come first, absolute times of one machine "
    "second."
)
#: A table with more rows than this is long.
LONG = 20
FIRST, SECOND = (LABEL, RATIO, VALUE), (LABEL, SECONDS, SPEED, DETAIL)

STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --dim: #59636e; --line: #d1d9e0;
  --page: #ffffff; --band: #f6f8fa; --link: #0a5cad }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ed; --dim: #9aa4af; --line: #3a424b;
  --page: #14181d; --band: #1c2229; --link: #6cb6ff } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif }
h1 { margin: .5rem 0; font-size: 1.8rem }
h2 { margin: 3rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--line) }
h3 { margin: 1.5rem 0 .25rem; font-size: 1rem }
a { color: var(--link) }
p, ul { margin: .5rem 0; overflow-wrap: anywhere }
.dim { color: var(--dim); font-size: .875rem }
nav { columns: 15rem; margin: 1rem 0 }
nav a { display: block; padding: .15rem 0 }
figure { margin: 1rem 0; overflow-x: auto }
img { display: block; width: 100%; min-width: 40rem; height: auto }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0 }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums;
  width: 100% }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap }
th { background: var(--band); font-weight: 600; vertical-align: bottom }
tr + tr > td { border-top: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--page) }
th:first-child { background: var(--band) }
small { color: var(--dim) }
summary { cursor: pointer; color: var(--link); font-size: .875rem }
""".strip()


class Markdown:
    """Writes the parts of a page in Markdown."""

    def head(self, contents):
        return [f"# {TITLE}"]

    def section(self, name, title):
        return f"## {title}"

    def heading(self, text):
        return f"### {text}"

    def text(self, words):
        return words

    def dim(self, words):
        return words

    def items(self, lines):
        return "\n".join(f"- {line}" for line in lines)

    def table(self, head, rows):
        rule = [":--"] + ["--:"] * (len(head) - 1)
        lines = ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]
        return "\n".join(lines)

    def folded(self, summary, inside):
        return f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>"

    def picture(self, drawn):
        if not drawn.dark:
            return f"![{drawn.title}]({drawn.light.name})"
        return (
            f'<picture><source media="(prefers-color-scheme: dark)" srcset="{drawn.dark.name}">'
            f'<img alt="{html.escape(drawn.title)}" src="{drawn.light.name}"></picture>'
        )

    def whole(self, parts):
        return "\n\n".join(parts) + "\n"


class Html:
    """Writes the parts of a page in one HTML file that needs no other file."""

    def head(self, contents):
        links = "".join(f'<a href="#{name}">{html.escape(t)}</a>' for name, t in contents.items())
        return [f"<h1>{TITLE}</h1>", f"<nav>{links}</nav>"]

    def section(self, name, title):
        return f'<h2 id="{name}">{html.escape(title)}</h2>'

    def heading(self, text):
        return f"<h3>{html.escape(text)}</h3>"

    def text(self, words):
        return f"<p>{html.escape(words)}</p>"

    def dim(self, words):
        return f'<p class="dim">{html.escape(words)}</p>'

    def items(self, lines):
        return '<ul class="dim">' + "".join(f"<li>{html.escape(x)}</li>" for x in lines) + "</ul>"

    def table(self, head, rows):
        def cell(text):
            return re.sub(r"( \([^)]*\))", r"<small>\1</small>", html.escape(text))

        lines = ["".join(f"<th>{html.escape(name)}</th>" for name in head)]
        lines += ["".join(f"<td>{cell(text)}</td>" for text in row) for row in rows]
        return (
            '<div class="wide"><table>'
            + "".join(f"<tr>{x}</tr>\n" for x in lines)
            + "</table></div>"
        )

    def folded(self, summary, inside):
        return f"<details><summary>{html.escape(summary)}</summary>\n{inside}\n</details>"

    def picture(self, drawn):
        source = ""
        if drawn.dark:
            source = f'<source media="(prefers-color-scheme: dark)" srcset="{inlined(drawn.dark)}">'
        image = f'<img alt="{html.escape(drawn.title)}" src="{inlined(drawn.light)}">'
        return f"<figure><picture>{source}{image}</picture></figure>"

    def whole(self, parts):
        inside = "\n".join(parts)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>\n{STYLE}\n</style></head><body>\n{inside}\n</body></html>\n"
        )


def inlined(path):
    """Return a picture as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def cells_of(table, kinds):
    """Return head and rows of the columns of these kinds, or nothing if all are labels."""
    chosen = [k for k, kind in enumerate(table["columns"].values()) if kind in kinds]
    names, held = list(table["columns"]), list(table["columns"].values())
    if all(held[k] == LABEL for k in chosen):
        return None
    rows = [[shown(row[k], held[k], spread=True) for k in chosen] for row in table["rows"]]
    return [names[k] for k in chosen], rows


def tables(form, table, *, drawn):
    """Yield a table of ratios and, folded, the absolute figures; long tables are folded too."""
    yield form.heading(table["title"])
    if table["note"]:
        yield form.dim(table["note"])
    parts = [cells_of(table, kinds) for kinds in (FIRST, SECOND)]
    folded = [drawn and len(table["rows"]) > LONG, parts[0] is not None]
    for part, fold, name in zip(parts, folded, ("ratios", "absolute figures")):
        if part:
            yield form.folded(name, form.table(*part)) if fold else form.table(*part)


def conditions(section):
    """Describe the machine and the versions that a section was measured with."""
    machine, versions = section["machine"], section["versions"]
    held = ", ".join(f"{level} {size // 1024:,} KB" for level, size in machine["caches"].items())
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return (
        f"{machine['processor']}, up to {machine['threads']} threads"
        f"{', ' + held if held else ''}, {machine['system']}. {libraries}."
    )


def parts(form, sections, drawn):
    """Yield the parts of a page."""
    yield from form.head({name: section["title"] for name, section in sections.items()})
    yield form.text(ABOUT)
    usual = [words for words, _ in groupby(sorted(map(conditions, sections.values())))]
    if len(usual) == 1:
        yield form.text(usual[0])
    for name, section in sections.items():
        yield form.section(name, section["title"])
        if section["about"]:
            yield form.text(section["about"])
        for picture in drawn.get(name, ()):
            yield form.picture(picture)
        for table in section["tables"]:
            yield from tables(form, table, drawn=name in drawn)
        lines = [f"{who}: {how}" for who, how in section["settings"].items()]
        lines += [f"{who}: {version}" for who, version in section["peers"].items()]
        lines += section["left_out"] + section["notes"]
        if lines:
            yield form.items(lines)
        where = f" {conditions(section)}" if len(usual) > 1 else ""
        small = " Small sizes, few rounds." if section["quick"] else ""
        yield form.dim(
            f"Measured {section['date']} in {section['took']:.0f} s, with a load of "
            f"{section['load']} before.{small}{where}"
        )


def write(sections, drawn, folder):
    """Write the pages and return their paths; `drawn` has the pictures of the sections."""
    written = []
    for form, ending in ((Markdown(), "md"), (Html(), "html")):
        path = folder / f"report.{ending}"
        path.write_text(form.whole(parts(form, sections, drawn)))
        written.append(path)
    return written
