"""The asv suite runs: every class of it, each of its parameters, on little data."""

import contextlib
import importlib
import inspect
import pkgutil

import benchmarks
import pytest
from benchmarks import workloads

from lrcore import losses, rules, schedules

KINDS = ("time_", "timeraw_", "peakmem_", "track_")


def methods(cls):
    """Names of what asv would run."""
    return [name for name in dir(cls) if name.startswith(KINDS)]


CLASSES = {
    f"{module.name}.{name}": cls
    for module in pkgutil.iter_modules(benchmarks.__path__)
    for name, cls in vars(importlib.import_module(f"benchmarks.{module.name}")).items()
    if inspect.isclass(cls) and cls.__module__.endswith(f".{module.name}") and methods(cls)
}


def one_at_a_time(params):
    """The smallest of all parameters, and each other value of one of them, if it is no size."""
    base = [min(each) if isinstance(each[0], int) else each[0] for each in params]
    yield tuple(base)
    for k, values in enumerate(params):
        if not isinstance(values[0], int) or max(values) <= 256:
            yield from ((*base[:k], v, *base[k + 1 :]) for v in values if v != base[k])


@pytest.fixture
def little(monkeypatch, tmp_path):
    monkeypatch.setattr(workloads, "ROWS", 200)
    monkeypatch.setattr(workloads, "FEATURES", 1 << 8)
    monkeypatch.chdir(tmp_path)


def test_there_is_a_class_for_each_subject():
    found = {name.partition(".")[0] for name in CLASSES}
    assert found == {"step", "fit", "schedule", "minimize", "startup", "ingestion"}


def test_parameters_come_from_the_registries():
    step, fit = CLASSES["step.Step"], CLASSES["fit.Epoch"]
    assert set(rules.RULES) <= set(step.params[0])
    assert fit.params[1:3] == [list(losses.ALL), list(rules.LINEAR_RULES)]
    assert set(CLASSES["schedule.Rates"].params[0]) == set(schedules.SCHEDULES)
    assert set(CLASSES["minimize.Minimize"].params[1]) == set(rules.RULES)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore::lrcore.UselessFitWarning")  # of fits as short as can be
def test_every_benchmark_runs(name, little):
    cls = CLASSES[name]
    assert len(cls.params) == len(cls.param_names)
    first = [cls().setup_cache()] if hasattr(cls, "setup_cache") else []
    ran = 0
    for values in one_at_a_time(cls.params):
        each = cls()
        with contextlib.suppress(NotImplementedError):  # what asv leaves out
            if hasattr(cls, "setup"):
                each.setup(*first, *values)
            for method in methods(cls):
                result = getattr(each, method)(*first, *values)
                assert (result is None) == method.startswith(("time_", "peakmem_"))
            ran += 1
    assert ran
