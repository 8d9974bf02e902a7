"""scikit-learn's own callbacks, where its version has them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from strategies import equal_bits, sparse_problem

from lrcore import SGD, LinearClassifier, LinearRegressor
from lrcore.schedules import Constant

pytest.importorskip("sklearn.callback")

X, DENSE, LABELS, TARGET = sparse_problem()


class Recorder:
    """Notes what happens; stops after the epoch `stop`."""

    def __init__(self, stop=None):
        self.seen, self.models, self.stop = [], [], stop

    def setup(self, estimator, context):
        self.seen.append("setup")

    def teardown(self, estimator, context):
        self.seen.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.seen.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.seen.append(f"end {context.task_name} {context.task_id}")
        self.models.append(fitted_estimator)
        self.data = X, y, metadata
        return context.task_name == "epoch" and context.task_id == self.stop


MODELS = {
    "classifier": (LinearClassifier(optimizer="adagrad", max_iter=3, random_state=0), LABELS),
    "tol": (LinearClassifier(optimizer="adagrad", max_iter=3, tol=0.0, random_state=0), LABELS),
    "reordered": (
        LinearClassifier(optimizer="adagrad", max_iter=25, tol=None, random_state=0),
        LABELS,
    ),
    "newton": (LinearClassifier(alpha=1e-3), LABELS),
    "dual": (LinearClassifier(solver="dual", alpha=1e-2, random_state=0), LABELS),
    "regressor": (LinearRegressor(optimizer="adagrad", max_iter=3, random_state=0), TARGET),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_epoch_is_a_task(name):
    model, y = MODELS[name]
    plain, recorder = clone(model).fit(X, y), Recorder()
    watched = clone(model).set_callbacks(recorder).fit(X, y)
    assert equal_bits(plain.coef_, watched.coef_)
    epochs = [f"{what} epoch {k}" for k in range(plain.n_iter_) for what in ("begin", "end")]
    assert recorder.seen == ["setup", "begin fit 0", *epochs, "end fit 0", "teardown"]
    assert recorder.data[0] is X
    assert recorder.data[1] is y
    assert equal_bits(recorder.models[-1].predict(X), plain.predict(X))
    scores = [each.score(X, y) for each in recorder.models]
    assert scores[0] != scores[-1] or name in ("newton", "dual")


@pytest.mark.filterwarnings("ignore:label 1 is in every row:UserWarning")
def test_models_of_epochs_have_all_labels():
    labels = np.stack([LABELS, np.ones(300, int), 1 - LABELS], axis=1)
    recorder = Recorder()
    clf = LinearClassifier(optimizer="adagrad", max_iter=2, random_state=0)
    clf.set_callbacks(recorder).fit(X, labels)
    for each in recorder.models:
        assert each.predict(X).shape == (300, 3)
        assert each.predict(X)[:, 1].all()
    assert equal_bits(recorder.models[-1].predict_proba(X), clf.predict_proba(X))


def test_a_callback_stops_a_fit():
    recorder = Recorder(stop=1)
    clf = LinearClassifier(optimizer="adagrad", max_iter=9, random_state=0)
    clf.set_callbacks(recorder).fit(X, LABELS)
    assert clf.n_iter_ == 2
    assert recorder.seen[-4:] == ["begin epoch 1", "end epoch 1", "end fit 0", "teardown"]
    assert equal_bits(recorder.models[1].coef_, clf.coef_)


def test_a_fit_that_fails_is_torn_down():
    recorder = Recorder()
    wild = LinearRegressor(optimizer=SGD(lr=1e9)).set_callbacks(recorder)
    with pytest.raises(FloatingPointError):
        wild.fit(X, TARGET)
    assert recorder.seen[-1] == "teardown"
    assert not hasattr(wild, "_callback_fit_ctx")


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
def test_a_fit_that_recovers_tells_of_the_epochs_that_it_kept():
    rule = SGD(lr=Constant(0.02).then(Constant(0.5), at=900))
    recorder = Recorder()
    reg = LinearRegressor(optimizer=rule, max_iter=6, random_state=0, on_divergence="recover")
    reg.set_callbacks(recorder).fit(X, TARGET)
    begun, ended = (
        [each.split()[-1] for each in recorder.seen if each.startswith(f"{what} epoch")]
        for what in ("begin", "end")
    )
    assert begun == ended
    assert len(ended) >= 6


def test_scikit_learns_own_work():
    pytest.importorskip("pandas")
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring="neg_log_loss")
    clf = LinearClassifier(optimizer="adagrad", max_iter=4, random_state=0)
    clf.set_callbacks(monitor).fit(DENSE, LABELS)
    (log,) = (
        [monitor.get_logs()] if not isinstance(monitor.get_logs(), list) else monitor.get_logs()
    )
    scores = [row["neg_log_loss"] for row in log.data if row["task_name"] == "epoch"]
    assert len(scores) == 4
    assert scores[-1] > scores[0]
    p = clf.predict_proba(DENSE)[np.arange(300), LABELS]
    assert scores[-1] == pytest.approx(np.log(p).mean())


def test_searches_over_models_with_callbacks():
    model = LinearClassifier(solver="stochastic", max_iter=2, random_state=0).set_callbacks(
        Recorder()
    )
    search = GridSearchCV(model, {"alpha": [1e-6, 1e-3]}, cv=2).fit(X, LABELS)
    assert search.best_score_ > 0.7
