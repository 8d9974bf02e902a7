"""What names of other libraries are called here, for errors about names that do not exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

#: Names that scikit-learn, torch, optax, Keras and others have for a learning rate.
RATES = ("learning_rate", "learning_rate_init", "learning_rate_", "eta0", "eta", "step_size")

RATE = dict.fromkeys(RATES, "lr")

THREADS = dict.fromkeys(("n_jobs", "nthread", "num_threads", "threads", "n_cpus"), "n_threads")

#: Of the hyperparameters of a rule; each with what to write instead.
OF_RULES: Mapping[str, str] = {
    **RATE,
    "alpha": "rho, or weight_decay for an l2 penalty",
    "betas": "beta1 and beta2",
    "b1": "beta1",
    "b2": "beta2",
    "beta_1": "beta1",
    "beta_2": "beta2",
    "momentum": "beta1",
    "nesterov": "lrcore.Nadam",
    "epsilon": "eps",
    "decay": "weight_decay, or a schedule as lr",
    "amsgrad": "lrcore.AMSGrad",
    "gamma": "a schedule such as lrcore.schedules.Exponential as lr",
    "initial_accumulator_value": "initial_accumulator",
    "decoupled_weight_decay": "decoupled",
    "ema": "Optimizer(..., ema=...)",
    "clip_norm": "Optimizer.step(..., clip_norm=...)",
    "clipnorm": "Optimizer.step(..., clip_norm=...)",
    "clip_value": "Optimizer.step(..., clip_value=...)",
    "clipvalue": "Optimizer.step(..., clip_value=...)",
    **dict.fromkeys(("foreach", "fused"), "nothing: every step is fused"),
}

#: Of the parameters of the linear models.
OF_MODELS: Mapping[str, str] = {
    **RATE,
    "C": "alpha = 1 / (C * n_rows)",
    "Cs": "LinearClassifierCV(alphas=...)",
    **dict.fromkeys(("lambda_", "lamda", "lambd", "reg", "reg_lambda", "reg_param"), "alpha"),
    **dict.fromkeys(("regularization", "l2_reg", "l2", "alpha_"), "alpha"),
    **dict.fromkeys(("l1", "l1_reg", "reg_alpha"), "alpha, with penalty='l1'"),
    **THREADS,
    **dict.fromkeys(("epochs", "n_epochs", "n_iter", "num_iter", "passes", "max_epochs"),
                    "max_iter"),
    "max_fun": "max_iter",
    "dual": "solver='dual' or 'newton', which 'auto' chooses",
    "power_t": "a schedule as lr, such as lrcore.schedules.InverseTime",
    "momentum": "optimizer=lrcore.SGD(momentum=...)",
    "nesterovs_momentum": "optimizer=lrcore.SGD(momentum=..., nesterov=True)",
    **dict.fromkeys(("beta1", "beta2", "beta_1", "beta_2", "betas"),
                    "optimizer=lrcore.Adam(beta1=..., beta2=...)"),
    "weight_decay": "alpha, with penalty='l2'",
    "intercept_scaling": "nothing: the intercept has no penalty",
    "normalize": "scale",
    "seed": "random_state",
    "sample_weight": "fit(X, y, sample_weight)",
    "offset": "fit(X, y, offset=...) of LinearRegressor",
    "eval_set": "fit(X, y, eval_set=(X_val, y_val))",
    "callback": "fit(X, y, callback=...)",
    "callbacks": "fit(X, y, callback=...)",
    "classes": "partial_fit(X, y, classes=...)",
    "patience": "n_iter_no_change",
    "early_stopping_rounds": "early_stopping=True and n_iter_no_change",
    "intercept": "fit_intercept",
}  # fmt: skip


#: Of the parameters of the linear models that choose alpha by folds.
OF_SEARCHES: Mapping[str, str] = {
    **THREADS,
    **dict.fromkeys(("C", "Cs"), "alphas = 1 / (C * n_rows) of each"),
    "alpha": "alphas",
    "l1_ratio": "l1_ratios",
    "seed": "random_state",
    "normalize": "scale",
    **dict.fromkeys(("n_alphas", "eps"), "alphas, which are searched for by default"),
    "refit": "nothing: the best alpha is fitted to all rows",
}


def hint(name: str, others: Mapping[str, str], known: Collection[str]) -> str:
    """What to say of a name that is not known: what stands for it here, or the one most like it.

    >>> hint("eta0", OF_MODELS, ["lr"]), hint("alhpa", OF_MODELS, ["alpha"]), hint("x", {}, ["lr"])
    (': here it is lr', ': did you mean alpha?', '')
    """
    if name in others:
        return f": here it is {others[name]}"
    close = get_close_matches(name, known, 1)
    return f": did you mean {close[0]}?" if close else ""


def check_names(cls: type, names: Mapping[str, Any], others: Mapping[str, str],
                known: Collection[str]) -> None:  # fmt: skip
    """Raise TypeError, with a hint, if a class is called with a name that is not known."""
    for name in names:
        if name not in known:
            raise TypeError(
                f"{cls.__name__} got an unexpected keyword argument {name!r}"
                f"{hint(name, others, known)}"
            )
