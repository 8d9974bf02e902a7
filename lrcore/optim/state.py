"""The saved state of an Optimizer: its checks, and the file that holds it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrcore import schedules
from lrcore._utils import archive, bfloat16, int8
from lrcore._utils.archive import ArchiveError
from lrcore._utils.arrays import DTYPES, view_of
from lrcore._utils.validation import check_nonnegative, check_seed
from lrcore.optim.parameters import Parameters
from lrcore.rules import DoGState, Rule

#: Number of the format of files, written into each of them.
FORMAT = 1

#: Steps that an optimizer may have done, and of those it may have to look at again to go on: some
#: seconds, which nobody may make a file ask for more of.
MOST_STEPS, MOST_LOOKBACK = 1 << 53, 1 << 26

Overrides = Mapping[str, Mapping[str, Any]]


def overrides_to_dict(overrides: Overrides) -> dict[str, dict[str, Any]]:
    """The overrides as plain values, which `overrides_from_dict` reads."""
    return {
        pattern: {
            key: value.to_dict() if hasattr(value, "to_dict") else _plain(value)
            for key, value in values.items()
        }
        for pattern, values in overrides.items()
    }


def _plain(value: Any) -> Any:
    """A number as Python has it."""
    return value.item() if isinstance(value, np.generic) else value


def overrides_from_dict(plain: Overrides) -> dict[str, dict[str, Any]]:
    """The overrides that `overrides_to_dict` described."""
    if not isinstance(plain, Mapping) or not all(isinstance(v, Mapping) for v in plain.values()):
        raise TypeError(f"overrides must be a dict of dicts, got {plain!r}")
    return {
        pattern: {
            key: schedules.from_dict(value) if isinstance(value, dict) else value
            for key, value in values.items()
        }
        for pattern, values in plain.items()
    }


def check_saved(
    saved: Mapping[str, Any], wanted: Mapping[str, np.ndarray], rule: Rule, chosen: list[Rule],
    state_dtype: str | None,
) -> None:  # fmt: skip
    """Raise unless a saved state belongs to an Optimizer of this rule.

    Parameters
    ----------
    saved : dict
        As by `Optimizer.state_dict`.
    wanted : dict of str to ndarray
        Arrays of the size and dtype that the saved ones must have, by their keys.
    rule : Rule
        The rule that is to continue from the state.
    chosen : list of Rule
        It, with its overrides.
    state_dtype : str or None
        How that Optimizer keeps its states.

    Raises
    ------
    ValueError, TypeError
        If a key is missing or unknown, or a value has the wrong type, size or range.
    """
    expected = {"t", "skipped", "state_dtype", "seed", "rule", "overrides", *wanted}
    expected |= {"travel"} if rule.uses_distance else set()
    if saved.keys() != expected:
        wrong = sorted(expected ^ set(saved))
        raise ValueError(f"state does not fit these parameters: {', '.join(wrong)} differ")
    if saved["state_dtype"] != state_dtype:
        raise ValueError(
            f"state is of state_dtype={saved['state_dtype']!r}, and this Optimizer of "
            f"{state_dtype!r}; give it the same, or load with cast=True"
        )
    check_seed("seed", saved["seed"])
    for key in ("t", "skipped"):
        _check_steps(f"state[{key!r}]", saved[key])
    for each in chosen:
        n_steps = each.lookback(int(saved["t"]))
        if n_steps > MOST_LOOKBACK:
            raise ValueError(
                f"state['t'] is {saved['t']:,}, from where {each!r} would have to go over "
                f"{n_steps:,} steps again; it does over {MOST_LOOKBACK:,} at most"
            )
    for key, row in wanted.items():
        values = view_of(f"state[{key!r}]", saved[key])
        if values.dtype != row.dtype or values.size != row.size:
            raise ValueError(
                f"state[{key!r}] must have {row.size} values of {row.dtype}, "
                f"got {values.size} of {values.dtype}; cast=True takes other dtypes"
            )


def _check_steps(name: str, n: Any) -> None:
    """Raise unless this is a number of steps."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 0 <= n <= MOST_STEPS:
        raise ValueError(f"{name} must be an integer from 0 to 2**53, got {n!r}")


