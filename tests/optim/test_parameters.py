"""Which arrays can be parameters and gradients, and which are refused."""

import numpy as np
import pytest
from strategies import DTYPES, THREADS, equal_bits, vectors

from lrcore import SGD, Adam, Optimizer
from lrcore.optim.parameters import Parameters

from .arrays import gradients_of, two_arrays

ADAM = Adam(lr=0.1)


def overlapping_arrays():
    memory = np.zeros(10, np.float32)
    return memory[:6], memory[4:]


BAD_PARAMS = [
    ([1.0, 2.0], TypeError, r"params\[0\] must be a NumPy array, or have .* got float"),
    (np.zeros(3, int), TypeError, "params must be float32 or float64, got int64"),
    (np.zeros(3, np.float16), TypeError, "params must be float32 or float64, got float16"),
    (np.zeros(3, ">f4"), TypeError, "params must be float32 or float64, got >f4"),
    ({"w": np.zeros((4, 4))[:, ::2]}, ValueError, r"params\['w'\] must be C-contiguous"),
    ([np.zeros((3, 4)).T], ValueError, r"params\[0\] must be C-contiguous"),
    (overlapping_arrays(), ValueError, r"params\[0\] and params\[1\] overlap in memory"),
    ([], ValueError, "params is empty"),
    ({}, ValueError, "params is empty"),
    (np.frombuffer(b"12345678", np.float32), ValueError, "params is read-only"),
]


@pytest.mark.parametrize("params, error, message", BAD_PARAMS)
def test_bad_parameters_are_refused_by_name(params, error, message):
    with pytest.raises(error, match=message):
        Optimizer(params, ADAM)


def gradients_with(value):
    def make(params):
        grads = gradients_of(params)
        grads["b"][1] = value
        return grads

    return make


BAD_GRADS = [
    (lambda p: {"w": p["w"].copy()}, ValueError, r"missing grads\['b'\]"),
    (lambda p: {**gradients_of(p), "c": np.zeros(1)}, ValueError, r"unexpected grads\['c'\]"),
    (lambda p: list(gradients_of(p).values()), ValueError, "structure of params"),
    (
        lambda p: {**gradients_of(p), "b": np.zeros(3)},
        TypeError,
        r"grads\['b'\] must be float32 like its parameter, or float16, got float64",
    ),
    (
        lambda p: {**gradients_of(p), "b": np.zeros(4, np.float32)},
        ValueError,
        r"grads\['b'\] must have the shape \(3,\) of its parameter, got \(4,\)",
    ),
    (
        lambda p: {**gradients_of(p), "b": np.zeros(6, np.float32)[::2]},
        ValueError,
        r"grads\['b'\] must be C-contiguous",
    ),
    (
        lambda p: {**gradients_of(p), "b": p["b"]},
        ValueError,
        r"grads\['b'\] overlaps params\['b'\]",
    ),
    (
        lambda p: {**gradients_of(p), "b": p["w"].reshape(-1)[2:5]},
        ValueError,
        r"grads\['b'\] overlaps params\['w'\]",
    ),
    (lambda p: {**gradients_of(p), "b": [1.0, 2.0, 3.0]}, TypeError, "must be a NumPy array"),
    (gradients_with(np.nan), FloatingPointError, r"grads\['b'\]\[1\] is nan at step 2"),
    (gradients_with(np.inf), FloatingPointError, r"grads\['b'\]\[1\] is inf at step 2"),
    (gradients_with(-np.inf), FloatingPointError, r"grads\['b'\]\[1\] is -inf at step 2"),
]


@pytest.mark.parametrize("make, error, message", BAD_GRADS)
def test_bad_gradients_are_refused_and_change_nothing(make, error, message, backend):
    params = two_arrays()
    opt = Optimizer(params, ADAM)
    for seed in (5, 6):
        opt.step(gradients_of(params, seed))
    before = {k: v.copy() for k, v in params.items()}
    state = opt.state_dict()
    with pytest.raises(error, match=message):
        opt.step(make(params))
    assert all(equal_bits(params[k], before[k]) for k in params)
    after = opt.state_dict()
    assert state.keys() == after.keys()
    for key, value in state.items():
        assert np.array_equal(value, after[key])


