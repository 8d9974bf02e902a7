"""What is minimised: values and subgradients, and parts of the rows."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from strategies import LOSSES, equal_bits, sparse_problem, targets_for

import lrcore
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.losses import Softmax
from lrcore.penalties import ElasticNet

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=60, n_features=10)
WEIGHT = np.arange(60) % 4 * 0.5
FACTORS = np.arange(10) % 3 * 0.75


def problem(loss="squared_error", matrix=X, weight=WEIGHT, **objective):
    loss = LOSSES[loss] if isinstance(loss, str) else loss
    y = np.arange(60.0) % 3 if loss.joint else targets_for(loss, LABELS, TARGET)
    how = Objective(loss, ElasticNet(0.1, 0.2), **objective)
    return Problem(as_design_matrix(matrix), [y, -y] if not loss.joint else [y], weight, how)


def same(a, b):
    """Whether two problems have the same rows, in bits."""
    weights = equal_bits(a.sample_weight, b.sample_weight) if a.sample_weight is not None else True
    return (
        np.array_equal(dense(a), dense(b))
        and all(map(equal_bits, a.targets, b.targets))
        and weights
        and (a.sample_weight is None) == (b.sample_weight is None)
    )


def dense(p):
    if p.X.indptr is None:
        return p.X.values
    return sparse.csr_matrix((p.X.values, p.X.indices, p.X.indptr), p.X.shape).toarray()


# ---- the objective --------------------------------------------------------------------------


def test_penalties_count_by_the_factors_of_the_features():
    w = np.random.default_rng(0).normal(size=(2, 10))
    plain = Objective(LOSSES["hinge"], ElasticNet(0.1, 0.2))
    weighed = Objective(LOSSES["hinge"], ElasticNet(0.1, 0.2), True, FACTORS)
    assert plain.penalty_value(w) == pytest.approx(0.1 * np.abs(w).sum() + 0.1 * np.sum(w**2))
    expected = (FACTORS * (0.1 * np.abs(w) + 0.1 * w**2)).sum()
    assert weighed.penalty_value(w) == pytest.approx(expected, rel=1e-14)
    gradient = np.zeros_like(w)
    got = weighed.subgradient(gradient, w)
    np.testing.assert_allclose(got, FACTORS * (0.1 * np.sign(w) + 0.2 * w), rtol=1e-14)


def test_factors_follow_features_that_are_numbered_anew():
    weighed = Objective(LOSSES["hinge"], ElasticNet(0.1), True, FACTORS)
    new = weighed.with_features(np.array([4, 0, 7]))
    assert new.penalty_factors.tolist() == [FACTORS[4], FACTORS[0], FACTORS[7]]
    assert weighed.with_features(None) is weighed
    plain = Objective(LOSSES["hinge"], ElasticNet(0.1))
    assert plain.with_features(np.array([1])) is plain
    bounded = Objective(LOSSES["hinge"], ElasticNet(0.1), positive=np.arange(10) == 4)
    assert bounded.with_features(np.array([3, 4])).positive.tolist() == [False, True]


def test_where_a_weight_is_at_its_bound_no_gradient_leads_below():
    bounded = Objective(LOSSES["hinge"], ElasticNet(0.1), positive=np.array([True] * 4 + [False]))
    gradient, w = np.array([[-0.3, 0.3, -0.05, 0.3, 0.3]]), np.array([[0.0, 0.0, 0.0, 2.0, 0.0]])
    got = bounded.subgradient(gradient, w)
    np.testing.assert_allclose(got, [[-0.2, 0.0, 0.0, 0.4, 0.2]], atol=1e-15)
    assert bounded.l1_below(5).tolist() == [np.inf] * 4 + [0.1]
    assert bounded.moves_weights
    assert Objective(LOSSES["hinge"], ElasticNet(), positive=np.ones(3, bool)).moves_weights
    assert not Objective(LOSSES["hinge"], ElasticNet()).moves_weights


def test_offsets_go_with_the_rows():
    loss, offset = lrcore.losses.make("poisson"), np.arange(60.0)[:, None]
    y = np.ones(60)
    how = Objective(loss, ElasticNet())
    both = Problem(problem().X, [y, y], None, how, offsets=[offset, -offset])
    assert both.take(np.array([3, 1])).offsets[1].tolist() == [[-3.0], [-1.0]]
    assert both.bundled(2).offsets[0][7].tolist() == [7.0, -7.0]
    assert [one.offsets[0][5, 0] for one in both.each_target()] == [5.0, -5.0]
    without = replace(both, offsets=None)
    assert without.offset(0) == 0.0
    stacked = without.span(0, 2).followed_by(both.span(4, 5))
    assert stacked.offsets[0].tolist() == [[0.0], [0.0], [4.0]]
    bundled = without.bundled(2).span(0, 1).followed_by(both.bundled(2).span(4, 5))
    assert bundled.offsets[0].tolist() == [[0.0, 0.0], [4.0, -4.0]]


# ---- means ----------------------------------------------------------------------------------


def test_means_are_weighted():
    of_rows = np.arange(60.0)
    assert problem().mean(of_rows) == pytest.approx(np.average(of_rows, weights=WEIGHT))
    assert problem(weight=None).mean(of_rows) == of_rows.mean()
    assert problem(weight=np.zeros(60)).mean(of_rows) == of_rows.mean()
    assert problem().total_weight == WEIGHT.sum()
    assert problem(weight=None).total_weight == 60.0


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_the_loss_of_weights_of_zero(weight):
    squares = np.average(TARGET**2 / 2, weights=weight)
    assert problem(weight=weight).reference() == (0.0, pytest.approx(squares, rel=1e-13))
    for loss, value in (("log_loss", math.log(2)), ("hinge", 1.0), (Softmax(3), math.log(3))):
        assert problem(loss, weight=weight).reference() == (0.0, pytest.approx(value))


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_constants_lose_least(loss, weight):
    """To a hundredth, by a search along a line: means and medians are near where they are not the
    best."""
    whole = problem(loss, weight=weight, fit_intercept=True)
    y, share = whole.targets[0].astype(float), whole.share
    assert np.ptp(y) > 0
    (constant, _) = whole.constants()
    least = np.sum(share * LOSSES[loss].least(y))

    def excess(z):
        return np.sum(share * LOSSES[loss].evaluate(np.full(len(y), z), y)[0]) - least

    best = min(excess(z) for z in np.linspace(-4, 4, 1601))
    assert excess(constant[0]) <= 1.01 * best + 1e-3
    z = [np.zeros(1), np.zeros(1)]
    assert problem(loss, weight=weight, fit_intercept=False).constants() == z


# ---- parts and forms ------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [X, DENSE], ids=["csr", "dense"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_parts_have_the_rows_that_they_name(matrix, weight):
    whole = problem(matrix=matrix, weight=weight)
    part = whole.span(10, 25)
    assert same(part, whole.take(np.arange(10, 25)))
    assert np.array_equal(dense(part), DENSE[10:25])
    assert np.shares_memory(part.X.values, whole.X.values)
    assert not np.shares_memory(whole.take(np.arange(60)).X.values, whole.X.values)
    assert same(part.followed_by(whole.span(25, 40)), whole.span(10, 40))


def test_rows_without_a_weight_count_as_one_beside_weighted_ones():
    first, second = problem(weight=None).span(0, 5), problem().span(5, 9)
    both = first.followed_by(second)
    assert both.sample_weight.tolist() == [*[1.0] * 5, *WEIGHT[5:9]]
    assert second.followed_by(first).sample_weight.tolist() == [*WEIGHT[5:9], *[1.0] * 5]


@pytest.mark.parametrize("kinds", [(X, DENSE), (DENSE, X)], ids=["csr dense", "dense csr"])
def test_sparse_and_dense_rows_are_joined(kinds):
    one, other = (problem(matrix=kind) for kind in kinds)
    both = one.span(0, 20).followed_by(other.span(20, 60))
    assert both.X.sparse == other.X.sparse
    assert np.array_equal(dense(both), DENSE)


def test_rows_of_weight_zero_are_left_out():
    whole = problem()
    kept = whole.without_weightless_rows()
    assert same(kept, whole.take(np.flatnonzero(WEIGHT)))
    assert kept.n_rows == 45
    for other in (problem(weight=None), problem(weight=np.ones(60))):
        assert other.without_weightless_rows() is other


def test_targets_of_several_outputs_lie_side_by_side():
    whole = problem()
    (y,) = whole.bundled(2).targets
    assert np.array_equal(y, np.stack(whole.targets, axis=1))
    assert whole.bundled(1) is whole


def test_scaled_columns_are_a_copy():
    whole = problem(matrix=DENSE)
    scale = np.full(10, 0.5)
    done = whole.scaled(scale, 0, 60)
    assert np.array_equal(scale, np.maximum(0.5, np.abs(DENSE).max(axis=0)))
    assert np.array_equal(done.X.values, DENSE / scale)
    assert whole.scaled(None, 0, 60) is whole