def cast_to(
    saved: Mapping[str, Any], wanted: Mapping[str, np.ndarray], state_dtype: str | None
) -> dict[str, Any]:
    """The state with its arrays in the dtypes of these, and kept as `state_dtype` says.

    Raises
    ------
    ValueError, TypeError
        If an array holds no numbers, or one of them is more than its new dtype holds.
    """
    arrays = {key: cast_array(f"state[{key!r}]", saved[key], wanted[key].dtype, key)
              for key in wanted if key in saved}  # fmt: skip
    return {**saved, **arrays, "state_dtype": state_dtype}


def cast_array(name: str, value: Any, dtype: np.dtype[Any], key: str = "") -> np.ndarray:
    """An array of float32, float64, words of bfloat16, uint16, or states of 8 bits, uint8, as one
    of another of these. The key of a state ends with its name."""
    values, signed = view_of(name, value), int8.is_signed(key.rpartition(".")[2])
    if values.dtype == dtype:
        return values
    if values.dtype not in (*DTYPES, np.uint16) and not (key and values.dtype == np.uint8):
        raise TypeError(f"{name} must be float32, float64 or bfloat16, got {values.dtype}")
    if values.dtype == np.uint16:
        values = bfloat16.widen(values)
    elif values.dtype == np.uint8:
        values = int8.widen(values.reshape(-1), signed)
    with np.errstate(over="ignore"):
        held = values.astype(np.float64 if dtype == np.float64 else np.float32)
    cast = held
    if dtype == np.uint16:
        cast = bfloat16.nearest(held)
        held = bfloat16.widen(cast)
    bad = np.isfinite(values) & ~np.isfinite(held)
    if bad.any():
        kind = "bfloat16" if dtype == np.uint16 else held.dtype
        raise ValueError(f"{name} has {values[bad][0]:g}, which {kind} does not hold")
    return int8.nearest(held.reshape(-1), signed) if dtype == np.uint8 else cast


def dog_state_of(saved: Any) -> DoGState:
    """The `DoGState` that a state holds as a pair of numbers.

    Raises
    ------
    ValueError, TypeError
        If it is not a pair of finite numbers >= 0.
    """
    if not isinstance(saved, (list, tuple)) or len(saved) != 2:
        raise TypeError(f"state['travel'] must be two numbers, got {saved!r}")
    for value in saved:
        check_nonnegative("state['travel']", value)
    return DoGState(float(saved[0]), float(saved[1]))


def write(path: str | os.PathLike[str], state: Mapping[str, Any], params: Parameters) -> None:
    """Write a state and the parameters to a file, which is replaced in one piece or not at all."""
    arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
    plain = {key: value for key, value in state.items() if key not in arrays}
    arrays.update(zip(params.names, params.arrays))
    # Members of the file have numbers as names: the path to a parameter may not be a file name.
    members = {f"array_{i}": array for i, array in enumerate(arrays.values())}
    archive.write(path, {"format": FORMAT, "optimizer": plain, "arrays": list(arrays)}, members)


def read(
    path: str | os.PathLike[str], params: Parameters, finite: bool, cast: bool
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Read the state and the values of the parameters from a file that `write` wrote; `finite` says
    that they must be, `cast` that parameters may be of another dtype there.

    Raises
    ------
    ArchiveError
        If the file is damaged, or its parameters have other names.
    ValueError
        If its parameters have other dtypes or shapes, or are not finite.
    OSError
        If it cannot be read.
    """
    header, members = archive.read(path, "an optimizer", FORMAT)
    try:
        arrays = {name: members[f"array_{i}"] for i, name in enumerate(header["arrays"])}
        state = {**header["optimizer"], **arrays}
        values = [state.pop(name) for name in params.names]
    except (KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"{path}: not of these parameters ({error!r})") from None
    if cast:
        pairs = zip(params.names, values, params.arrays)
        values = [cast_array(name, value, w.dtype) for name, value, w in pairs]
    for name, w, value in zip(params.names, params.arrays, values):
        if value.dtype != w.dtype or value.shape != w.shape:
            raise ValueError(
                f"{path}: {name} is {value.dtype} of shape {value.shape} there, and "
                f"{w.dtype} of shape {w.shape} here; cast=True takes other dtypes"
            )
    if finite:
        # A mean of squares may have become infinite, while its parameters stay where they are.
        for name, value in arrays.items():
            bad = ~np.isfinite(value) if name in params.names else np.isnan(value)
            if bad.any():
                raise ValueError(
                    f"{path}: {name} has {value[bad][0]}; nonfinite='propagate' takes it as it is"
                )
    return state, values
