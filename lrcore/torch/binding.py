"""Tensors of an optimizer of torch as arrays that the kernels step: parameters, gradients, states.

Nothing is copied: parameters are seen as arrays, and the tensors of their states are views of the
states that lrcore keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.autograd.graph import increment_version

from lrcore._utils.numerics import Floats
from lrcore.optim.optimizer import Optimizer
from lrcore.optim.param_group import ParamGroup, groups_of
from lrcore.rules import Rule
from lrcore.rules.adaptive import AdaGradFormula
from lrcore.rules.formula import Formula
from lrcore.rules.gradient import SGDFormula

#: The formulas that step some rows of a parameter as torch does.
OF_ROWS = (SGDFormula, AdaGradFormula)

#: What is done about parameters that cannot be stepped.
FLOAT_ADVICE = {
    True: "keep a real parameter, and use torch.view_as_complex of it in the module",
    False: "keep it in float32, and compute under torch.autocast",
}


class Cohort:
    """The rule of parameters that have made the same number of steps, `offset`, when the steps of
    the `Stepper` were at 0."""

    def __init__(self, rule: Rule, offset: int) -> None:
        self.rule, self.offset = rule, offset

    @property
    def formula(self) -> type[Formula]:
        """The formula of the rule."""
        return self.rule.formula

    def initial_state(self, name: str, w: np.ndarray) -> np.ndarray | float:
        """As by the rule."""
        return self.rule.initial_state(name, w)

    def rates(self, t: np.ndarray) -> Floats:
        """Learning rates of the steps t of the `Stepper`."""
        return self.rule.rates(t + self.offset)

    def coefficients(self, t: np.ndarray, rates: Floats, dtype: Any) -> Floats:
        """The formula's columns at these steps."""
        return self.rule.coefficients(t + self.offset, rates, dtype)

    def adjustments(self, t: np.ndarray, rates: Floats) -> Floats:
        """What happens before the formula at these steps."""
        return self.rule.adjustments(t + self.offset, rates)


class Stepper(Optimizer):
    """An Optimizer whose parameters each have a rule and a number of steps of their own.

    Parameters
    ----------
    arrays : list of ndarray
    cohorts : list of Cohort
        One for each array.
    **options
        As of `Optimizer`.
    """

    def __init__(self, arrays: list[np.ndarray], cohorts: list[Cohort], **options: Any) -> None:
        self._cohorts: list[Any] = cohorts
        super().__init__(arrays, cohorts[0].rule, **options)

    def _new_groups(
        self, rule: Rule, overrides: Mapping[str, Mapping[str, Any]]
    ) -> list[ParamGroup]:
        return groups_of(self._params, self._cohorts)

    def step_by(self, cohorts: list[Any]) -> None:
        """Make the next steps, from 0 on, by other cohorts of the same formulas."""
        self._cohorts = cohorts
        for group in self._groups:
            group.use([cohorts[i] for i in group.indices])
        self.t = 0

    def outdate(self) -> None:
        """Begin with the steps at 0 again, by cohorts whose rules have changed."""
        for cohort in dict.fromkeys(self._cohorts):
            cohort.offset += self.t
        for group in self._groups:
            group.outdate()
        self.t = 0

    def states(self) -> list[dict[str, np.ndarray]]:
        """The states of each parameter by name, flat, to be written to."""
        found: list[dict[str, np.ndarray]] = [{} for _ in self._params.arrays]
        for group in self._groups:
            for index, rows in zip(group.indices, group.states):
                found[index] = dict(zip(group.formula.state, rows))
        return found


def check_parameter(name: str, p: torch.Tensor) -> None:
    """Raise TypeError if this parameter is not one of the CPU in float32 or float64, and ValueError
    if its elements do not follow one another in memory, in the order of some of its dimensions."""
    if p.device.type != "cpu":
        raise TypeError(
            f"{name} is on {p.device}, and lrcore steps on the CPU: move the module by .cpu(), or "
            "use the optimizer of torch.optim"
        )
    if p.layout != torch.strided:
        raise TypeError(f"{name} is {p.layout}; .to_dense() gives one that can be stepped")
    if p.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} is {p.dtype}, and lrcore steps float32 and float64: "
            f"{FLOAT_ADVICE[p.is_complex()]}"
        )
    if not p.permute(order_of(p)).is_contiguous():
        raise ValueError(
            f"{name} has strides {p.stride()} for the shape {tuple(p.shape)}, so that it shares "
            "its memory or leaves gaps in it: give p.detach().clone() as the parameter"
        )


