"""Rows that a stream goes over again, and the states before them."""

import numpy as np
import pytest
from linear_fits import LinearFit, fit_config, lazy_groups
from scipy import sparse
from strategies import equal_bits, sparse_problem

from lrcore import RMSProp
from lrcore.linear_model.engine import replay_buffer
from lrcore.linear_model.engine.replay_buffer import ReplayBuffer, saved_features
from lrcore.linear_model.problem import Problem

X, DENSE, LABELS, _ = sparse_problem(n_rows=80, n_features=40)
Y = np.where(LABELS, 1.0, -1.0)


@pytest.mark.parametrize("small", [0, 1 << 16], ids=["large model", "small model"])
@pytest.mark.parametrize("matrix", [X, DENSE], ids=["csr", "dense"])
def test_rows_are_undone_to_the_bit(matrix, small, monkeypatch):
    monkeypatch.setattr(replay_buffer, "SMALL", small)
    # Periods so long that no penalty is applied in between, as a stream sees to it.
    config = fit_config("log_loss", RMSProp(0.1), 1e-3, 1e-2, averaged_from=5)
    fit = LinearFit(config, matrix, lazy_groups((40, 1000)), y=Y)
    fit.fit_rows(np.arange(50), 5)
    before = fit.state.copy()
    problem = Problem(fit.X, [Y], None, fit.objective)
    replay = ReplayBuffer.of(problem.span(50, 80), [fit.state])
    assert replay.rows.n_rows == 30
    assert not np.shares_memory(replay.rows.X.values, fit.X.values)
    fit.fit_rows(np.arange(50, 80), 5)
    assert not equal_bits(fit.state.columns, before.columns)
    replay.undo([fit.state])
    assert equal_bits(fit.state.columns, before.columns)
    assert equal_bits(fit.state.average.changes, before.average.changes)
    assert fit.state.t == before.t == 50


def test_which_features_are_saved(monkeypatch):
    fit = LinearFit(fit_config("log_loss", RMSProp(0.1)), X, y=Y)
    assert saved_features(fit.X).tolist() == list(range(41))
    monkeypatch.setattr(replay_buffer, "SMALL", 0)
    rows = fit.X.span(0, 3)
    assert saved_features(rows).tolist() == [*rows.indices, 40]
    assert len(saved_features(LinearFit(fit_config("log_loss", RMSProp(0.1)), DENSE).X)) == 41
    assert sparse.issparse(X)
