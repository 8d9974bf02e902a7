"""Single arrays: views of memory that may be another library's, and what is asked of them."""

from __future__ import annotations

import numpy as np

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

#: Bytes of a cache line.
LINE = 64


def view_of(name: str, value: object) -> np.ndarray:
    """The array itself, or a view of memory that another library holds; never a copy.

    Parameters
    ----------
    name : str
        The expression that leads to the value, for errors.
    value : ndarray, or an object with ``__array_interface__`` or ``__dlpack__`` on the CPU
    """
    if isinstance(value, np.ndarray):
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
    """Raise unless value is a float32 or float64 array that is one piece of memory; float16 too
    if `half`."""
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


def extent(array: np.ndarray) -> tuple[int, int]:
    """First byte of a contiguous array, and the one after its last."""
    start: int = array.__array_interface__["data"][0]
    return start, start + array.nbytes


def aligned(n: int, dtype: np.dtype | type, *, zeros: bool = False) -> np.ndarray:
    """Room for n numbers that starts at a cache line: sweeps over it split none."""
    dtype = np.dtype(dtype)
    room = (np.zeros if zeros else np.empty)(n * dtype.itemsize + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + n * dtype.itemsize].view(dtype)
