"""The lists that tests run over: builds, dtypes, threads, sizes, rules; and drawn values."""

import numpy as np
from hypothesis import strategies as st

from lrcore import SGD, AdaGrad, Adam, RMSProp, _core

BUILDS = _core.runnable()
DTYPES = (np.float32, np.float64)
THREADS = (1, 2, 3, 7)
FUSED = {np.float32: "float", np.float64: "double"}

# Around every edge: vectors of 4 to 16, the kernels' grain of 64, the scan's blocks of 4,096.
SIZES = (
    0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 191, 192, 193, 255, 256, 257,
    4095, 4096, 4097, 10**6 + 3,
)  # fmt: skip

#: One of every formula, by what makes it special.
RULES = {
    "SGD": SGD(lr=0.1),
    "momentum": SGD(lr=0.1, momentum=0.9),
    "nesterov": SGD(lr=0.1, momentum=0.8, nesterov=True),
    "AdaGrad": AdaGrad(lr=0.3, eps=1e-8),
    "RMSProp": RMSProp(lr=0.02, rho=0.9),
    "RMSProp centered": RMSProp(lr=0.02, rho=0.9, centered=True),
    "RMSProp momentum": RMSProp(lr=0.02, rho=0.9, momentum=0.7),
    "RMSProp both": RMSProp(lr=0.02, rho=0.9, momentum=0.7, centered=True),
    "Adam": Adam(lr=0.05, beta1=0.8, beta2=0.95),
}

rates = st.floats(1e-4, 1.0)
fractions = st.floats(0.01, 0.999)
epsilons = st.floats(1e-10, 1e-3)


@st.composite
def drawn_rules(draw):
    """Any rule with any hyperparameters."""
    kind = draw(st.sampled_from(["sgd", "adagrad", "rmsprop", "adam"]))
    lr = draw(rates)
    if kind == "sgd":
        momentum = draw(st.one_of(st.just(0.0), fractions))
        return SGD(lr=lr, momentum=momentum, nesterov=momentum > 0 and draw(st.booleans()))
    if kind == "adagrad":
        return AdaGrad(lr=lr, eps=draw(epsilons))
    if kind == "rmsprop":
        return RMSProp(
            lr=lr,
            rho=draw(fractions),
            momentum=draw(st.one_of(st.just(0.0), fractions)),
            centered=draw(st.booleans()),
            eps=draw(epsilons),
        )
    return Adam(lr=lr, beta1=draw(fractions), beta2=draw(fractions), eps=draw(epsilons))


def vectors(size, dtype, seed, count=1):
    """Vectors that are neither tiny nor zero nor constant: magnitudes in [0.1, 3)."""
    rng = np.random.default_rng([seed, size])
    values = rng.uniform(0.1, 3.0, (count, size)) * rng.choice([-1.0, 1.0], (count, size))
    values = values.astype(dtype)
    if size > 1 and count:
        assert np.ptp(values[0]) > 0
    return values


def states_for(rule, size, dtype, seed=11):
    """States as they could have arisen: positive second moments above the squared means."""
    formula = rule.formula
    state = vectors(size, dtype, seed, len(formula.state))
    for i, name in enumerate(formula.state):
        if "square" in name:
            state[i] = np.abs(state[i]) + 10
    return state


def equal_bits(a, b):
    """Whether two arrays have the same dtype, shape and bits (NaN equals NaN)."""
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def sparse_problem(n_rows=300, n_features=60, density=0.15, seed=0, dtype=np.float64):
    """A CSR matrix with empty rows, empty columns, common and rare features; labels; targets."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    share = density * np.linspace(2.0, 0.02, n_features)
    mask = rng.random((n_rows, n_features)) < share
    mask[rng.integers(0, n_rows, 3)] = False
    mask[:, 7] = False
    dense = np.where(mask, rng.normal(0.0, 1.0, mask.shape), 0.0).astype(dtype)
    truth = rng.normal(0.0, 1.0, n_features)
    target = dense @ truth + 0.3 + rng.normal(0.0, 0.3, n_rows)
    labels = (target > 0.1).astype(int)
    assert 0.2 < labels.mean() < 0.8
    return sparse.csr_matrix(dense), dense, labels, target
