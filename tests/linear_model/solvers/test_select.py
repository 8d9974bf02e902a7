"""The solver that an estimator's parameters describe, and the one that is chosen."""

import numpy as np
import pytest
from scipy import sparse

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.solvers.dual import Dual
from lrcore.linear_model.solvers.proximal_newton import ProximalNewton
from lrcore.linear_model.solvers.select import SOLVERS, choose_solver, make_solver
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


# ---- solver="auto" ------------------------------------------------------------------------------


def chosen(cls=LinearClassifier, shape=(500, 10), density=1.0, **keywords):
    """The name of the solver of a fit, and why; nothing is fitted."""
    X = sparse.random(*shape, density=density, format="csr", random_state=0)
    X = X.toarray() if density == 1.0 else X
    model = cls(**keywords)
    y = [np.where(np.arange(shape[0]) % 2, 1.0, -1.0)]
    matrix = as_design_matrix(X)
    problem = Problem(matrix, y, None, model._objective(matrix, 1))
    solver, reason = choose_solver(model, problem)
    return solver.name, reason


@pytest.mark.parametrize(
    "keywords, expected",
    [
        ({}, "newton"),
        ({"shape": (500, 5000), "density": 0.01}, "dual"),
        ({"shape": (500, 5000), "density": 0.01, "penalty": "l1"}, "newton"),
        ({"shape": (500, 5000), "density": 0.01, "penalty": None}, "stochastic"),
        ({"shape": (500, 5000), "density": 0.01, "alpha": 0.0}, "stochastic"),
        ({"loss": "hinge"}, "dual"),
        ({"loss": "hinge", "penalty": "l1"}, "stochastic"),
        ({"loss": "perceptron"}, "stochastic"),
        ({"cls": LinearRegressor, "loss": "poisson"}, "newton"),
        ({"cls": LinearRegressor, "loss": "absolute_error"}, "dual"),
        ({"cls": LinearRegressor, "loss": "huber", "epsilon": 2.0}, "newton"),
        ({"cls": LinearRegressor, "loss": "huber", "epsilon": 1e-3}, "dual"),
        ({"loss": "modified_huber"}, "newton"),
        ({"penalty": "elasticnet", "l1_ratio": 0.0}, "newton"),
    ],
)
def test_auto_chooses_by_loss_penalty_and_counts(keywords, expected):
    assert chosen(**keywords)[0] == expected


@pytest.mark.parametrize(
    "keywords",
    [
        {"optimizer": "adagrad"},
        {"optimizer": lrcore.SGD(0.1)},
        {"lr": 0.5},
        {"lr": [0.1, 0.2]},
        {"average": True},
        {"batch_size": 16},
        {"on_divergence": "recover"},
        {"max_iter": 1},
    ],
)
def test_auto_takes_steps_where_a_parameter_is_about_steps(keywords):
    name, reason = chosen(**keywords)
    assert name == "stochastic"
    assert next(iter(keywords)) in reason


def test_a_fit_says_which_solver_and_why(capsys):
    X = np.random.default_rng(0).normal(size=(100, 3))
    model = LinearClassifier(verbose=1).fit(X, X[:, 0] > 0)
    assert model.solver_ == "newton"
    printed = capsys.readouterr().out
    assert "solver newton: 3 weights are few" in printed
    assert "by held-out rows" in printed
