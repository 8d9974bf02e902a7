"""An interruption leaves the estimator before a call or that after it, whole."""

from functools import partial

import numpy as np
import pytest
from interruptions import ctrl_c_after, interrupt, places
from scipy import sparse

from lrcore import LinearClassifier, LinearClassifierCV, LinearRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    # Of generators that are thrown away while they are interrupted.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6))
Y = X[:, 0] + 0.3 * RNG.normal(size=40) > 0
OTHER = RNG.normal(size=(30, 4))
LABELS = np.array(list("abc"))[RNG.integers(0, 3, 30)]


def new(**parameters):
    usual = {"solver": "stochastic", "lr": 0.5, "max_iter": 2, "random_state": 0}
    return LinearClassifier(**{**usual, **parameters})


def fitted(**parameters):
    return new(**parameters).fit(X, Y)


def cross_validated():
    return LinearClassifierCV(alphas=[0.1, 1.0], cv=2).fit(X, Y)


def plain(value):
    """Everything that an object holds, to be compared."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype == object else (value.dtype.str, value.tobytes())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if hasattr(value, "__dict__") and not callable(value):
        # The weights of a model follow from its states, and are kept once they have been asked for.
        return {k: plain(v) for k, v in value.__dict__.items() if k != "weights"}
    return None if callable(value) else repr(value)


ACTS = {
    "first fit": (new, lambda m: m.fit(X, Y)),
    "refit": (fitted, lambda m: m.fit(OTHER, LABELS)),
    "warm start": (partial(fitted, warm_start=True), lambda m: m.fit(X, Y)),
    "dual": (partial(fitted, solver="dual", lr="auto", warm_start=True), lambda m: m.fit(X, Y)),
    "newton": (partial(fitted, solver="newton", lr="auto"), lambda m: m.fit(OTHER, LABELS)),
    "first call": (new, lambda m: m.partial_fit(OTHER, LABELS, classes=["a", "b", "c"])),
    "next call": (fitted, lambda m: m.partial_fit(X, Y)),
    "regressor": (LinearRegressor, lambda m: m.fit(X, X[:, 1])),
    "its stream": (LinearRegressor, lambda m: m.partial_fit(X, X[:, :2])),
    "cross-validation": (cross_validated, lambda m: m.fit(OTHER, LABELS)),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_whole(act):
    start, do = ACTS[act]
    model = start()
    before = plain(model)
    do(model)
    after = plain(model)
    assert before != after
    found = set()
    model = start()
    for at in places(partial(do, model), 12 if act != "cross-validation" else 3):
        model = start()
        interrupt(partial(do, model), at)
        now = plain(model)
        assert now in (before, after), at
        found.add(now == after)
    assert False in found


#: Rows of few features out of very many: a stream moves such a model without a copy.
FEATURES = np.sort(RNG.integers(0, 400_000, (2000, 10)), axis=1)
WIDE = sparse.csr_array(
    (RNG.normal(size=20_000).astype(np.float32), FEATURES.ravel(), np.arange(2001) * 10),
    (2000, 400_000),
)
WIDE_LABELS = RNG.integers(0, 2, 2000) > 0


def test_ctrl_c_in_a_stream_that_moves_the_model_itself(ctrl_c):
    """What it has counted is what it has learnt: the rest of the rows lead to the same model."""
    model = LinearClassifier(
        solver="stochastic", lr=0.5, penalty="l2", alpha=1e-4, n_threads=1, block_size=16
    )
    model.partial_fit(WIDE[:50], WIDE_LABELS[:50], classes=[False, True])
    done = t = 50
    stopped = 0
    for k in range(40):
        t = model.t_
        try:
            with ctrl_c_after(0.0005 + 0.0002 * k):
                model.partial_fit(WIDE[done : done + 40], WIDE_LABELS[done : done + 40])
                wait_for_ctrl_c()
        except KeyboardInterrupt:
            stopped += 1
        done += model.t_ - t
    expected = LinearClassifier(**model.get_params())
    expected.partial_fit(WIDE[:done], WIDE_LABELS[:done], classes=[False, True])
    assert stopped == 40
    assert done > 50
    assert model.t_ == expected.t_ == done
    assert np.array_equal(model.coef_, expected.coef_)


def wait_for_ctrl_c():
    for _ in range(10**9):
        pass
