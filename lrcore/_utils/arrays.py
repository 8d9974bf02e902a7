"""Checks of single arrays, views of the memory of other libraries, and aligned memory."""

from __future__ import annotations

import numpy as np

from lrcore._utils.missing import check_nothing_masked

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

#: The last character of Unicode.
MOST_CHARACTER = 0x10FFFF

#: Bytes of a cache line, and of a page of memory.
CACHE_LINE, PAGE = 64, 4096


def view_of(name: str, value: object) -> np.ndarray:
    """The array itself, or a view of the memory of another library; never a copy.

    Parameters
    ----------
    name : str
        The expression that leads to the value, for messages.
    value : ndarray, or an object with ``__array_interface__`` or ``__dlpack__`` on the CPU

    Raises
    ------
    TypeError
        If the value is none of these.
    ValueError
        If it has masked elements.
    """
    if isinstance(value, np.ndarray):
        check_nothing_masked(name, value)
        return value
    if hasattr(value, "__array_interface__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError) as error:
            raise TypeError(
                f"{name} cannot be seen as an array: {error}; it must be on the CPU, and a tensor "
                "that requires gradients is given as its .detach()"
            ) from None
    raise TypeError(
        f"{name} must be a NumPy array, or have __array_interface__ or __dlpack__, "
        f"got {type(value).__name__}"
    )


def check_array(name: str, value: object, *, half: bool = False) -> np.ndarray:
    """The value as an array, see `view_of`, if it can be updated or read as one piece of memory.

    Parameters
    ----------
    name : str
        The expression that leads to the value, for messages.
    value : object
    half : bool
        Whether float16 is allowed as well.

    Raises
    ------
    TypeError
        If it is not an array of float32 or float64.
    ValueError
        If it is not C-contiguous and aligned.
    """
    array = view_of(name, value)
    if array.dtype not in DTYPES and not (half and array.dtype == np.float16):
        raise TypeError(f"{name} must be float32 or float64, got {array.dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{name} must be C-contiguous, got strides {array.strides} for shape {array.shape}; "
            "np.ascontiguousarray makes a copy that is"
        )
    if not array.flags.aligned:
        raise ValueError(f"{name} must be aligned in memory; {name}.copy() is")
    return array


def aligned_array(array: np.ndarray) -> np.ndarray:
    """The array, copied if its numbers do not begin where the processor wants them to, as after a
    transfer between processes."""
    return array if array.flags.aligned else array.copy()


def has_strange_characters(array: np.ndarray) -> bool:
    """Whether a contiguous array of strings holds what is no character of Unicode: Python raises a
    SystemError where one is taken out."""
    if array.dtype.kind != "U" or not array.size:
        return False
    codes = array.reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    return bool((codes > MOST_CHARACTER).any())


def extent(array: np.ndarray) -> tuple[int, int]:
    """The addresses of the first byte of a contiguous array and of the byte after its last."""
    start: int = array.__array_interface__["data"][0]
    return start, start + array.nbytes


def aligned(n: int, dtype: np.dtype | type, *, zeros: bool = False) -> np.ndarray:
    """An array of n numbers that begins at a cache line, empty or filled with zeros.

    Loads of whole vectors then never cross the border of a cache line.
    """
    dtype = np.dtype(dtype)
    room = (np.zeros if zeros else np.empty)(n * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + n * dtype.itemsize].view(dtype)


def apart(n_rows: int, n: int, dtype: np.dtype | type, beside: np.ndarray) -> np.ndarray:
    """An empty array (n_rows, n) whose rows begin at cache lines, each a part of a page further
    from the beginning of a page than the one before, and the first so far from `beside`.

    Where all begin alike, as arrays of a power of two do, a processor takes what it reads of one
    for what it has just written of another, and waits; and the nearest cache has few places for
    all of them.
    """
    dtype, share = np.dtype(dtype), PAGE // (n_rows + 1) // CACHE_LINE * CACHE_LINE
    size = n * dtype.itemsize
    stride = size + (share - size) % PAGE
    room = np.empty(n_rows * stride + PAGE, np.uint8)
    start = (extent(beside)[0] // CACHE_LINE * CACHE_LINE + share - extent(room)[0]) % PAGE
    return np.ndarray((n_rows, n), dtype, room, start, (stride, dtype.itemsize))


def sorted_union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The numbers that are in one of two ascending arrays or in both; by a merge of the two, since
    NumPy's union takes 20 times as long for a million indices."""
    both = np.sort(np.concatenate([a, b]), kind="stable")
    keep = np.ones(len(both), bool)
    np.not_equal(both[1:], both[:-1], out=keep[1:])
    return both[keep]
