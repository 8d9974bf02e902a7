"""What options of Vowpal Wabbit are called here, for errors about options that do not exist."""

from __future__ import annotations

from collections.abc import Sequence

OF_VOWPAL_WABBIT = {
    **dict.fromkeys(("-b", "--bit_precision"), "--bits"),
    **dict.fromkeys(("-l", "--learning_rate"), "--lr"),
    **dict.fromkeys(("-q", "--quadratic", "--cubic", "--interactions"), "--cross A*B"),
    **dict.fromkeys(("-f", "--final_regressor"), "-o MODEL"),
    **dict.fromkeys(("-i", "--initial_regressor"), "lrcore predict MODEL DATA"),
    **dict.fromkeys(("-t", "--testonly"), "lrcore evaluate MODEL DATA"),
    **dict.fromkeys(("-p", "--predictions"), "lrcore predict MODEL DATA -o FILE"),
    **dict.fromkeys(("-d", "--data"), "the first argument"),
    **dict.fromkeys(("-c", "-k", "--cache_file", "--kill_cache"), "--cache FILE"),
    **dict.fromkeys(("--oaa", "--multiclass"), "nothing, since classes are found in the data"),
    "--passes": "--epochs",
    "--loss_function": "--loss",
    "--l1": "--penalty l1 --alpha ALPHA",
    "--l2": "--penalty l2 --alpha ALPHA",
    "--ngram": "--ngrams",
    "--quantile_tau": "--quantile",
    "--holdout_period": "--holdout",
    "--noconstant": "--no-intercept",
    "--power_t": "--lr with a schedule; lrcore schedule draws one",
    "--random_seed": "--seed",
}  # fmt: skip


def said_elsewhere(words: Sequence[str]) -> str:
    """What stands here for options of Vowpal Wabbit among the words of a command line, as a
    message; empty if there are none.

    >>> said_elsewhere(["fit", "clicks.vw", "-b", "18"])
    'there is no -b: here it is --bits'
    """
    names = dict.fromkeys(word.partition("=")[0] for word in words)
    found = [name for name in names if name in OF_VOWPAL_WABBIT]
    return "; ".join(f"there is no {name}: here it is {OF_VOWPAL_WABBIT[name]}" for name in found)
