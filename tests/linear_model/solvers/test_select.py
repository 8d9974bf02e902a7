"""The solver that an estimator's parameters describe."""

import pytest

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model.solvers.dual import Dual
from lrcore.linear_model.solvers.proximal_newton import ProximalNewton
from lrcore.linear_model.solvers.select import SOLVERS, make_solver
from lrcore.linear_model.solvers.stochastic import Stochastic


def test_solvers_have_their_names():
    assert set(SOLVERS) == {"stochastic", "dual", "newton"}
    for name in SOLVERS:
        penalty = "l1" if name == "newton" else "l2"
        solver = make_solver(LinearClassifier(solver=name, penalty=penalty, alpha=1e-3))
        assert solver.name == name
        kinds = {"stochastic": Stochastic, "dual": Dual, "newton": ProximalNewton}
        assert isinstance(solver, kinds[name])


@pytest.mark.parametrize("cls", [LinearClassifier, LinearRegressor])
def test_parameters_reach_the_stochastic_solver(cls):
    rule = lrcore.RMSProp(0.02)
    keywords = {"batch_size": 4, "block_size": 32, "average": 7, "n_iter_no_change": 3}
    solver = make_solver(cls(optimizer=rule, on_divergence="recover", **keywords))
    assert solver == Stochastic(rule, "auto", False, 4, 32, 7, 3, True)
    named = make_solver(cls(optimizer="rmsprop", lr=0.3))
    assert type(named.rule) is lrcore.RMSProp
    assert named.rule.lr == lrcore.RMSProp.linear_lr
    assert named.searches
    assert named.lr == 0.3
    assert make_solver(cls(lr=[0.1, 0.2])).lr.tolist() == [0.1, 0.2]


def test_a_warm_start_keeps_the_rate_that_was_found():
    model = LinearClassifier(warm_start=True)
    assert make_solver(model).previous_lr is None
    model.lr_ = 0.3
    assert make_solver(model).previous_lr == 0.3
    model.warm_start = False
    assert make_solver(model).previous_lr is None
