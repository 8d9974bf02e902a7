"""The line that says how far a fit has come."""

import io
from itertools import pairwise

import numpy as np

import lrcore
from lrcore.io import Dataset
from lrcore.linear_model.monitor import progress_line

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 3))
Y = X[:, 0] + RNG.normal(size=600) > 0


def lines(stream):
    return stream.getvalue().split("\r")[1:]


def test_a_fit_writes_one_line_again_and_again(monkeypatch):
    monkeypatch.setattr(progress_line, "INTERVAL", 0.0)
    stream, events = io.StringIO(), []
    line = lrcore.ProgressLine(stream)

    def both(event):
        events.append(event)
        line(event)

    clf = lrcore.LinearClassifier(optimizer="adagrad", max_iter=3, tol=None, random_state=0)
    clf.fit(X, Y, callback=both)
    found = lines(stream)
    assert len(found) == len(events)
    assert stream.getvalue().count("\n") == 1
    assert found[-1].startswith(f"epoch 3/3, 100 % of its rows, loss {clf.loss_curve_[-1]:.4g}, ")
    assert found[-1].endswith("s\n")
    assert all(len(b.rstrip("\n")) >= len(a.rstrip()) for a, b in pairwise(found))
    clf.set_params(early_stopping=True).fit(X, Y, callback=line)
    assert f"held-out loss {clf.stopping_curve_[-1]:.4g}, " in lines(stream)[-1]


def test_it_is_not_written_more_often_than_can_be_read(monkeypatch):
    monkeypatch.setattr(progress_line, "INTERVAL", 1e9)
    stream = io.StringIO()
    clf = lrcore.LinearClassifier(optimizer="adagrad", max_iter=30, tol=None, random_state=0)
    clf.fit(X, Y, callback=lrcore.ProgressLine(stream))
    assert len(lines(stream)) == 2  # the first and the last


def test_the_rows_of_a_dataset_are_shown(capsys):
    data = Dataset.from_arrays(X, Y.astype(int))
    lrcore.LinearClassifier(random_state=0).fit(data, callback=lrcore.ProgressLine())
    assert lines(io.StringIO(capsys.readouterr().out))[0].startswith("epoch 1, 600 rows, loss 0.")
