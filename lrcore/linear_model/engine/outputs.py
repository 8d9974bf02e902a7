"""Models with other outputs: some of those of a model, or these and new ones beside them.

An output that is taken over keeps its weights, the rule's state and its average bit for bit, but
for a factor that is a power of two or a sign. A new one is what it would be before its first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lrcore.linear_model.engine.layout import (
    DoGSums,
    ModelState,
    UpdateConfig,
    WeightAverage,
    aligned_zeros,
    n_lanes,
    slot_width,
)


class Source(NamedTuple):
    """The output that another one is taken from, and what its weights are multiplied by."""

    place: int
    factor: float = 1.0


#: What an output is taken from; None for a new one.
Sources = Sequence[Source | None]


def taken_over(
    states: list[ModelState], before: UpdateConfig | None, after: UpdateConfig | None,
    sources: Sources, n_outputs: int,
) -> list[ModelState]:  # fmt: skip
    """States of n_outputs each, with an output for each source; `before` and `after` say how those
    given and these are updated, None for a solver without an update rule."""
    outputs = [(state, k) for state in states for k in range(state.n_outputs)]
    parts = [sources[k : k + n_outputs] for k in range(0, len(sources), n_outputs)]
    return [_state(outputs, states[0], before, after, part) for part in parts]


def _state(
    outputs: list[tuple[ModelState, int]], first: ModelState, before: UpdateConfig | None,
    after: UpdateConfig | None, sources: Sources,
) -> ModelState:  # fmt: skip
    """A state with these outputs, at the same step as the first one of before."""
    state = _new_state(first, before, after, len(sources))
    for k, source in enumerate(sources):
        if source is None:
            continue
        old, place = outputs[source.place]
        state.weights[k] = old.weights[place] * old.array.dtype.type(source.factor)
        if state.average is not None and old.average is not None:
            changes = old.average.changes[:, place]
            state.average.changes[:, k] = changes * changes.dtype.type(source.factor)
        if before is None or after is None:
            continue
        for i, name in enumerate(after.formula.state, start=1):
            kept = old.columns[before.layout.part(i).start + place]
            state.columns[after.layout.part(i).start + k] = after.rule.state_at(
                source.factor, name, kept
            )
    if state.dog is not None:
        state.dog = _dog_sums(state.dog, outputs, [each for each in sources if each is not None])
    return state


def _new_state(
    first: ModelState, before: UpdateConfig | None, after: UpdateConfig | None, n_outputs: int
) -> ModelState:
    """A state of new outputs at the step of another one, with its features, steps in which these
    were touched, and penalty that is yet to be applied, which is that of all outputs."""
    n_columns, dtype = first.columns.shape[1], first.array.dtype
    width = n_lanes(n_outputs) if after is None else after.layout.width
    by_feature = first.by_feature or n_outputs > 1
    shape = (n_columns, slot_width(width)) if by_feature else (width, n_columns)
    state = replace(
        first, array=aligned_zeros(shape, dtype), width=width, by_feature=by_feature,
        n_outputs=n_outputs, lazy_penalty=first.lazy_penalty.copy(), average=None, dog=None,
    )  # fmt: skip
    if before is None or after is None:
        return state
    layout, columns = after.layout, state.columns
    for i, name in enumerate(after.formula.state, start=1):
        columns[layout.part(i)] = after.rule.initial_state(name, np.zeros(1, dtype))
    if layout.gradient:
        columns[layout.gradient : layout.gradient + layout.lanes] = -0.0
    if layout.last_step:
        columns[layout.last_step] = first.columns[before.layout.last_step]
    if first.average is not None:
        changes = np.zeros((n_columns, layout.lanes), dtype)
        state.average = WeightAverage(changes, first.average.since)
    state.dog = DoGSums.new(after.rule)
    return state


def _dog_sums(
    new: DoGSums, outputs: list[tuple[ModelState, int]], sources: Sequence[Source]
) -> DoGSums:
    """What DoG's rate follows from, over outputs of which each has its share of the sums."""
    if not sources:
        return new
    old = outputs[sources[0].place][0]
    assert old.dog is not None
    share = len(sources) / old.n_outputs
    nearer = share * sources[0].factor ** 2
    squares, distance, distance2 = old.dog.sums
    sums = np.array([share * squares, max(new.sums[1], distance * nearer**0.5), nearer * distance2])
    return DoGSums(sums, old.dog.measured)