@pytest.mark.parametrize("size", [1, 63, 64, 65, 4097, 200_001])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_nonfinite_value_is_found_at_any_position(size, dtype, build):
    fused = {np.float32: "float", np.float64: "double"}[dtype]
    g = vectors(size, dtype, 0)[0]
    for n_threads in THREADS:
        assert build.first_nonfinite[fused](g, n_threads) == -1
        for at in {0, size // 2, size - 1}:
            for bad in (np.nan, np.inf, -np.inf):
                spoilt = g.copy()
                spoilt[at:] = bad
                assert build.first_nonfinite[fused](spoilt, n_threads) == at


def test_gradients_may_be_read_only(backend):
    w, g = np.zeros(3), np.ones(3)
    g.flags.writeable = False
    Optimizer(w, SGD(lr=0.5)).step(g)
    assert w.tolist() == [-0.5] * 3


def test_read_only_and_mapped_gradients(tmp_path, backend):
    g = np.ones(5)
    g.flags.writeable = False
    np.save(tmp_path / "g.npy", g)
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    w = np.zeros(5)
    opt = Optimizer(w, SGD(lr=1.0))
    opt.step(g)
    opt.step(mapped)
    assert w.tolist() == [-2.0] * 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_float16_gradients_are_widened_exactly(dtype, backend):
    """All 63,488 finite values of float16, in one step of SGD at rate 1."""
    g = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    g = g[np.isfinite(g)]
    for options in ({}, {"grad_scale": 2.0}, {"clip_norm": 1.0}):
        wide, narrow = np.zeros(g.size, dtype), np.zeros(g.size, dtype)
        Optimizer(wide, SGD(lr=1.0)).step(g.astype(dtype), **options)
        Optimizer(narrow, SGD(lr=1.0)).step(g, **options)
        assert equal_bits(wide, narrow)
        assert np.ptp(narrow) > 0
    for bad in (np.nan, np.inf):
        g[777] = bad
        with pytest.raises(FloatingPointError, match=r"grads\[777\] is"):
            Optimizer(narrow, SGD(lr=1.0)).step(g)


def test_a_gradient_may_not_overlap_parameters_of_another_group(backend):
    room = np.ones(6)
    params = {"a": room[:3], "b": np.ones(3, np.float32)}
    opt = Optimizer(params, SGD(lr=1.0), overrides={"a": {"momentum": 0.5}})
    other = {"a": np.ones(3), "b": room[:3].view(np.float32)[:3]}
    with pytest.raises(ValueError, match=r"grads\['b'\] overlaps params\['a'\]"):
        opt.step(other)
    assert room.tolist() == [1.0] * 6


class Exported:
    """Memory of another library."""

    def __init__(self, array, protocol):
        self._array = array
        if protocol == "dlpack":
            self.__class__ = DLPack
        else:
            self.__array_interface__ = array.__array_interface__


class DLPack(Exported):
    def __dlpack__(self, **keywords):
        return self._array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("protocol", ["dlpack", "interface"])
def test_memory_of_other_libraries_is_stepped_in_place(protocol, backend):
    w = np.ones(4, np.float32)
    opt = Optimizer(Exported(w, protocol), SGD(lr=0.5))
    opt.step(Exported(np.ones(4, np.float32), protocol))
    assert w.tolist() == [0.5] * 4
    with pytest.raises(ValueError, match="overlaps params"):
        opt.step(Exported(w, protocol))


def test_torch_tensors_are_stepped_in_place():
    torch = pytest.importorskip("torch")
    w = torch.ones(4)
    Optimizer({"w": w}, SGD(lr=0.5)).step({"w": torch.ones(4)})
    assert w.tolist() == [0.5] * 4
    with pytest.raises(TypeError, match=r"params cannot be seen as an array.*\.detach\(\)"):
        Optimizer(torch.ones(4, requires_grad=True), SGD())


@pytest.mark.parametrize("given", [list, dict])
def test_leaves_are_in_a_list_of_their_own(given):
    """Another thread may change the caller's list while a step is made."""
    arrays = [np.ones(2), np.ones(3)]
    params = arrays if given is list else {"a": arrays[0], "b": arrays[1]}
    found = Parameters(params).leaves(params)
    assert found is not params
    assert all(each is array for each, array in zip(found, arrays))
