from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

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
    def hold_outputs(
        self,
        n_outputs: int,
        lanes: int,
        n_targets: int,
        edges: NDArray[np.int64],
        features: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> None: ...
    def give_rates(self, factors: NDArray[np.float64], losses: NDArray[np.float64]) -> None: ...

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

class Build:
    RULES: dict[str, tuple[int, int, int]]
    LOSSES: dict[str, int]
    Debt: type[Debt]
    LinearFit: type[LinearFit]
    DualAscent: type[DualAscent]

    def Plan(self, *args: Any) -> Plan: ...
    def __init__(
        self, address: int, rules: dict[str, tuple[int, int, int]], losses: dict[str, int]
    ) -> None: ...
    step: dict[str, Callable[..., Any]]
    first_nonfinite: dict[str, Callable[..., Any]]
    read_modify_write: dict[str, Callable[..., Any]]
    fit_csr: Callable[..., Any]
    fit_dense: Callable[..., Any]
    settle_model: Callable[..., Any]
    margins_csr: Callable[..., Any]
    margins_dense: Callable[..., Any]
    margins_outputs: Callable[..., Any]
    scale_csr: Callable[..., Any]
    scale_dense: Callable[..., Any]
    square_csr: Callable[..., Any]
    square_dense: Callable[..., Any]
    square_weights: Callable[..., Any]
    inspect_csr: Callable[..., Any]
    number_features: Callable[..., Any]
    arrange: Callable[..., Any]
    ascend_csr: Callable[..., Any]
    ascend_dense: Callable[..., Any]
    combine_csr: Callable[..., Any]
    combine_dense: Callable[..., Any]

    def evaluate_loss(
        self,
        loss: str,
        parameter: float,
        margin: NDArray[np.float64],
        y: NDArray[np.float64],
        weight: NDArray[np.float64],
        value: NDArray[np.float64],
        slope: NDArray[np.float64],
    ) -> None: ...
    def shuffle(self, order: NDArray[np.int64], seed: SupportsIndex) -> None: ...
    def openmp_threads(self) -> int: ...
