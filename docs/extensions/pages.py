"""Pages made from lrcore itself: one for each rule and schedule, lists of all of them, the report.

They are written to ``generated/`` before Sphinx reads anything. Their contents come from the
docstrings: the summary, the equations of the Notes, the example that draws. So every rule and
schedule in its registry has a page.
"""

import argparse
import html
import inspect
import re
import shutil
from dataclasses import is_dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import pictures
from numpydoc.docscrape import ClassDoc
from sphinx.application import Sphinx

import lrcore
from lrcore import rules, schedules
from lrcore.cli.main import SUBCOMMANDS, module_of

#: Where `make report` writes its page and its pictures.
REPORT = Path(__file__).parents[2] / "bench" / "results"

#: How the report includes a picture that exists for light and for dark pages.
PICTURE = re.compile(
    r'<picture><source [^>]*srcset="(.*?)"><img alt="(.*?)" src="(.*?)"></picture>'
)

#: The pictures of the report that other pages show as well.
SHOWN = ("optimum", "features", "bandwidth")

NO_REPORT = """\
The report
==========

No report existed when this copy of the site was built. In a clone of lrcore, ``make report``
measures everything on your machine and writes a page with pictures to ``bench/results``; ``make
docs`` then includes it here.
"""

RULE_PAGE = """\
{title}

.. plot::
   :include-source: false
   :alt: {name} in a long valley: its path to the minimum, and losses by steps at three rates.

   import pictures
   pictures.rule("{name}")

:ref:`What is drawn <rule-pictures>`.

.. currentmodule:: lrcore

.. autoclass:: {name}
"""

#: The picture for Plateau, whose rates are not a function of the step.
WATCHED = """\
import numpy as np, lrcore
   from lrcore.schedules import Constant, Plateau

   rng = np.random.default_rng(0)
   X = rng.normal(size=(2000, 20))
   y = rng.random(2000) < 1 / (1 + np.exp(-X @ rng.normal(size=20) / 2))
   rule = lrcore.SGD(lr=Plateau(Constant(0.1), factor=0.1, patience=4, floor=0.01))
   clf = lrcore.LinearClassifier(optimizer=rule, batch_size=10, max_iter=30, random_state=0)
   clf.fit(X, y).history_.plot()"""

SCHEDULE_PAGE = """\
{title}

.. plot::
   :alt: Rates of {name} by steps.

   {code}

.. currentmodule:: lrcore.schedules

.. autoclass:: {name}
   {members}
"""


def heading(text: str) -> str:
    """Return the heading of a page."""
    return f"{text}\n{'=' * len(text)}"


def summary(cls: type) -> str:
    """Return the summary of a class's docstring."""
    return " ".join(ClassDoc(cls)["Summary"])


def equations(cls: type) -> list[str]:
    """Return the first lines of a class's Notes: equations, and what their letters mean."""
    blocks = re.split(r"\n\n(?! )", "\n".join(ClassDoc(cls)["Notes"]))
    if not blocks[0].startswith(".. math::"):
        raise ValueError(f"the Notes of {cls.__name__} must begin with a .. math::")
    own = takewhile(lambda block: block.startswith((".. math::", "with ")), blocks)
    return "\n\n".join(own).splitlines()


