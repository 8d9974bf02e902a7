"""Schedules drawn at random, for property tests: every class, any valid arguments, compositions."""

from hypothesis import strategies as st

from lrcore import schedules as s

rates = st.one_of(st.sampled_from([0.0, 5e-324, 1e-3, 1.0, 1.7e308]), st.floats(0, 1e308))
shares = st.floats(0, 1)
lengths = st.one_of(st.integers(1, 50), st.integers(1, 2**53))
relative = st.one_of(
    st.integers(1, 200).map(lambda k: f"{k}ep"), st.integers(1, 99).map(lambda k: f"{k / 4}%")
)


@st.composite
def phases(draw):
    """A whole and two parts of it."""
    steps = draw(st.one_of(st.integers(2, 60), st.integers(2, 2**53)))
    up = draw(st.integers(1, steps - 1))
    return steps, up, draw(st.integers(1, steps - up))


@st.composite
def milestones(draw):
    return tuple(sorted(draw(st.sets(lengths, min_size=1, max_size=4))))


def cyclic(lr, peak, up, down, mode, gamma):
    return s.Cyclic(lr, peak, up, down, mode, gamma if mode == "exp_range" else 1.0)


def leaves(length=lengths):
    """Every schedule that is not made of others."""
    multipliers = st.one_of(st.just(1.0), st.sampled_from([1.001, 2.0, 3.0]), st.floats(1.01, 1000))
    maybe_rate = st.one_of(st.none(), rates)
    return st.one_of(
        st.builds(s.Constant, rates),
        st.builds(s.Step, rates, length, rates),
        st.builds(s.MultiStep, rates, milestones(), rates),
        st.builds(s.Exponential, rates, rates, length, st.booleans()),
        st.builds(s.InverseTime, rates, rates, length, st.booleans()),
        st.builds(s.InverseSqrt, rates, length),
        st.builds(
            s.Polynomial, rates, length, st.floats(1e-3, 1e9).filter(lambda p: p > 0), rates
        ),
        st.builds(s.Linear, rates, length, rates),
        st.builds(s.Cosine, rates, length, rates),
        st.builds(s.CosineRestarts, rates, length, multipliers, rates, shares),
        st.builds(
            cyclic, rates, rates, length, st.one_of(st.none(), length),
            st.sampled_from(["triangular", "triangular2", "exp_range"]), shares,
        ),
        st.builds(
            lambda lr, phases, start, end, shape: s.OneCycle(
                lr, phases[0], phases[1], start, end, shape
            ),
            rates, phases(), maybe_rate, maybe_rate, st.sampled_from(["cosine", "linear"]),
        ),
        st.builds(
            lambda lr, phases, end, shape: s.WarmupStableDecay(lr, *phases, end, shape),
            rates, phases(), rates, st.sampled_from(["linear", "cosine", "sqrt"]),
        ),
    )  # fmt: skip


def compositions(inner, length=lengths):
    """One composition of schedules."""
    bounds = st.tuples(rates, rates).map(sorted)
    return st.one_of(
        st.builds(s.Warmup, inner, length),
        st.builds(s.Then, inner, inner, length),
        st.builds(s.Product, inner, inner),
        st.builds(s.Scale, inner, rates),
        st.builds(lambda a, b, top: s.Clip(a, b[0], b[1] if top else None), inner, bounds,
                  st.booleans()),
        st.builds(s.Shift, inner, st.one_of(st.integers(-(2**53), 2**53), length)),
        st.builds(s.Repeat, inner, length, st.one_of(st.none(), st.integers(1, 9))),
    )  # fmt: skip


def drawn(length=lengths):
    """Any schedule, composed to any depth."""
    return st.recursive(leaves(length), lambda inner: compositions(inner, length), max_leaves=5)


#: With lengths in steps, and with some in epochs or in fractions of the run.
resolved = drawn()
unresolved = drawn(st.one_of(lengths, relative))
