"""What is said of names that other libraries have."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone

import lrcore
from lrcore import LinearClassifier, LinearClassifierCV, LinearRegressor, LinearRegressorCV, rules
from lrcore._utils.hints import OF_MODELS, OF_RULES, OF_SEARCHES


@pytest.mark.parametrize(
    "cls, names",
    [
        (LinearClassifier, OF_MODELS),
        (LinearRegressor, OF_MODELS),
        (LinearClassifierCV, OF_SEARCHES),
        (LinearRegressorCV, OF_SEARCHES),
    ],
)
def test_every_name_of_others_is_explained_by_the_estimators(cls, names):
    for name, here in names.items():
        with pytest.raises(TypeError) as caught:
            cls(**{name: 1})
        message = f"{cls.__name__} got an unexpected keyword argument {name!r}: here it is {here}"
        assert str(caught.value) == message


@pytest.mark.parametrize("name", sorted(OF_RULES))
def test_every_name_of_others_is_explained_by_the_rules(name):
    for cls in rules.RULES.values():
        if name not in inspect.signature(cls).parameters:
            with pytest.raises(TypeError, match=f"^{cls.__name__} got .* {name!r}: here it is"):
                cls(**{name: 1})


def test_typing_errors_are_guessed_and_nothing_is_said_where_nothing_is_like_it():
    with pytest.raises(TypeError, match=r"'alhpa': did you mean alpha\?$"):
        LinearRegressor(alhpa=1.0)
    with pytest.raises(TypeError, match=r"keyword argument 'zzz'$"):
        LinearClassifier(zzz=1.0)
    with pytest.raises(TypeError, match="'bta1': did you mean beta1"):
        lrcore.Adam(bta1=0.5)


def test_names_are_those_of_the_signature_and_of_derived_classes():
    class Own(LinearClassifier):
        def __init__(self, C=1.0):
            super().__init__(alpha=1.0 / C)
            self.C = C

    assert clone(Own(C=4.0)).alpha == 0.25
    with pytest.raises(TypeError, match="Own got an unexpected keyword argument 'alpha'"):
        Own(alpha=1.0)
    assert next(iter(inspect.signature(LinearClassifier).parameters)) == "loss"
    assert next(iter(inspect.signature(lrcore.Adam).parameters)) == "lr"


def test_an_optimizer_names_lr():
    opt = lrcore.Optimizer(np.ones(2), lrcore.Adam())
    for name in ("learning_rate", "eta"):
        with pytest.raises(AttributeError, match=f"{name!r} to set: here it is lr"):
            setattr(opt, name, 0.5)
        with pytest.raises(AttributeError, match=f"no attribute {name!r}: here it is lr"):
            getattr(opt, name)
    assert not hasattr(opt, "averages")
    assert pickle.loads(pickle.dumps(opt)).rule == opt.rule
    with pytest.raises(AttributeError, match="no averages"):
        opt.averages  # noqa: B018
