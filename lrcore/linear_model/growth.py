"""Models that go on with other classes or labels than before: more of them, or some.

Binary outputs do not know of one another, so one against the rest goes on as it would have, and a
new one begins beside it. Of two classes there is one output, the margin m of the second: the first
against the rest is -m, with the states that steps of mirrored targets would have led to, bit for
bit. For a softmax the two have -m/2 and m/2: the same probabilities, and the raw predictions that
a softmax of two outputs keeps, which begin at 0 and whose gradients sum to 0. The rows of a block
that has not ended are not gone over again by a softmax: it would be one of other classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lrcore.linear_model.engine.layout import ModelState, UpdateConfig
from lrcore.linear_model.engine.outputs import Source, Sources, taken_over
from lrcore.linear_model.engine.replay_buffer import ReplayBuffer
from lrcore.linear_model.labels import Classes, ConstantLabels, Labels
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import TrainedModel


def grown(
    model: TrainedModel, before: Labels, after: Labels, objective: Objective, *, sparse: bool
) -> TrainedModel:
    """The model of a stream with all classes or labels of before, and new ones; the rows to come
    are sparse or dense.

    Raises
    ------
    ValueError
        If the loss is one of all classes now, and was not, or the other way round.
    """
    joint, was_joint = objective.loss.joint, model.objective.loss.joint
    if before.n_binary > 1 and joint != was_joint:
        raise ValueError(
            "loss or multi_class changed since the last call, and classes names new ones; call "
            "fit, or set them back"
        )
    places = np.searchsorted(after.values, before.values)
    n_outputs = len(after.values)
    sources: list[Source | None] = [None] * n_outputs
    if before.n_binary == 1 and not before.multilabel:
        factor = 0.5 if joint else 1.0
        sources[places[0]], sources[places[1]] = Source(0, -factor), Source(0, factor)
    else:
        for k, place in enumerate(places):
            sources[place] = Source(k)
    together = joint or _together(model, sparse=sparse)
    n_together = n_outputs if together else 1

    def targets(rows: Problem) -> Problem:
        codes = before.codes_of(_columns(rows.targets), joint=was_joint)
        if isinstance(after, Classes):
            codes = places[codes]
        else:
            new = np.zeros((len(codes), n_outputs - len(places)), bool)
            codes = np.concatenate([codes, new], axis=1)
        each = after.targets(codes, n_outputs if joint else 1)
        return replace(rows, targets=each, objective=objective)

    return _with_outputs(model, sources, objective, n_together, targets)


def _together(model: TrainedModel, *, sparse: bool) -> bool:
    """Whether binary outputs are to be updated together: as they are, if there are several, else as
    those of a new stream of such rows."""
    if model.updates is None:
        return False
    if model.n_outputs > 1:
        return len(model.states) == 1
    return sparse and not model.updates.rule.uses_distance


def _columns(targets: list[np.ndarray]) -> list[np.ndarray]:
    """A vector for each target, also of those that are side by side."""
    return [column for y in targets for column in (y.T if y.ndim == 2 else [y])]


def _with_outputs(
    model: TrainedModel, sources: Sources, objective: Objective, n_together: int,
    targets: Callable[[Problem], Problem] | None = None,
) -> TrainedModel:  # fmt: skip
    """A model whose outputs are taken from those of another, so many updated together. Without
    `targets`, which gives rows their new ones, it keeps no rows."""
    before = model.updates
    after = before and replace(before, n_outputs=n_together)

    def of(states: list[ModelState]) -> list[ModelState]:
        return taken_over(states, before, after, sources, n_together)

    grown = TrainedModel(of(model.states), objective, after, model.scale)
    if targets is None:
        return grown
    if model.replay is not None and not objective.loss.joint:
        assert after is not None
        rows = targets(model.replay.rows).bundled(after.n_targets(objective.loss))
        grown.replay = ReplayBuffer(rows, of(model.replay.before))
    if model.beginning is not None:
        grown.beginning = targets(model.beginning)
    return grown


def with_constants(model: TrainedModel, constant: ConstantLabels | None) -> TrainedModel:
    """The model of the labels that vary, and those beside them that do not, if there are any."""
    if constant is None:
        return model
    sources: list[Source | None] = [None] * len(constant.intercepts)
    for k, place in enumerate(constant.varying):
        sources[place] = Source(k)
    together = len(model.states) == 1 and model.n_outputs > 1
    whole = _with_outputs(model, sources, model.objective, len(sources) if together else 1)
    _begin_constants(whole.states, constant, whole.updates)
    return whole


def _begin_constants(
    states: Sequence[ModelState], constant: ConstantLabels, updates: UpdateConfig | None
) -> None:
    """Give outputs that do not vary their intercepts, and the rule's state that belongs to them."""
    outputs = [(state, k) for state in states for k in range(state.n_outputs)]
    for (state, k), intercept in zip(outputs, constant.intercepts):
        if intercept == 0:
            continue
        state.weights[k, -1] = intercept
        if updates is None:
            continue
        w = state.weights[k, -1:].copy()
        for i, name in enumerate(updates.formula.state, start=1):
            start = updates.layout.part(i).start
            state.columns[start + k, -1:] = updates.rule.initial_state(name, w)


def without_constants(model: TrainedModel, constant: ConstantLabels) -> TrainedModel:
    """The labels of a model that vary in the rows of a fit that goes on from it.

    Raises
    ------
    ValueError
        If the model has not as many labels.
    """
    n_labels = len(constant.intercepts)
    if model.n_outputs != n_labels:
        raise ValueError(
            f"warm_start=True needs the labels of the last fit: it had {model.n_outputs}, y has "
            f"{n_labels}; set it to False"
        )
    sources = [Source(k) for k in constant.varying]
    together = len(model.states) == 1 and len(sources) > 1
    return _with_outputs(model, sources, model.objective, len(sources) if together else 1)
