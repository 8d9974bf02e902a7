from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

RULES: dict[str, tuple[int, int, int]]
LOSSES: dict[str, int]

class Fused(Protocol):
    """A function compiled for several dtypes: called, or indexed by the C name of one."""

    def __call__(self, *args: Any) -> Any: ...
    def __getitem__(self, dtype: str) -> Fused: ...
    def give_rates(self, factors: NDArray[np.float64], losses: NDArray[np.float64]) -> None: ...

class Debt:
    def __init__(
        self,
        stops: NDArray[np.int64],
        periods: NDArray[np.int64],
        unpaid: NDArray[np.int64],
        owed: NDArray[np.float64],
    ) -> None: ...

class Plan:
    def __init__(
        self,
        rule: int,
        params: list[NDArray[Any]],
        states: list[NDArray[Any]],
        averages: list[NDArray[Any]],
        rows: list[int],
        starts: NDArray[np.uintp],
        stops: NDArray[np.uintp],
        places: list[int] | None = None,
    ) -> None: ...
    def prepare(
        self, tables: NDArray[np.float64], adjustments: NDArray[np.float64], plain: bool
    ) -> None: ...
    def hold(self, grads: list[Any], checked: bool) -> bool: ...
    def release(self) -> None: ...
    def all_finite(self, n_threads: int) -> bool: ...
    def square_sum(
        self,
        n_threads: int,
        adjustments: NDArray[np.float64] | None = None,
        gradient_scale: float = 1.0,
        clip_value: float = ...,
    ) -> float: ...
    def change_sum(self, n_threads: int) -> float: ...
    def step(
        self,
        offset: int,
        gradient_scale: float,
        clip_value: float,
        ema_decay: float,
        key: int,
        n_threads: int,
    ) -> None: ...
    def advance(
        self,
        grads: list[Any],
        offset: int,
        ema_decay: float,
        key: int,
        check: bool,
        n_threads: int,
    ) -> bool: ...

class LinearFit:
    def __init__(
        self,
        *,
        loss: str,
        parameter: float,
        l1: float,
        l2: float,
        factors: NDArray[np.int8] | None,
        intercept: bool,
        mean: bool,
        block: int,
        n_features: int,
        columns: tuple[int, int, int],
        powers: NDArray[np.float64],
        bounds: NDArray[np.int64],
        ahead: int,
        far: bool,
        scratch: NDArray[np.float64],
        listed: NDArray[np.int64],
        before: NDArray[np.int8],
        pace_eps: float,
    ) -> None: ...

class DualAscent:
    def __init__(
        self,
        *,
        loss: str,
        parameter: float,
        logistic: bool,
        smooth: float,
        epsilon: float,
        low: float,
        high: float,
        mirrored: bool,
        constant: float,
        ahead: int,
        far: bool,
    ) -> None: ...

step: Fused
first_nonfinite: Fused
read_modify_write: Fused
fit_csr: Fused
fit_dense: Fused
settle_model: Fused
margins_csr: Fused
margins_dense: Fused
margins_outputs: Fused
scale_csr: Fused
scale_dense: Fused
square_csr: Fused
square_dense: Fused
square_weights: Fused
inspect_csr: Fused
number_features: Fused
arrange: Fused
ascend_csr: Fused
ascend_dense: Fused
combine_csr: Fused
combine_dense: Fused

def evaluate_loss(
    loss: str,
    parameter: float,
    margin: NDArray[np.float64],
    y: NDArray[np.float64],
    weight: NDArray[np.float64],
    value: NDArray[np.float64],
    slope: NDArray[np.float64],
) -> None: ...
def shuffle(order: NDArray[np.int64], seed: SupportsIndex) -> None: ...
def openmp_threads() -> int: ...
