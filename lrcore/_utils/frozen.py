"""Dataclasses that never change, with the parameters that scikit-learn's searches ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from lrcore._utils.hints import hint

if TYPE_CHECKING:
    from typing_extensions import Self


#: What to give for a parameter of something else, by the name of that.
EXAMPLES = {
    "optimizer": ("a rule", "lrcore.Adam()"),
    "lr": ("a schedule", "lrcore.schedules.Cosine(0.1, steps='100%')"),
}


class FrozenParameters:
    """What rules and schedules have in common: their fields are parameters, also of what is in
    these, as in ``optimizer__lr__end``."""

    #: What names of other libraries are called here.
    _other_names: ClassVar[Mapping[str, str]] = {}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The fields by name, as scikit-learn asks for them.

        Parameters
        ----------
        deep : bool
            Whether those of a schedule that is a field are there as well, as in ``lr__end``.

        Returns
        -------
        dict

        Examples
        --------
        >>> import lrcore
        >>> lrcore.SGD(0.1, momentum=0.9).get_params()["momentum"]
        0.9
        """
        own = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        inner = {
            f"{name}__{key}": each
            for name, value in own.items()
            if deep and isinstance(value, FrozenParameters)
            for key, each in value.get_params().items()
        }
        return {**own, **inner}

    def set_params(self, **params: Any) -> Self:
        """The same with other fields: nothing here ever changes, so it is another one. Those of an
        estimator are set by ``set_params(optimizer__momentum=0.9)``.

        Parameters
        ----------
        **params
            Fields by name; ``lr__end`` is a field of the schedule ``lr``.

        Returns
        -------
        the same class

        Raises
        ------
        ValueError, TypeError
            If there is no field of a name, or a value is not allowed.

        Examples
        --------
        >>> import lrcore
        >>> lrcore.SGD(0.1).set_params(momentum=0.9)
        SGD(lr=0.1, momentum=0.9, nesterov=False, dampening=0.0)
        >>> lrcore.SGD(lrcore.schedules.Cosine(0.1, steps=9)).set_params(lr__end=0.01).lr
        Cosine(lr=0.1, steps=9, end=0.01)
        """
        own = self.get_params(deep=False)
        for name in params:
            if name.partition("__")[0] not in own:
                raise ValueError(
                    f"{type(self).__name__} has no {name!r}{hint(name, self._other_names, own)}; "
                    f"it has {', '.join(own)}"
                )
        return replace(self, **with_inner(own, params))  # type: ignore[type-var]


def with_inner(own: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters to set, with those of rules and schedules in one: ``lr__end=0.1`` becomes another
    ``lr``.

    Parameters
    ----------
    own : dict
        The parameters at hand.
    params : dict
        Those to set, of these names or with ``__`` after one of them.

    Raises
    ------
    ValueError
        If one with ``__`` in its name is not of a rule or a schedule.
    """
    whole = {name: value for name, value in params.items() if "__" not in name}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in params.items():
        outer, separator, key = name.partition("__")
        if separator:
            inner.setdefault(outer, {})[key] = value
    for name, values in inner.items():
        value = whole.get(name, own[name])
        if not isinstance(value, FrozenParameters):
            kind, example = EXAMPLES.get(name, ("a schedule", "lrcore.schedules.Constant(0.1)"))
            raise ValueError(
                f"{name}__{next(iter(values))} needs {kind} as {name}, got {value!r}: give "
                f"{name}={example} or another"
            )
        whole[name] = value.set_params(**values)
    return whole
