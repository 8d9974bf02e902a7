"""Optimizers of torch whose steps lrcore makes."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from lrcore import rules
from lrcore._backend import threads
from lrcore.optim.options import check_nonfinite
from lrcore.rules import Rule
from lrcore.schedules import Plateau, Schedule
from lrcore.torch.binding import Binding, check_parameter

#: Arguments of torch whose steps could not be made here, with what they are for.
REFUSED = {
    "capturable": "is for graphs of an accelerator",
    "differentiable": "is for gradients of the step itself",
}


class TorchOptimizer(torch.optim.Optimizer):
    """What the optimizers of `lrcore.torch` share.

    Each takes the arguments of the class of `torch.optim` that it is derived from, and two more.
    ``foreach`` and ``fused`` are allowed and without effect: all parameters of a dtype are stepped
    by one call.

    Parameters
    ----------
    params : iterable of Tensor, of pairs (name, Tensor), or of dicts
        Leaves on the CPU, float32 or float64, in any dense memory format; as torch takes them.
    *args, **options
        Arguments of torch.
    n_threads : int, optional
        By default as many as `lrcore.get_num_threads` says and the parameters make worthwhile; the
        bits are the same for any number.
    nonfinite : {"propagate", "raise", "skip"}
        What to do with gradients that have a NaN or an infinity: step all the same, as torch does;
        raise FloatingPointError before anything is written; or skip the step.
    """

    #: The names that torch has for the states of a formula.
    _keys: ClassVar[Mapping[str, str]] = {}
    #: Whether torch counts the steps of each parameter.
    _counted: ClassVar[bool] = True

    def __init__(
        self, params: Any, *args: Any, n_threads: int | None = None, nonfinite: str = "propagate",
        **options: Any,
    ) -> None:  # fmt: skip
        threads.check(n_threads)
        check_nonfinite(nonfinite)
        check_lr(options.get("lr", args[0] if args else None))
        self.n_threads, self.nonfinite = n_threads, nonfinite
        self._forget()
        super().__init__(params, *args, **options)
        # What fused=True promises: gradients that are still scaled. They are not taken here.
        self._step_supports_amp_scaling = False

    def __init_subclass__(cls) -> None:
        """Show the arguments of torch in signatures."""
        if "__init__" in vars(cls):
            return
        theirs = next(each for each in cls.__mro__ if each.__module__.startswith("torch.optim"))
        own = inspect.signature(TorchOptimizer.__init__).parameters.values()
        more = [each for each in own if each.kind is each.KEYWORD_ONLY]
        every = [*inspect.signature(theirs).parameters.values(), *more]
        cls.__signature__ = inspect.Signature(sorted(every, key=lambda each: each.kind))

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        """The rule that the options of a parameter group stand for."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Bind parameters and states anew at the next step."""
        self._binding: Binding | None = None
        self._values: list[Any] = []
        self._rules: list[Rule] = []

    def __getstate__(self) -> dict[str, Any]:
        own = {"n_threads": self.n_threads, "nonfinite": self.nonfinite}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._forget()
        super().__setstate__(state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group, as torch does.

        Parameters
        ----------
        param_group : dict

        Raises
        ------
        TypeError, ValueError
            If a parameter or an option cannot be used; nothing has changed then.
        """
        super().add_param_group(param_group)
        try:
            added = len(self.param_groups) - 1
            for name, p in zip(self._names(added), self.param_groups[added]["params"]):
                check_parameter(name, p)
            self._checked_rule(self.param_groups[added])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        self._forget()

    def _names(self, k: int) -> list[str]:
        """The parameters of group k in messages."""
        group = self.param_groups[k]
        if "param_names" in group:
            return list(group["param_names"])
        return [f"parameter {i} of group {k}" for i in range(len(group["params"]))]

    def _checked_rule(self, group: Mapping[str, Any]) -> Any:
        """The rule of a parameter group, once its options are known to be possible."""
        for name, purpose in REFUSED.items():
            if group.get(name):
                raise ValueError(f"{name}=True {purpose}, which lrcore.torch has not; leave it out")
        check_lr(group["lr"])
        return self._rule({name: plain(value) for name, value in group.items()})

    def _current_rules(self) -> list[Rule]:
        """The rules of the groups; the same list for as long as no option changes."""
        values = [
            [plain(value) for name, value in group.items() if name not in ("params", "param_names")]
            for group in self.param_groups
        ]
        if values != self._values:
            self._rules = [self._checked_rule(group) for group in self.param_groups]
            self._values = values
        return self._rules

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model again and returns the loss.

        Returns
        -------
        The loss of the closure, None without one.

        Raises
        ------
        FloatingPointError
            If a gradient is not finite and ``nonfinite="raise"``; nothing has changed then.
        TypeError, ValueError
            If a parameter or a gradient cannot be stepped; nothing has changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        params = [p for group in self.param_groups for p in group["params"]]
        grads = [p.grad for p in params]
        if all(g is None for g in grads):
            return loss
        current, binding = self._current_rules(), self._binding
        if binding is None or not binding.fits(params, grads, current):
            binding = self._binding = self._bound(grads, current)
        binding.stepper.n_threads, binding.stepper.nonfinite = self.n_threads, self.nonfinite
        binding.step(grads, current)
        return loss

    def _bound(self, grads: list[Any], current: list[Rule]) -> Binding:
        """Parameters and states as they are now, bound to the kernels."""
        names = [name for k in range(len(self.param_groups)) for name in self._names(k)]
        params = [group["params"] for group in self.param_groups]
        return Binding(params, names, current, self.state, self._keys, self._counted, grads)


def plain(value: Any) -> Any:
    """A tensor of one element as a number, and anything else as it is."""
    return value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value


def check_lr(lr: Any) -> None:
    """Raise TypeError if it is a schedule of lrcore, which torch's schedulers could not change."""
    if isinstance(lr, (Schedule, Plateau)):
        raise TypeError(
            "lr must be a number, which schedulers change; of a schedule make one of these: "
            "scheduler = schedule.to_torch(optimizer)"
        )


ADAM_KEYS = {
    "mean_gradient": "exp_avg",
    "mean_square": "exp_avg_sq",
    "max_square": "max_exp_avg_sq",
    "max_gradient": "exp_inf",
}


def adam(rule: Callable[..., Rule], group: Mapping[str, Any], **more: Any) -> Rule:
    """A rule of Adam's family of the options of a parameter group."""
    beta1, beta2 = map(plain, group["betas"])
    return rule(
        group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"],
        maximize=group["maximize"], decoupled=bool(group.get("decoupled_weight_decay", False)),
        **more,
    )  # fmt: skip


class Adam(TorchOptimizer, torch.optim.Adam):
    """`torch.optim.Adam`, ``amsgrad`` included, stepped by `lrcore.Adam` or `lrcore.AMSGrad`.

    See `TorchOptimizer` for what all have in common.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> module = torch.nn.Linear(3, 1)
    >>> opt = lrcore.torch.Adam(module.parameters(), lr=1e-2)
    >>> module(torch.ones(4, 3)).square().mean().backward()
    >>> opt.step()
    >>> opt.zero_grad()
    >>> opt.state_dict()["state"][0]["step"]
    tensor(1.)
    """

    _keys = ADAM_KEYS

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        return adam(rules.AMSGrad if group["amsgrad"] else rules.Adam, group, eps=group["eps"])


class AdamW(Adam, torch.optim.AdamW):
    """`torch.optim.AdamW`, stepped by `lrcore.AdamW`: decay does not go through the means.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.ones(2))
    >>> opt = lrcore.torch.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> w.grad = torch.tensor([3.0, 0.0])
    >>> opt.step()
    >>> w.detach()
    tensor([0.8500, 0.9500])
    """


class Adamax(TorchOptimizer, torch.optim.Adamax):
    """`torch.optim.Adamax`, stepped by `lrcore.Adamax`.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> opt = lrcore.torch.Adamax([w], lr=0.1)
    >>> w.grad = torch.tensor([3.0, -0.01])
    >>> opt.step()
    >>> w.detach()
    tensor([-0.1000,  0.1000])
    """

    _keys = ADAM_KEYS

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        return adam(rules.Adamax, group, eps=group["eps"])


class NAdam(TorchOptimizer, torch.optim.NAdam):
    """`torch.optim.NAdam`, stepped by `lrcore.Nadam`.

    The product of momenta follows from the number of steps, in float64; the ``mu_product`` of
    torch is written to `state_dict`, and not read.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> opt = lrcore.torch.NAdam([w], lr=0.1)
    >>> w.grad = torch.tensor([3.0, -0.01])
    >>> opt.step()
    >>> w.detach()
    tensor([-0.1056,  0.1056])
    """

    _keys = ADAM_KEYS

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        more = {"eps": group["eps"], "momentum_decay": group["momentum_decay"]}
        return adam(rules.Nadam, group, **more)

    def state_dict(self) -> dict[str, Any]:
        """The state in torch's form.

        Returns
        -------
        dict
        """
        return self._with_products(super().state_dict())

    def __getstate__(self) -> dict[str, Any]:
        return self._with_products(super().__getstate__())

    def _with_products(self, saved: dict[str, Any]) -> dict[str, Any]:
        """The same, with the product of momenta in the state of each parameter."""
        states = copy.copy(saved["state"])
        for group in saved["param_groups"]:
            rule = self._checked_rule(group)
            for key in (key for key in group["params"] if key in states):
                state = states[key]
                last = np.array([int(state["step"]) - 1])
                product = torch.tensor(rule.momentum_products(last)[0], dtype=torch.float32)
                states[key] = {**state, "mu_product": product}
        return {**saved, "state": states}


class RAdam(TorchOptimizer, torch.optim.RAdam):
    """`torch.optim.RAdam`, stepped by `lrcore.RAdam`.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> opt = lrcore.torch.RAdam([w], lr=0.1)
    >>> w.grad = torch.tensor([3.0, -0.01])
    >>> opt.step()
    >>> w.detach()
    tensor([-0.3000,  0.0010])
    """

    _keys = ADAM_KEYS

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        return adam(rules.RAdam, group, eps=group["eps"])


class SGD(TorchOptimizer, torch.optim.SGD):
    """`torch.optim.SGD`, stepped by `lrcore.SGD`.

    Without momentum and weight decay it takes sparse gradients, as of
    ``torch.nn.Embedding(..., sparse=True)``.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> opt = lrcore.torch.SGD([w], lr=0.5, momentum=0.9)
    >>> w.grad = torch.tensor([1.0, -1.0])
    >>> opt.step()
    >>> w.detach()
    tensor([0.5000, 2.5000])
    """

    _keys: ClassVar[Mapping[str, str]] = {"momentum_buffer": "momentum_buffer"}
    _counted = False

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        return rules.SGD(
            group["lr"], momentum=group["momentum"], nesterov=group["nesterov"],
            dampening=group["dampening"], weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )  # fmt: skip


class RMSprop(TorchOptimizer, torch.optim.RMSprop):
    """`torch.optim.RMSprop`, stepped by `lrcore.RMSProp`.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.zeros(1))
    >>> opt = lrcore.torch.RMSprop([w], lr=0.1, alpha=0.75)
    >>> w.grad = torch.tensor([3.0])
    >>> opt.step()
    >>> w.detach()
    tensor([-0.2000])
    """

    _keys: ClassVar[Mapping[str, str]] = {
        "mean_square": "square_avg",
        "mean_gradient": "grad_avg",
        "momentum_buffer": "momentum_buffer",
    }

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        return rules.RMSProp(
            group["lr"], rho=group["alpha"], momentum=group["momentum"],
            centered=bool(group["centered"]), eps=group["eps"], weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )  # fmt: skip


class Adagrad(TorchOptimizer, torch.optim.Adagrad):
    """`torch.optim.Adagrad`, stepped by `lrcore.AdaGrad`.

    Without weight decay it takes sparse gradients, as of ``torch.nn.Embedding(..., sparse=True)``.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> opt = lrcore.torch.Adagrad([w], lr=0.5)
    >>> w.grad = torch.tensor([10.0, -0.1])
    >>> opt.step()
    >>> w.detach()
    tensor([-0.5000,  0.5000])
    """

    _keys: ClassVar[Mapping[str, str]] = {"sum_of_squares": "sum"}

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        return rules.AdaGrad(
            group["lr"], eps=group["eps"], lr_decay=group["lr_decay"],
            initial_accumulator=group["initial_accumulator_value"],
            weight_decay=group["weight_decay"], maximize=group["maximize"],
        )  # fmt: skip


class Adadelta(TorchOptimizer, torch.optim.Adadelta):
    """`torch.optim.Adadelta`, stepped by `lrcore.AdaDelta`.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> opt = lrcore.torch.Adadelta([w], eps=1e-2)
    >>> w.grad = torch.tensor([1.0, -5.0])
    >>> opt.step()
    >>> w.detach()
    tensor([-0.3015,  0.3156])
    """

    _keys: ClassVar[Mapping[str, str]] = {
        "mean_square": "square_avg",
        "mean_square_step": "acc_delta",
    }

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        return rules.AdaDelta(
            group["lr"], rho=group["rho"], eps=group["eps"], weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )  # fmt: skip


class Lion(TorchOptimizer):
    """Evolved sign momentum, see `lrcore.Lion`; torch has none.

    Parameters
    ----------
    params : iterable
        As of the others.
    lr : float or Tensor
    betas : pair of floats
    weight_decay : float
        Decoupled, as in the paper.
    maximize : bool
    n_threads, nonfinite
        As of the others.

    Examples
    --------
    >>> import torch, lrcore.torch
    >>> w = torch.nn.Parameter(torch.zeros(3))
    >>> opt = lrcore.torch.Lion([w], lr=0.1)
    >>> w.grad = torch.tensor([3.0, 0.0, -0.01])
    >>> opt.step()
    >>> w.detach()
    tensor([-0.1000,  0.0000,  0.1000])
    """

    _keys: ClassVar[Mapping[str, str]] = {"mean_gradient": "exp_avg"}
    _counted = False

    def __init__(
        self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0, *, maximize: bool = False, n_threads: int | None = None,
        nonfinite: str = "propagate",
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults, n_threads=n_threads, nonfinite=nonfinite)

    def _rule(self, group: Mapping[str, Any]) -> Rule:
        return adam(rules.Lion, {**group, "decoupled_weight_decay": True})
