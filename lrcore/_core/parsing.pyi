import numpy as np
from numpy.typing import NDArray

def number(text: bytes | memoryview) -> tuple[float, int] | None: ...
def parse_svmlight(
    text: bytes | memoryview, dtype: str, multilabel: bool, first_index: int, skip: bool
) -> tuple[
    NDArray[np.floating],
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int64] | None,
    NDArray[np.int64],
    int | None,
    int | None,
    int | None,
    int | None,
    int,
]: ...
def murmur3(text: bytes | memoryview, seed: int) -> int: ...
def parse_vw(
    text: bytes | memoryview, dtype: str, mask: int, skip: bool
) -> tuple[
    NDArray[np.floating],
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int64],
    int | None,
    int,
]: ...
def number_text(number: float, dtype: str) -> str: ...
def write_svmlight(
    first: bytes,
    first_ends: NDArray[np.int64],
    ends: NDArray[np.int64],
    indices: NDArray[np.int64],
    data: NDArray[np.floating],
    first_index: int,
) -> memoryview: ...
