"""Trained models out of the classes that pickles of 0.1.0 hold; `test_saved.py` has real ones."""

from types import SimpleNamespace

import numpy as np
import pytest
from strategies import equal_bits, sparse_problem

from lrcore import AdaGrad, DoG, LinearClassifier
from lrcore.linear_model import legacy

X, _, LABELS, _ = sparse_problem(n_rows=100, n_features=20)


def as_before(state):
    """The state as 0.1.0 named its parts."""
    lazy, average, dog = state.lazy_penalty, state.average, state.dog
    return SimpleNamespace(
        array=state.array, width=state.width, by_feature=state.by_feature,
        n_outputs=state.n_outputs, step=state.step, base=state.base, block=state.block,
        until=state.until,
        debt=SimpleNamespace(
            stops=lazy.stops, periods=lazy.periods, unpaid=lazy.rows_since,
            owed=lazy.accumulated_lr,
        ),
        average=average and SimpleNamespace(changes=average.changes, since=average.since),
        pace=dog and SimpleNamespace(sums=dog.sums, measured=dog.measured),
    )  # fmt: skip


def fitted_before(trained):
    """A `Fitted` of 0.1.0 that was this model."""
    objective, updates = trained.objective, trained.updates
    method = SimpleNamespace(
        loss=objective.loss, l1=objective.penalty.l1, l2=objective.penalty.l2,
        intercept=objective.fit_intercept, factors=objective.penalty_factors, rule=updates.rule,
        batch_size=updates.batch_size, block_size=updates.block_size,
        n_outputs=updates.n_outputs, averaged_from=updates.averaged_from, rate_factors=None,
    )  # fmt: skip
    rows = trained.replay.rows
    data = SimpleNamespace(rows=rows.X, targets=rows.targets, weight=rows.sample_weight)
    before = [as_before(state) for state in trained.replay.before]
    states = [as_before(state) for state in trained.states]
    pending = SimpleNamespace(data=data, before=before)
    return SimpleNamespace(method=method, states=states, scale=trained.scale, pending=pending)


@pytest.mark.parametrize("scale", [None, "auto"])
@pytest.mark.parametrize("rule", [AdaGrad(0.3), DoG()], ids=["adagrad", "dog"])
def test_a_stream_goes_on_to_the_bit(rule, scale):
    factors = np.arange(20) % 3 * 0.5
    keywords = {"optimizer": rule, "alpha": 1e-2, "penalty_factors": factors, "scale": scale}
    one, other = (
        LinearClassifier(average=True, **keywords).partial_fit(X[:50], LABELS[:50], [0, 1])
        for _ in range(2)
    )
    other._trained = legacy.trained_model(fitted_before(other._trained), "stochastic")
    assert equal_bits(other.coef_, one.coef_)
    for model in (one, other):
        model.partial_fit(X[50:], LABELS[50:])
    assert equal_bits(other.coef_, one.coef_)
    assert one.t_ == other.t_ == 100


def test_a_model_of_the_dual_solver_has_no_updates():
    clf = LinearClassifier().partial_fit(X, LABELS, [0, 1])
    fitted = fitted_before(clf._trained)
    fitted.pending = None
    model = legacy.trained_model(fitted, "dual")
    assert model.updates is None
    assert model.replay is None
