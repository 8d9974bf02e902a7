"""The build ends with a sentence that names a missing piece, its class and its file."""

import shutil
from pathlib import Path

import pytest

from lrcore._core import generate

SOURCES = ("rules", "losses.py", "penalties.py", "_core/rules.pxd", "_core/losses.pxd",
           "_core/penalties.pxd")  # fmt: skip


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the sources that the generator reads."""
    for name in SOURCES:
        source, target = generate.ROOT / "lrcore" / name, tmp_path / "lrcore" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    return tmp_path / "lrcore"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_generated_files_are_those_of_the_sources(copy):
    assert generate.main() == 0
    here = Path(generate.__file__).parent / "generated"
    for path in (copy / "_core/generated").iterdir():
        assert path.read_text() == (here / path.name).read_text(), f"{path.name}: build anew"


def test_a_file_that_stays_the_same_is_not_written(copy):
    generate.main()
    before = {p.name: p.stat().st_mtime_ns for p in (copy / "_core/generated").iterdir()}
    edit(copy / "rules/ftrl.py", '"l1")', '"l1", "more")')
    generate.main()
    after = {p.name: p.stat().st_mtime_ns for p in (copy / "_core/generated").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"rule_types.pxi"}


MISTAKES = {
    "no element formula": (
        "_core/rules.pxd", "void LionFormula_update(", "void other(",
        "LionFormula (lrcore/rules/gradient.py) has no twin in the compiled core: write the "
        "function LionFormula_update in lrcore/_core/rules.pxd.",
    ),
    "no preconditioner": (
        "_core/rules.pxd", "real AdamFormula_preconditioner(", "real other(",
        "AdamFormula (lrcore/rules/adam.py) has no twin in the compiled core: write the function "
        "AdamFormula_preconditioner in lrcore/_core/rules.pxd.",
    ),
    "no class": (
        "rules/ftrl.py", "class FTRLFormula(Formula)", "class FTRLFormula",
        "lrcore/_core/rules.pxd has the function FTRLFormula_update, but no class has the method "
        "FTRLFormula.update: write that, or remove the function.",
    ),
    "a computed attribute": (
        "rules/adaptive.py", 'slow = "sum_of_squares"', "slow = SUM",
        "AdaGradFormula (lrcore/rules/adaptive.py) has slow = SUM, which the build cannot evaluate "
        "without importing the package: write the value out.",
    ),
    "states in another order": (
        "_core/rules.pxd", "real* mean, real* square, real* largest",
        "real* square, real* mean, real* largest",
        "AMSGradFormula_update in lrcore/_core/rules.pxd takes (c, w, g, square, mean, largest), "
        "and its twin in lrcore/rules/adam.py takes (c, w, g, mean, square, largest): give both "
        "the same parameters.",
    ),
    "a state that no method takes": (
        "rules/gradient.py", 'state = ("momentum_buffer",)', 'state = ("momentum_buffer", "other")',
        "MomentumFormula (lrcore/rules/gradient.py) has state = ('momentum_buffer', 'other'), but "
        "its method update takes (c, w, g, buffer).",
    ),
    "an unknown column": (
        "rules/adam.py", 'rate_columns = ("gradient_lr", "mean_lr")', 'rate_columns = ("other",)',
        "NadamFormula (lrcore/rules/adam.py) names the column 'other'; its columns are "
        "('gradient_lr',",
    ),
    "an unknown state": (
        "rules/adaptive.py", 'slow = "sum_of_squares"', 'slow = "other"',
        "AdaGradFormula (lrcore/rules/adaptive.py) has slow = 'other'; its state is "
        "('sum_of_squares',).",
    ),
    "no loss in the core": (
        "_core/losses.pxd", "void Gamma_evaluate(", "void other(",
        "Gamma (lrcore/losses.py) has no twin in the compiled core: write the function "
        "Gamma_evaluate in lrcore/_core/losses.pxd.",
    ),
    "a loss with two numbers": (
        "losses.py", "epsilon: float = 0.1", "epsilon: float = 0.1\n    other: float = 0.2",
        "Huber (lrcore/losses.py) has the fields epsilon, other; the core hands it 1 at most.",
    ),
    "no penalty in the core": (
        "_core/penalties.pxd", "real ElasticNet_prox(", "real other(",
        "ElasticNet (lrcore/penalties.py) has no twin in the compiled core: write the function "
        "ElasticNet_prox in lrcore/_core/penalties.pxd.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_missing_is_named(copy, capsys, mistake):
    file, old, new, message = MISTAKES[mistake]
    edit(copy / file, old, new)
    assert generate.main() == 1
    assert f"lrcore cannot be built: {message}" in capsys.readouterr().err
    assert not (copy / "_core/generated").exists()
