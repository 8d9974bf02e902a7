"""What the site is made of: every public name has a page, every docstring what its page shows."""

import inspect
import re
from pathlib import Path

import pytest

import lrcore
from lrcore import schedules
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
