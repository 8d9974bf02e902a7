"""How many of its first rows a stream's rate follows from, and how many rates are tried on."""

import numpy as np
import pytest
from scipy import sparse

import lrcore
from lrcore.linear_model import stream_call
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers import stream_start
from lrcore.linear_model.solvers.stream_start import restarted, to_keep
from lrcore.losses import Softmax, make
from lrcore.penalties import ElasticNet


def rows(n_rows, loss=None, n_values=2):
    X = sparse.csr_matrix(
        (np.ones(n_rows * n_values), np.tile(np.arange(n_values), n_rows),
         np.arange(n_rows + 1) * n_values),
        (n_rows, 50),
    )  # fmt: skip
    objective = Objective(loss or make("log_loss"), ElasticNet(0.0, 0.0))
    return Problem(as_design_matrix(X, None, None), [np.zeros(n_rows)], None, objective)


@pytest.mark.parametrize(
    ("n_rows", "n_deciding", "kept"),
    [(1, 1, 1), (2047, 1024, 2047), (2048, 2048, 2048), (5000, 4096, 5000), (16384, 16384, 0),
     (40000, 16384, 0)],
)  # fmt: skip
def test_powers_of_two_decide_up_to_the_last(n_rows, n_deciding, kept):
    problem = rows(n_rows)
    start = restarted(None, problem)
    assert start.n_deciding == n_deciding
    left = to_keep(start, None, problem)
    assert (0 if left is None else left.n_rows) == kept


def test_of_rows_with_many_values_fewer_decide(monkeypatch):
    monkeypatch.setattr(stream_start, "MANY_VALUES", 2 * 4096 * 2)
    start = restarted(None, rows(3000))
    assert (start.n_deciding, to_keep(start, None, rows(3000)).n_rows) == (2048, 3000)
    for n_rows in (8192, 10_000, 20_000):
        start = restarted(None, rows(n_rows))
        assert (start.n_deciding, to_keep(start, None, rows(n_rows))) == (8192, None)
    start = restarted(None, rows(20_000, n_values=40))
    assert (start.n_deciding, to_keep(start, None, rows(20_000, n_values=40))) == (2048, None)


def test_rates_of_many_outputs_are_tried_on_fewer_rows():
    assert restarted(None, rows(16384)).n_tried == 16384
    assert restarted(None, rows(16384, Softmax(8))).n_tried == 8192
    assert restarted(None, rows(16384, Softmax(100))).n_tried == 4096
    assert restarted(None, rows(300, Softmax(100))).n_tried == 256


def test_a_stream_tries_rates_on_all_rows_that_decide(monkeypatch):
    seen = []
    monkeypatch.setattr(stream_call, "find_lr", lambda *args, n_tried: seen.append(n_tried) or 0.1)
    X = np.random.default_rng(0).normal(size=(5000, 3))
    lrcore.LinearRegressor().partial_fit(X, X[:, 0])
    assert seen == [4096]
