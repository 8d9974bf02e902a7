"""Results do not depend on how the processor was told to round, and it is told so again."""

import ctypes
import ctypes.util
import platform

import numpy as np
import pytest
from digests import fits, runs

import lrcore

LIBM = ctypes.util.find_library("m")
#: Downwards, upwards and to zero, as the C library numbers them.
MODES = {"x86_64": (0x400, 0x800, 0xC00), "aarch64": (0x800000, 0x400000, 0xC00000)}
MODES = MODES.get(platform.machine(), ())

pytestmark = pytest.mark.skipif(not (LIBM and MODES), reason="needs fesetround of a known kind")

#: Of every part that computes: rules, penalties, averages, scales, streams, solvers, steps.
SOME = (
    "rule adam | sparse float32 | two", "rule dog, batches | dense float64 | two",
    "penalty l1, adagrad | dense float32 | two", "loss | dense float32 | poisson",
    "average, batch 24 | sparse float64 | four", "scaled, batch 1 | dense float64 | two",
    "stream | dense float32 | squared_error", "auto lr | sparse float32 | two",
    "dual, softmax | dense float32 | four", "newton, l1 | dense float64 | two",
    "newton | sparse float32 | four", "step adam | float32", "step dog | float64",
    "step ftrl, clipped", "step adam, bfloat16", "step average",
)  # fmt: skip


@pytest.fixture
def libm():
    library = ctypes.CDLL(LIBM)
    yield library
    library.fesetround(0)


@pytest.mark.parametrize("name", SOME)
def test_the_bits_are_those_of_the_nearest(name, libm):
    run = {**fits(), **runs()}[name]
    expected = run()
    for mode in MODES:
        libm.fesetround(mode)
        got = run()
        kept = libm.fegetround()
        libm.fesetround(0)
        assert kept == mode
        assert got == expected, mode


@pytest.mark.parametrize("mode", MODES)
def test_threads_round_to_the_nearest_too(mode, libm, backend):
    steps = []
    for each in (0, mode):
        w, g = np.ones(10_000, np.float32), np.linspace(-1, 1, 10_000, dtype=np.float32)
        opt = lrcore.Optimizer(w, lrcore.Adam(lr=0.1), n_threads=3, ema="polyak")
        libm.fesetround(each)
        opt.step(g, clip_norm=0.3)
        opt.step(g)
        libm.fesetround(0)
        steps.append(w)
    assert np.array_equal(*steps)


def test_an_error_leaves_the_mode_as_it_was(libm):
    model = lrcore.LinearClassifier()
    libm.fesetround(MODES[0])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((4, 2), np.nan), [0, 1, 0, 1])
    kept = libm.fegetround()
    libm.fesetround(0)
    assert kept == MODES[0]
