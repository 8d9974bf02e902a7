"""scikit-learn's own callbacks (1.9 and newer): ``model.set_callbacks(ProgressBar())``.

Each epoch is a task of a fit. Older versions have no callbacks, and models no `set_callbacks`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from sklearn.utils.validation import validate_data

from lrcore.linear_model.monitor.callbacks import Hooks

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """What estimators inherit where scikit-learn has no callbacks."""

    def with_callbacks(method: Any) -> Any:
        """The method as it is, where scikit-learn has no callbacks."""
        return method


__all__ = ["CallbackSupportMixin", "begin", "with_callbacks"]


#: Makes the model of an estimator of the one that its solver fits.
Complete = Callable[[Any], Any]


class _Tasks(Hooks):
    """The task of a fit, and of its epochs, one after another."""

    def __init__(
        self, model: Any, rows: dict[str, Any], complete: Complete, known: dict[str, Any]
    ) -> None:
        # A fit that recovers may take more epochs than it keeps.
        most = model.max_iter if model.on_divergence == "raise" else None
        self._told = {"estimator": model, **rows}
        self._complete, self._known = complete, known
        self._fit = model._init_callback_context(max_subtasks=most)
        self._epoch: Any = None
        self._fit.call_on_fit_task_begin(**self._told)

    def begin_epoch(self) -> None:
        if self._epoch is None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._told)

    def end_epoch(self, model: Callable[[], Any]) -> bool:
        epoch, self._epoch = self._epoch, None
        return bool(self._end(epoch, model))

    def end(self, model: Any) -> None:
        self._end(self._fit, lambda: model)

    def _end(self, task: Any, trained: Callable[[], Any]) -> Any:
        model, X = self._told["estimator"], self._told["X"]

        def attributes() -> dict[str, Any]:
            blank = copy.copy(model)
            validate_data(blank, X, reset=True, skip_check_array=True)
            names = ("n_features_in_", "feature_names_in_")
            of_rows = {name: vars(blank)[name] for name in names if name in vars(blank)}
            return {"_trained": self._complete(trained()), "n_iter_": 1, **of_rows, **self._known}

        return task.call_on_fit_task_end(**self._told, reconstruction_attributes=attributes)


def begin(
    model: Any, X: Any, y: Any, of_rows: dict[str, Any],
    complete: Complete = lambda trained: trained, **known: Any,
) -> Hooks:  # fmt: skip
    """Tell the callbacks of a fit that it begins; `of_rows` are its other arguments with a number
    for each row, `known` attributes that predictions need, and `complete` makes the model that the
    estimator will have of the one that is fitted."""
    if not getattr(model, "_skl_callbacks", None) and not hasattr(model, "_parent_callback_ctx"):
        return Hooks()
    given = {name: value for name, value in of_rows.items() if value is not None}
    return _Tasks(model, {"X": X, "y": y, "metadata": given or None}, complete, known)
