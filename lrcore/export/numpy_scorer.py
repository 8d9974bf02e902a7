"""A model as a Python file of a page that predicts by NumPy alone."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

from lrcore import losses
from lrcore._utils.version import __version__
from lrcore.export.coefficients import Coefficients
from lrcore.losses import Softmax

#: Characters of a line of numbers.
WIDTH = 96

HEAD = '''\
"""Predictions of a linear model by NumPy alone: {what}.

Written by lrcore {version}. X is an array or a matrix of scipy.sparse, (n_rows, {n_features}), with
the columns that the model was fitted to.
"""

import base64
import zlib

import numpy as np


def {raw}(X):
    """{says}"""
    X = X if hasattr(X, "tocsr") else np.asarray(X)
    if X.ndim != 2 or X.shape[1] != len(WEIGHTS):
        raise ValueError(f"X must have shape (n_rows, {{len(WEIGHTS)}}), got {{X.shape}}")
    return {shaped}
'''

SOFTMAX = """

def _softmax(raw):
    e = np.exp(raw - raw.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
"""

PROBABILITIES = '''

def predict_proba(X):
    """The probability of each {of}, (n_rows, n_{plural})."""
    values = decision_function(X)
    raw = values.astype(np.float64)
{lines}
    return p.astype(values.dtype)
'''

#: The probabilities of outputs by themselves, in terms of raw predictions.
OF_OUTPUTS = {
    "logistic": """\
    e = np.exp(-np.abs(raw))
    p = np.where(raw > 0, 1.0, e) / (1.0 + e)""",
    "clip": """\
    p = (np.clip(raw, -1.0, 1.0) + 1.0) / 2.0""",
}

#: Those of two classes, and those of more, one against the rest, scaled to sum to 1; where all are
#: too small for a float, by their logarithms, which are the raw predictions.
OF_TWO = """
    p = np.column_stack([1.0 - p, p])"""
OF_CLASSES = """
    total = p.sum(axis=1, keepdims=True)
    p = np.where(total > 0, p / np.where(total > 0, total, 1.0), {else_})"""
WITHOUT_ANY = {"logistic": "_softmax(raw)", "clip": "1.0 / p.shape[1]"}

PREDICT = '''

def predict(X{more}):
    """{says}"""
    return {returned}
'''

NUMBERS = """

def _numbers(dtype, text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


"""


def numpy_scorer(model: Coefficients) -> str:
    """The text of a Python file with ``decision_function``, ``predict_proba`` and ``predict``, as
    far as the model has them."""
    parts = [_raw(model)]
    if model.loss.probabilistic:
        parts += [_probabilities(model)]
    parts += [_predict(model), NUMBERS, _data(model)]
    return "".join(parts)


def _raw(model: Coefficients) -> str:
    name = losses.name_of(model.loss)
    kind = "classifier" if model.loss.classifies else "regressor"
    columns = model.n_outputs > 1 or model.multilabel or not (model.loss.classifies or model.single)
    shaped = "X @ WEIGHTS + INTERCEPTS" if columns else "(X @ WEIGHTS + INTERCEPTS)[:, 0]"
    shape = "(n_rows, n_outputs)" if columns else "(n_rows,)"
    says = f"``X @ WEIGHTS + INTERCEPTS``, {shape}."
    return HEAD.format(
        what=f"a {kind} with loss {name}",
        version=__version__, n_features=model.n_features, shaped=shaped, says=says,
        raw="decision_function" if model.loss.classifies else "linear_predictor",
    )  # fmt: skip


def _probabilities(model: Coefficients) -> str:
    if isinstance(model.loss, Softmax):
        lines, needs_softmax = "    p = _softmax(raw)", True
    else:
        lines, needs_softmax = OF_OUTPUTS[model.link], False
        if not model.multilabel and model.n_outputs == 1:
            lines += OF_TWO
        elif not model.multilabel:
            lines += OF_CLASSES.format(else_=WITHOUT_ANY[model.link])
            needs_softmax = model.link == "logistic"
    of, plural = ("label", "labels") if model.multilabel else ("class", "classes")
    found = PROBABILITIES.format(of=of, plural=plural, lines=lines)
    return (SOFTMAX if needs_softmax else "") + found


def _predict(model: Coefficients) -> str:
    if not model.loss.classifies:
        raw = "linear_predictor(X) + offset"
        returned = f"np.exp({raw})" if model.loss.log_link else raw
        says = "The prediction for each row, whose offset is added to ``X @ WEIGHTS + INTERCEPTS``."
        return PREDICT.format(more=", offset=0.0", says=says, returned=returned)
    if model.multilabel:
        says = "1 for each label that a row has, else 0, (n_rows, n_labels)."
        return PREDICT.format(more="", says=says, returned="(decision_function(X) > 0).astype(int)")
    one = model.n_outputs == 1
    codes = (
        "(decision_function(X) > 0).astype(int)" if one else "decision_function(X).argmax(axis=1)"
    )
    return PREDICT.format(more="", says="The class of each row.", returned=f"CLASSES[{codes}]")


def _data(model: Coefficients) -> str:
    """The weights of features that have any, as bytes in base64, and the classes."""
    features = np.flatnonzero(model.weights.any(axis=0))
    little, shape = model.weights.dtype.newbyteorder("<"), (model.n_features, model.n_outputs)
    weights = _numbers(model.weights.T[features], little)
    lines = []
    if model.classes is not None and not model.multilabel:
        lines += [f"CLASSES = {_classes(model.classes)}"]
    lines += [
        f"INTERCEPTS = np.array({model.intercepts.tolist()!r}, {little.name!r})",
        f"WEIGHTS = np.zeros({shape}, {little.name!r})",
        f"WEIGHTS[{_numbers(features)}] = {weights}.reshape(-1, {model.n_outputs})",
    ]
    return "\n".join(lines) + "\n"


def _numbers(values: np.ndarray, dtype: Any = "<i8") -> str:
    """The source of an array of one dimension."""
    data = zlib.compress(np.ascontiguousarray(values, dtype).tobytes())
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[k : k + WIDTH] for k in range(0, len(text), WIDTH))
    return f'_numbers("{np.dtype(dtype).str}", """\n{lines}\n""")'


def _classes(classes: np.ndarray) -> str:
    """The source of the classes: numbers, strings, flags or times."""
    if classes.dtype == object:
        return f"np.array({[str(label) for label in classes]!r}, object)"
    if classes.dtype.kind in "mM":
        return f"np.array({classes.astype('i8').tolist()!r}, 'i8').view({classes.dtype.str!r})"
    return f"np.array({classes.tolist()!r}, {classes.dtype.str!r})"
