import numpy as np
import pytest

from lrcore._utils.arrays import CACHE_LINE, aligned, apart, check_array, extent, view_of


class Interface:
    """An object of another library with memory that NumPy can read."""

    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


class DLPack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnTheGPU(DLPack):
    def __dlpack__(self, **keywords):
        raise BufferError("the tensor is on device cuda:0")


@pytest.mark.parametrize("wrap", [np.asarray, Interface, DLPack])
def test_views_share_the_memory(wrap):
    array = np.arange(3.0)
    view = view_of("w", wrap(array))
    assert isinstance(view, np.ndarray)
    assert np.shares_memory(view, array)
    np.testing.assert_array_equal(view, array)


def test_values_without_memory_are_refused():
    with pytest.raises(TypeError, match=r"w must be a NumPy array, or have .*, got list"):
        view_of("w", [1.0])
    with pytest.raises(TypeError, match=r"w cannot be seen as an array: .*cuda:0; it must be on"):
        view_of("w", OnTheGPU(np.ones(2)))


def test_arrays_that_fit():
    for array in (np.ones(3), np.ones((2, 0), np.float32), np.array(1.0)):
        assert check_array("w", array) is array
    half = np.ones(3, np.float16)
    assert check_array("g", half, half=True) is half


@pytest.mark.parametrize(
    "value, error, message",
    [
        (np.ones(3, int), TypeError, "w must be float32 or float64, got int64"),
        (np.ones(3, np.float16), TypeError, "w must be float32 or float64, got float16"),
        (np.ones((3, 4)).T, ValueError, "w must be C-contiguous, got strides"),
        (
            np.frombuffer(bytes(17), np.uint8)[1:].view(np.float64),
            ValueError,
            r"w must be aligned in memory; w.copy\(\) is",
        ),
    ],
)
def test_arrays_that_are_refused(value, error, message):
    with pytest.raises(error, match=message):
        check_array("w", value)


def test_extents():
    array = np.ones((2, 3), np.float32)
    start, stop = extent(array)
    assert stop - start == 24
    assert extent(array[1:])[0] == start + 12
    assert extent(array[1:])[1] == stop


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_aligned_memory(n, dtype):
    array = aligned(n, dtype, zeros=True)
    assert (array.shape, array.dtype) == ((n,), dtype)
    assert n == 0 or array.ctypes.data % CACHE_LINE == 0
    assert not array.any()
    assert aligned(n, dtype).flags.writeable


@pytest.mark.parametrize("n_rows", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 1000, 1 << 14])
def test_rows_apart_begin_at_other_places_of_a_page(n_rows, n):
    beside = np.empty(n, np.float32)
    array = apart(n_rows, n, np.float32, beside)
    assert (array.shape, array.dtype) == ((n_rows, n), np.float32)
    assert array.flags.writeable
    array[:] = np.arange(n_rows * n).reshape(n_rows, n)
    assert np.array_equal(array.reshape(-1), np.arange(n_rows * n))
    places = [extent(row)[0] % 4096 for row in array]
    assert all(place % CACHE_LINE == 0 for place in places)
    every = sorted([*places, extent(beside)[0] % 4096])
    gaps = np.diff([*every, every[0] + 4096])
    assert min(gaps) >= 4096 // (n_rows + 1) - 2 * CACHE_LINE
