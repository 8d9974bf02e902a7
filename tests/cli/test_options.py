import argparse

import pytest

from lrcore.cli import options
from lrcore.schedules import Cosine


@pytest.mark.parametrize(
    "convert, text, value",
    [
        (options.finite_number, "-1.5", -1.5),
        (options.nonnegative_number, "0", 0.0),
        (options.share, "1", 1.0),
        (options.count, "1", 1),
        (options.seed, "4294967295", 2**32 - 1),
        (options.plot_file, "a.png", "a.png"),
        (options.learning_rate, "auto", "auto"),
        (options.learning_rate, "0.5", 0.5),
        (options.learning_rate, "0.5,1e-3", [0.5, 1e-3]),
        (options.learning_rate, "cosine(0.5, 9)", Cosine(0.5, 9)),
    ],
)
def test_text_becomes_a_value(convert, text, value):
    assert convert(text) == value


@pytest.mark.parametrize(
    "convert, text, message",
    [
        (options.finite_number, "nan", "nan is not finite"),
        (options.finite_number, "1e999", "1e999 is not finite"),
        (options.nonnegative_number, "-1", "-1 is below 0"),
        (options.share, "1.01", "1.01 is above 1"),
        (options.count, "0", "0 is below 1"),
        (options.count, "1.5", "'1.5' is not a whole number"),
        (options.finite_number, "x", "'x' is not a number"),
        (options.learning_rate, "x", "'x' is not a number"),
        (options.seed, "-1", "-1 is not in 0 to"),
        (options.seed, "4294967296", "4294967296 is not in 0 to"),
        (options.plot_file, "/nowhere/a.png", "/nowhere: no such folder"),
        (options.plot_file, "a.xyz", "a.xyz is not a file that ends in .png"),
        (options.learning_rate, "0.5,-1", "-1 is below 0"),
        (options.learning_rate, "0", "a rate of 0 learns nothing; give one above 0"),
        (options.learning_rate, "0.5,0.0", "a rate of 0.0 learns nothing"),
        (options.learning_rate, "cosin(0.5, 9)", "cosin"),
    ],
)
def test_text_that_is_refused(convert, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        convert(text)


@pytest.mark.parametrize("convert", [options.finite_number, options.count, options.learning_rate])
def test_text_that_is_no_number(convert):
    with pytest.raises(ValueError):
        convert("ten")


def parsed(*words):
    parser = argparse.ArgumentParser()
    options.add_model_options(parser)
    return parser.parse_args(words)


def test_estimators_by_default_and_by_options():
    model = options.make_estimator(parsed())
    assert (model.loss, model.optimizer, model.penalty, model.lr) == (
        "log_loss", "auto", "l2", "auto",
    )  # fmt: skip
    model = options.make_estimator(parsed("--loss", "tweedie", "--power", "1.2", "--threads", "2"))
    assert (model.loss, model.power, model.n_threads) == ("tweedie", 1.2, 2)
