"""What the site is made of: every public name has a page, every docstring what its page shows."""

import argparse
import inspect
import re
import shlex
from pathlib import Path

import pytest

import lrcore
from lrcore import schedules
from lrcore.cli.main import SUBCOMMANDS, build_parser, chosen_of, module_of
from lrcore.rules import RULES
from lrcore.schedules import SCHEDULES

DOCS = Path(__file__).parents[2] / "docs"
CLASSES = {**RULES, **SCHEDULES, "Custom": schedules.Custom, "Plateau": schedules.Plateau}


def listed(page):
    """Names that the reference lists, without their modules."""
    lines = (DOCS / page).read_text().splitlines()
    return {line.strip(" ~").rpartition(".")[2] for line in lines if re.match(r"   [~\w.]+$", line)}


def test_every_public_name_is_in_the_reference():
    own_pages = {*RULES, "schedules", "io"}
    assert set(lrcore.__all__) - own_pages <= listed("api.rst")


def test_every_public_name_of_schedules_has_a_page():
    inner = {"SCHEDULES", "Length", "as_schedule", "check_rate", "check_steps", "interop"}
    assert set(schedules.__all__) - inner <= listed("api.rst") | set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_notes_begin_with_equations(name):
    notes = inspect.getdoc(CLASSES[name]).partition("\nNotes\n-----\n")[2]
    assert notes.startswith(".. math::")


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_last_example_draws_the_schedule(name):
    drawn = re.findall(r">>> display = (.*)\.plot\(\)", inspect.getdoc(SCHEDULES[name]))
    assert type(eval(drawn[-1], dict(vars(schedules)))) is SCHEDULES[name]


def documented(item):
    """Names of the parameters of a class or a function that its docstring describes."""
    names = set()
    section = (inspect.getdoc(item) or "").partition("\nParameters\n----------\n")[2]
    section = re.split(r"\n\w.*\n---", section)[0].replace("\\\n", "")
    for entry in re.split(r"\n(?=\S)", section):
        head, _, meaning = entry.partition("\n")
        if meaning.strip():
            names |= {name.strip(" *") for name in head.partition(" :")[0].split(",")}
    return names


PUBLIC = {
    **CLASSES,
    "Rule": lrcore.rules.Rule,
    **{name: getattr(lrcore, name) for name in lrcore.__all__},
    **{f"io.{name}": getattr(lrcore.io, name) for name in lrcore.io.__all__},
}


@pytest.mark.parametrize(
    "name", [name for name, item in PUBLIC.items() if type(item).__name__ != "module"]
)
def test_every_parameter_is_described(name):
    try:
        parameters = inspect.signature(PUBLIC[name]).parameters.values()
    except ValueError:  # exceptions and warnings, which take a message
        return
    taken = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}
    assert taken - {"args"} <= documented(PUBLIC[name])


def test_a_parameter_without_a_description_is_found():
    def function(a, b, c):
        """Do it.

        Parameters
        ----------
        a, b : int
            Both are described.
        c : int

        Returns
        -------
        c
            Not a parameter.
        """

    assert documented(function) == {"a", "b"}


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_the_command_line_has_a_section_and_the_options_of_each_subcommand(name):
    page = (DOCS / "command_line.rst").read_text()
    assert f"\n{name}\n{'-' * len(name)}\n" in page
    assert f".. include:: generated/commands/{name}.txt" in page


COMMANDS = [
    line
    for path in sorted(DOCS.glob("**/*.rst"))
    if "generated" not in path.parts
    for line in re.findall(
        r"^ +\$ (lrcore .*)$", path.read_text().replace("\\\n", ""), re.MULTILINE
    )
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_the_pages_have_options_that_exist(command, capsys):
    argv = shlex.split(command, comments=True)[1:]
    try:
        build_parser(chosen_of(argv)).parse_args(argv)
        status = 0
    except SystemExit as end:  # --help and --version end, too
        status = end.code
    assert status == 0, capsys.readouterr().err


def test_options_are_described():
    for name in SUBCOMMANDS:
        parser = argparse.ArgumentParser()
        module_of(name).add_options(parser)
        bare = [action.dest for action in parser._actions if not action.help]
        assert not bare, name