def order_of(p: torch.Tensor) -> list[int]:
    """The dimensions from the one with the largest stride on; as they are if it is contiguous."""
    dims = range(p.dim())
    return list(dims) if p.is_contiguous() else sorted(dims, key=lambda d: -p.stride(d))


class Binding:
    """The parameters of an optimizer of torch that have gradients or states, bound to the kernels.

    Parameters
    ----------
    params : list of list of Tensor
        Of each parameter group.
    names : list of str
        Of all parameters, for messages.
    rules : list of Rule
        Of each parameter group.
    state : dict
        Of torch: the state of each parameter. Its tensors are replaced by views of the states that
        the kernels keep.
    keys : dict of str to str
        The names that torch has for the states of a formula.
    counted : bool
        Whether torch counts the steps of each parameter in its state.
    grads : list
        Gradients of all parameters, or None.
    **options
        As of `lrcore.Optimizer`.
    """

    def __init__(
        self, params: list[list[torch.Tensor]], names: list[str], rules: list[Rule], state: Any,
        keys: Mapping[str, str], counted: bool, grads: list[Any], **options: Any,
    ) -> None:  # fmt: skip
        every = [(p, k) for k, group in enumerate(params) for p in group]
        self.rules, self.state = rules, state
        self.all_ids = [id(p) for p, _ in every]
        self.bound = [i for i, (p, _) in enumerate(every) if grads[i] is not None or state.get(p)]
        self.unbound = sorted(set(range(len(every))) - set(self.bound))
        self.params = [every[i][0] for i in self.bound]
        self.names = [names[i] for i in self.bound]
        self.groups = [every[i][1] for i in self.bound]
        for name, p in zip(self.names, self.params):
            check_parameter(name, p)
            self._check_state(name, p, state.get(p), keys)
        self.orders = [order_of(p) for p in self.params]
        self.permuted = any(order != sorted(order) for order in self.orders)
        self.pointers = [p.data_ptr() for p in self.params]
        self.steps = np.array([self._steps_of(state.get(p), keys, counted) for p in self.params],
                              np.float32)  # fmt: skip
        arrays = [p.detach().permute(o).numpy() for p, o in zip(self.params, self.orders)]
        cohorts = self._cohorts()
        self.stepper = Stepper(arrays, cohorts, **options)
        self._take_over(keys, counted)
        self.state_ids = self._ids_of_state()

    @staticmethod
    def _check_state(name: str, p: torch.Tensor, saved: Any, keys: Mapping[str, str]) -> None:
        """Raise ValueError if a tensor of its state has not the shape of a parameter."""
        for key in keys.values():
            value = (saved or {}).get(key)
            if value is not None and value.shape != p.shape:
                raise ValueError(
                    f"{key} of the state of {name} must have its shape {tuple(p.shape)}, got "
                    f"{tuple(value.shape)}"
                )

    @staticmethod
    def _steps_of(saved: Any, keys: Mapping[str, str], counted: bool) -> float:
        """Steps that a parameter of this state has made; of one that is not counted, whether it has
        made any."""
        if counted:
            return float((saved or {}).get("step", 0.0))
        return float(any((saved or {}).get(key) is not None for key in keys.values()))

    def _cohorts(self) -> list[Cohort]:
        """The cohort of each parameter, by its group and the steps that it has made."""
        self.expected = self.steps.copy()
        keys = list(zip(self.groups, self.steps.astype(np.int64).tolist()))
        self.cohorts = {key: Cohort(self.rules[key[0]], key[1]) for key in dict.fromkeys(keys)}
        return [self.cohorts[key] for key in keys]

    def _take_over(self, keys: Mapping[str, str], counted: bool) -> None:
        """Copy the states at hand, and put views of the kernels' states in their place."""
        for i, (p, order, rows) in enumerate(zip(self.params, self.orders, self.stepper.states())):
            for label, row in rows.items():
                like = p.detach().permute(order)
                inverse = sorted(range(p.dim()), key=order.__getitem__)
                view = torch.from_numpy(row).view(like.shape).permute(inverse)
                saved = self.state[p].get(keys[label])
                if saved is not None:
                    view.copy_(saved)
                self.state[p][keys[label]] = view
            if counted:
                self.state[p]["step"] = torch.from_numpy(self.steps[i : i + 1]).view(())

    def _ids_of_state(self) -> list[int]:
        return [id(value) for each in self.state.values() for value in each.values()]

    def fits(self, params: list[torch.Tensor], grads: list[Any], rules: list[Rule]) -> bool:
        """Whether parameters and states are where they were, with the formulas that they had, and
        no others have gradients."""
        return (
            list(map(id, params)) == self.all_ids
            and all(grads[i] is None for i in self.unbound)
            and [p.data_ptr() for p in self.params] == self.pointers
            and self._ids_of_state() == self.state_ids
            and all(a.formula is b.formula for a, b in zip(rules, self.rules))
        )

    def step(self, grads: list[Any], rules: list[Rule]) -> None:
        """Step the parameters by these gradients of all parameters; None leaves one as it is."""
        given = [grads[i] for i in self.bound] if self.unbound else grads
        leaves = self._leaves(given)
        stepped = np.array([g is not None for g in given])
        differs = self.steps != self.expected
        if differs.any() and (differs & stepped).any():
            self.rules = rules
            self.stepper.step_by(self._cohorts())
        elif rules is not self.rules:
            self._use(rules)
        t = self.stepper.t
        self.stepper.step(leaves)
        if self.stepper.t > t:
            self.steps += stepped
            self.expected += 1
            increment_version([p for p, g in zip(self.params, given) if g is not None])

    def _use(self, rules: list[Rule]) -> None:
        """Step by other rules of the same formulas from now on."""
        self.rules = rules
        for (group, _), cohort in self.cohorts.items():
            cohort.rule = rules[group]
        self.stepper.outdate()

    def _leaves(self, given: list[Any]) -> list[Any]:
        """The gradients as arrays, without a copy where they lie as their parameters do."""
        if not self.permuted:
            try:
                return [
                    None if g is None else g.numpy() if g.is_contiguous() else self._leaf(i, g)
                    for i, g in enumerate(given)
                ]
            except (RuntimeError, TypeError):
                pass  # one of them is sparse, of another dtype, or requires gradients itself
        return [None if g is None else self._leaf(i, g) for i, g in enumerate(given)]

    def _leaf(self, i: int, g: torch.Tensor) -> Any:
        """A gradient of any kind as an array, or as a pair of row numbers and values."""
        if g.layout != torch.strided:
            return self._rows(i, g)
        g = g.detach().to(self.params[i].dtype).resolve_neg()
        return g.permute(self.orders[i]).contiguous().numpy()

    def _rows(self, i: int, g: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """A sparse gradient as a pair of row numbers and values."""
        name, rule = f"the gradient of {self.names[i]}", self.rules[self.groups[i]]
        if g.layout != torch.sparse_coo or g.sparse_dim() != 1 or self.orders[i][0] != 0:
            raise TypeError(
                f"{name} is {g.layout}, and sparse gradients are those of whole rows, as by "
                "torch.nn.Embedding(..., sparse=True); .to_dense() gives one that can be stepped"
            )
        if rule.formula not in OF_ROWS or rule.weight_decay:
            raise TypeError(
                f"{name} is sparse, which SGD without momentum and Adagrad step as torch does, "
                f"without weight_decay; not {rule!r}: take these, or Embedding(..., sparse=False)"
            )
        return g._indices()[0].numpy(), g._values().detach().contiguous().numpy()
