"""The lists that tests run over: builds, dtypes, threads, sizes, rules; and drawn values."""

from dataclasses import fields
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st
from oracles import PARAMETERS

from lrcore import (
    FTRL,
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    DoG,
    Lion,
    Nadam,
    RAdam,
    RMSProp,
    ScheduleFreeAdamW,
    _core,
    losses,
    rules,
)

BUILDS = _core.runnable()
DTYPES = (np.float32, np.float64)
THREADS = (1, 2, 7)

#: Each build with each number of threads, in the order of these: another number starts other
#: threads, which takes longest. The NumPy backend, which has one thread whatever it is told and
#: takes most of the time, comes once.
THREADS_AND_BUILDS = [
    (n, build) for n in THREADS for build in BUILDS if build != "numpy" or n == THREADS[0]
]
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
    "RMSProp root": RMSProp(lr=0.02, rho=0.9, centered=True, eps=1e-3, eps_in_root=True),
    "RMSProp momentum": RMSProp(lr=0.02, rho=0.9, momentum=0.7),
    "RMSProp both": RMSProp(lr=0.02, rho=0.9, momentum=0.7, centered=True),
    "dampening": SGD(lr=0.1, momentum=0.9, dampening=0.3),
    "AdaGrad lr_decay": AdaGrad(lr=0.3, eps=1e-8, lr_decay=0.1, initial_accumulator=0.5),
    "AdaDelta": AdaDelta(lr=0.7, rho=0.8, eps=1e-3),
    "Adam": Adam(lr=0.05, beta1=0.8, beta2=0.95),
    "AdamW": AdamW(lr=0.05, beta1=0.8, beta2=0.95, weight_decay=0.0),
    "AMSGrad": AMSGrad(lr=0.05, beta1=0.8, beta2=0.6),
    "Adamax": Adamax(lr=0.05, beta1=0.8, beta2=0.9, eps=1e-3),
    "Nadam": Nadam(lr=0.05, beta1=0.8, beta2=0.95, momentum_decay=0.1),
    "RAdam": RAdam(lr=0.05, beta1=0.8, beta2=0.95),
    "RAdam plain": RAdam(lr=0.05, beta1=0.8, beta2=0.5),
    "Lion": Lion(lr=0.05, beta1=0.7, beta2=0.8),
    "FTRL": FTRL(lr=0.3, beta=0.5, l1=0.4, l2=0.2),
    "DoG": DoG(lr=0.8, initial_distance=0.05),
    "ScheduleFreeAdamW": ScheduleFreeAdamW(lr=0.05, beta1=0.8, beta2=0.95),
}

# A rule that nothing special can be asked of is here with its defaults.
RULES |= {
    name: cls(lr=0.05)
    for name, cls in rules.RULES.items()
    if cls not in {type(rule) for rule in RULES.values()}
}

#: Those that have kernels for linear models under their own name.
LINEAR_RULES = {name: rule for name, rule in RULES.items() if rule.linear_formula is rule.formula}

#: Every loss, with a number that is not its default.
LOSSES = {
    name: losses.make(
        name, **dict.fromkeys(("epsilon", "quantile", "power"), PARAMETERS.get(name, 0))
    )
    for name in losses.LOSSES
}


def targets_for(loss, labels, target):
    """Targets that the loss is defined for."""
    if loss.classifies:
        return np.where(labels, 1.0, -1.0)
    return target if loss.domain == "any" else np.abs(target) + 0.1


rates = st.floats(1e-4, 1.0)
fractions = st.floats(0.01, 0.999)
epsilons = st.floats(1e-10, 1e-3)
some = st.one_of(st.just(0.0), fractions)

#: What hyperparameters are drawn from, by their names; weight decay is tested by itself.
HYPERPARAMETERS = {
    "lr": rates,
    "beta": fractions,
    "beta1": fractions,
    "beta2": fractions,
    "rho": fractions,
    "eps": epsilons,
    "momentum": some,
    "nesterov": st.booleans(),
    "dampening": some,
    "centered": st.booleans(),
    "eps_in_root": st.booleans(),
    "lr_decay": some,
    "initial_accumulator": some,
    "momentum_decay": some,
    "l1": some,
    "l2": some,
    "initial_distance": rates,
    "weight_decay": st.just(0.0),
    "decoupled": st.booleans(),
    "maximize": st.just(False),
}


@st.composite
def drawn_rules(draw):
    """Any rule with any hyperparameters."""
    cls = rules.RULES[draw(st.sampled_from(list(rules.RULES)))]
    values = {each.name: draw(HYPERPARAMETERS[each.name]) for each in fields(cls)}
    if values.get("nesterov"):
        values |= {"momentum": draw(fractions), "dampening": 0.0}
    return cls(**values)


def vectors(size, dtype, seed, count=1):
    """Vectors that are neither tiny nor zero nor constant: magnitudes in [0.1, 3)."""
    return drawn_vectors(size, dtype, seed, count).copy()


@lru_cache(maxsize=512)
def drawn_vectors(size, dtype, seed, count):
    """The same, kept: tests over rules, builds and threads ask for them again and again."""
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
        if any(word in name for word in ("square", "variance", "max")):  # never negative
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
