from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

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
        state_dtype: str | None = None,
    ) -> None: ...
    def prepare(
        self,
        first_step: int,
        tables: NDArray[np.float64],
        adjustments: NDArray[np.float64],
        plain: bool,
    ) -> None: ...
    def covers(self, t: int) -> bool: ...
    def hold(self, grads: list[Any], checked: bool) -> bool: ...
    def release(self) -> None: ...
    def all_finite(self, n_threads: int) -> bool: ...
    def square_sum(
        self,
        n_threads: int,
        adjustments: NDArray[np.float64] | None = None,
        gradient_power: float = 1.0,
        gradient_scale: float = 1.0,
        clip_value: float = ...,
    ) -> float: ...
    def square_and_change_sums(
        self,
        n_threads: int,
        adjustments: NDArray[np.float64] | None,
        gradient_power: float,
        gradient_scale: float,
        clip_value: float,
    ) -> tuple[float, float]: ...
    def step(
        self,
        t: int,
        gradient_power: float,
        gradient_scale: float,
        clip_value: float,
        ema_decay: float,
        key: int,
        n_threads: int,
        lr_factor: float = 1.0,
    ) -> None: ...
    def advance(
        self,
        grads: list[Any],
        progress: Any,
        t: int,
        ema_decay: float,
        key: int,
        check: bool,
        n_threads: int,
    ) -> bool: ...

def step_together(
    plans: list[Plan], arguments: list[tuple[Any, ...]], progress: Any, dog_state: Any
) -> None: ...
def replace_together(
    arrays: list[NDArray[Any]],
    values: list[NDArray[Any]],
    progress: Any,
    changes: dict[str, Any],
) -> None: ...

class Matrix:
    def __init__(
        self,
        values: NDArray[Any],
        indices: NDArray[Any] | None = None,
        indptr: NDArray[np.int64] | None = None,
    ) -> None: ...

class LazyPenalty:
    def __init__(
        self,
        stops: NDArray[np.int64],
        periods: NDArray[np.int64],
        rows_since: NDArray[np.int64],
        accumulated_lr: NDArray[np.float64],
    ) -> None: ...

class LinearState:
    def __init__(
        self,
        array: NDArray[Any],
        by_feature: bool,
        step: int,
        penalty: LazyPenalty,
        average: NDArray[Any] | None,
        averaged_from: float,
        dog_sums: NDArray[np.float64] | None,
    ) -> None: ...

class RuleSteps:
    def __init__(
        self,
        rule: int,
        coefficients: NDArray[np.float64],
        rates: NDArray[np.float64] | None,
    ) -> None: ...

class LinearFit:
    def __init__(
        self,
        *,
        loss: str,
        parameter: float,
        penalty: str,
        penalty_numbers: tuple[float, ...],
        factors: NDArray[np.int8] | None,
        intercept: bool,
        l2: float,
        dog_eps: float,
        positive: NDArray[np.int8] | None = None,
    ) -> None: ...
    def set_model(
        self,
        *,
        n_features: int,
        mini_batch: bool,
        columns: tuple[int, int, int],
        decay_powers: NDArray[np.float64],
    ) -> None: ...
    def set_blocks(
        self, *, block: int, bounds: NDArray[np.int64], ahead: int, far: bool
    ) -> None: ...
    def set_buffers(
        self,
        block: NDArray[np.float64],
        listed: NDArray[np.int32],
        before: NDArray[np.int8],
    ) -> None: ...
    def set_outputs(
        self,
        n_outputs: int,
        lanes: int,
        n_targets: int,
        features: NDArray[np.int32],
        values: NDArray[np.float64],
    ) -> None: ...
    def set_lr_factors(self, factors: NDArray[np.float64], losses: NDArray[np.float64]) -> None: ...

class DualAscent:
    def __init__(
        self,
        *,
        loss: str,
        parameter: float,
        pieces: tuple[float, ...] | None,
        constant: float,
        ahead: int,
        far: bool,
    ) -> None: ...

class TextHasher:
    def __init__(
        self,
        *,
        analyzer: str,
        lowercase: bool,
        min_n: int,
        max_n: int,
        min_length: int,
        in_class: NDArray[np.uint8],
        wide_class: NDArray[np.uint8] | None,
        stop_words: list[bytes],
        n_features: int,
        first_column: int,
        alternate_sign: bool,
    ) -> None: ...

class CountedRows:
    indptr: NDArray[np.int64]
    n_terms: int

class Build:
    RULES: dict[str, tuple[int, int, int]]
    LOSSES: dict[str, int]
    PENALTIES: dict[str, int]
    Matrix: type[Matrix]
    LinearFit: type[LinearFit]
    LinearState: type[LinearState]
    LazyPenalty: type[LazyPenalty]
    RuleSteps: type[RuleSteps]
    DualAscent: type[DualAscent]
    TextHasher: type[TextHasher]
    CountedRows: type[CountedRows]
    pack: Callable[..., tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8]]]
    pack_views: Callable[..., tuple[NDArray[np.uint8], NDArray[np.int64]]]
    hash_documents: Callable[..., None]
    hash_strings: Callable[..., tuple[NDArray[np.uint32], NDArray[np.int64]]]
    hash_pairs: Callable[..., tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.int64]]]
    count_keys: Callable[..., None]
    write_rows: Callable[..., None]
    plan: Callable[..., Plan]
    fit: Callable[..., float]
    apply_penalty: Callable[..., None]
    predict: Callable[..., bool]
    predict_outputs: Callable[..., bool]
    row_squares: Callable[..., None]
    weight_squares: Callable[..., float]
    scale: Callable[..., None]
    combine: Callable[..., None]
    sum_exactly: Callable[..., None]
    add_mantissas: Callable[..., None]
    ascend: Callable[..., tuple[float, float, float, float]]
    evaluate_loss: Callable[..., None]
    probabilities: Callable[..., None]
    number_features: Callable[..., int]
    arrange: Callable[..., None]
    inspect_csr: Callable[..., tuple[str, int]]
    # By the C names of the dtypes.
    step: dict[str, Callable[..., None]]
    first_nonfinite: dict[str, Callable[..., int]]
    read_modify_write: dict[str, Callable[..., None]]

    def __init__(
        self,
        address: int,
        rules: dict[str, tuple[int, int, int]],
        losses: dict[str, int],
        penalties: dict[str, int],
    ) -> None: ...
    def shuffle(self, order: NDArray[np.int64], seed: SupportsIndex) -> None: ...
    def openmp_threads(self) -> int: ...