def write(path: Path, text: str) -> None:
    """Write a file unless it has this text already, so that Sphinx reads only what has changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def write_list(folder: Path, classes: list[type]) -> None:
    """Write a list of classes with their summaries and equations, and a toctree of their pages."""
    lines = [".. rst-class:: registry", ""]
    for cls in classes:
        lines += [f"`{cls.__name__}`", f"   {summary(cls)}", ""]
        lines += [f"   {line}".rstrip() for line in equations(cls)] + [""]
    pages = [f"   generated/{folder.name}/{cls.__name__}" for cls in classes]
    lines += [".. toctree::", "   :hidden:", "", *pages, ""]
    write(folder / "list.txt", "\n".join(lines))


def write_table(path: Path, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Write a table with a line of headings."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        lines += [f"   {'  -' if i else '* -'} {cell}" for i, cell in enumerate(row)]
    write(path, "\n".join(lines) + "\n")


def without_gradient(rule: rules.Rule) -> str:
    """Say what a step does to a feature whose gradient is 0, in the words of the guide."""
    if rule.linear_formula is None:
        return "not for linear models"
    if rule.linear_formula.decay:
        return "caught up"
    w = np.ones(1)
    optimizer = lrcore.Optimizer(w, rule)
    optimizer.step(np.ones(1))
    before = w[0]
    optimizer.step(np.zeros(1))
    return "nothing moves" if w[0] == before else "lazy"


def write_rules(folder: Path) -> None:
    """Write a page for each rule, their list, and the tables of the guide."""
    for name in rules.RULES:
        write(folder / f"{name}.rst", RULE_PAGE.format(name=name, title=heading(name)))
    write_list(folder, list(rules.RULES.values()))
    plain = {f"`{name}`": cls() for name, cls in rules.RULES.items()}
    rows = [(name, without_gradient(rule)) for name, rule in plain.items()]
    write_table(folder / "absent.txt", ("rule", "features that occur in no row"), rows)
    rows = [
        (name, f"{rule.lr:g}", f"{rule.linear_lr:g}" if rule.linear_formula else "none")
        for name, rule in plain.items()
    ]
    head = ("rule", "default ``lr``", "where linear models begin their search")
    write_table(folder / "rates.txt", head, rows)


def write_schedules(folder: Path) -> None:
    """Write a page for each schedule, and their list."""
    classes = [*schedules.SCHEDULES.values(), schedules.Custom, schedules.Plateau]
    for cls in classes:
        if cls is schedules.Plateau:
            code, members = WATCHED, ":members:"
        else:
            drawn = pictures.example(cls)
            names = ", ".join(sorted(set(re.findall(r"[A-Z]\w+", drawn))))
            code = f"from lrcore.schedules import {names}\n\n   {drawn}.plot()"
            members = ""
        title = heading(cls.__name__)
        page = SCHEDULE_PAGE.format(name=cls.__name__, title=title, code=code, members=members)
        write(folder / f"{cls.__name__}.rst", page)
    write_list(folder, classes)


def themed(picture: re.Match[str]) -> str:
    """Return both versions of a picture, chosen by the theme of the site, not by the system."""
    dark, title, light = picture.groups()
    title = html.unescape(title)
    images = [
        f"```{{image}} {name}\n:alt: {title}\n:class: only-{theme}\n```"
        for name, theme in ((light, "light"), (dark, "dark"))
    ]
    return "\n".join(["````{container} wide", *images, "````"])


def shown(picture: re.Match[str]) -> str:
    """Return both versions of a picture for pages in any folder."""
    dark, title, light = picture.groups()
    lines = [".. container:: wide", ""]
    for name, theme in ((light, "light"), (dark, "dark")):
        lines += [
            f"   .. image:: /generated/report/{name}",
            f"      :alt: {html.unescape(title)}",
            f"      :class: only-{theme}",
            "",
        ]
    return "\n".join(lines)


def write_report(folder: Path) -> None:
    """Write the report and its pictures, or how to make it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in SHOWN:
        write(folder / f"{name}.txt", "")
    if not (REPORT / "report.md").exists():
        write(folder / "report.rst", NO_REPORT)
        return
    report = (REPORT / "report.md").read_text()
    for picture in PICTURE.finditer(report):
        write(folder / f"{Path(picture[3]).stem}.txt", shown(picture))
    text = PICTURE.sub(themed, report)
    if "<img" in text:
        raise ValueError(f"{REPORT / 'report.md'} has a picture that is not a plain <picture>")
    write(folder / "report.md", text)
    for path in [*REPORT.glob("*.png"), *REPORT.glob("*.svg")]:
        shutil.copy(path, folder)


def write_commands(folder: Path) -> None:
    """Write the usage and the options of each subcommand, from its parser."""
    for name in SUBCOMMANDS:
        parser = argparse.ArgumentParser(f"lrcore {name}", add_help=False)
        module_of(name).add_options(parser)
        formatter = argparse.HelpFormatter(parser.prog)
        lines = [".. rst-class:: options", ""]
        for group in parser._action_groups:
            for action in group._group_actions:
                meaning = re.sub(r"([*`|_\\])", r"\\\1", formatter._expand_help(action))
                meaning = re.sub(r"(?<!\S)(--?\w[\w-]*)", r"``\1``", meaning)
                lines += [f"``{formatter._format_action_invocation(action)}``", f"   {meaning}", ""]
        write(folder / f"{name}.txt", "\n".join(lines))


def write_pages(app: Sphinx) -> None:
    """Write all pages."""
    generated = Path(app.srcdir) / "generated"
    write_rules(generated / "rules")
    write_schedules(generated / "schedules")
    write_commands(generated / "commands")
    write_report(generated / "report")


def own_members(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave out what a class inherits from scikit-learn or dict, which document it themselves."""
    function = getattr(member, "fget", member)
    module = getattr(function, "__module__", None) or ""
    return None if module.startswith("lrcore") else True


def own_signature(
    app: Sphinx, what: str, name: str, item: object, options: object, signature: str | None,
    returned: str | None,
) -> tuple[str, None] | None:  # fmt: skip
    """Name the fields of a dataclass, where Sphinx would show what its `__new__` takes."""
    if what != "class" or not is_dataclass(item):
        return None
    whole = inspect.signature(item)
    fields = [each.replace(annotation=each.empty) for each in whole.parameters.values()]
    return str(whole.replace(parameters=fields, return_annotation=whole.empty)), None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("builder-inited", write_pages, priority=100)
    app.connect("autodoc-skip-member", own_members)
    app.connect("autodoc-process-signature", own_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
