"""Estimators on a Dask cluster: what they take, the same bits, and workers that are lost."""

import os
import pickle
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from partitions import cut, fit_parts
from scipy import sparse
from sklearn.base import clone

import lrcore
from lrcore.distributed.rows import BadPartitionError

dask = pytest.importorskip("dask")
import dask.array as da  # noqa: E402
import dask.bag as db  # noqa: E402
import dask.dataframe as dd  # noqa: E402
from distributed import Client, LocalCluster  # noqa: E402

from lrcore.distributed import dask_rounds  # noqa: E402
from lrcore.distributed.dask import LinearClassifier, LinearRegressor  # noqa: E402

N_ROWS = 600

#: Dask leaves sockets of its servers open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def make_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 5)) * [1.0, 10.0, 0.1, 1.0, 1.0]
    y = X @ [1.0, -0.2, 5.0, 0.0, 0.5] + 0.3 * rng.normal(size=N_ROWS)
    return X, y


@pytest.fixture(scope="module")
def client():
    """A cluster within this process: what runs on it is what runs on any other."""
    options = {"processes": False, "dashboard_address": ":0", "n_workers": 2}
    with LocalCluster(threads_per_worker=2, **options) as cluster, Client(cluster) as client:
        yield client


def test_arrays_of_any_chunks(client):
    X, y = make_rows()
    labels = np.where(y > 0, "late", "early")
    expected, _ = fit_parts(lrcore.LinearClassifier(), cut([100, 200, 300, 400, 500], X, labels))
    local = lrcore.LinearClassifier().fit(X, labels)
    for chunks, y_chunks in (((100, 5), 100), ((100, 2), 250), ((37, 5), 600)):
        clf = LinearClassifier(client=client)
        clf.fit(da.from_array(X, chunks=chunks), da.from_array(labels, chunks=y_chunks))
        np.testing.assert_array_equal(clf.coef_, expected.model.weights[0])
    np.testing.assert_allclose(clf.coef_, local.coef_, rtol=1e-2)
    assert clf.dual_gap_ <= 1e-3
    assert clf.solver_ == "lbfgs"
    assert clf.classes_.tolist() == ["early", "late"]
    assert clf.n_iter_ == clf.history_["epoch"][-1]
    # y in memory is cut as X is.
    again = LinearClassifier().fit(da.from_array(X, chunks=(100, 5)), labels)
    np.testing.assert_array_equal(again.coef_, clf.coef_)


def test_many_results_are_merged_on_the_workers(client, monkeypatch):
    X, y = make_rows()
    dX, labels = da.from_array(X, chunks=(60, 5)), (y > 0).astype(int)
    expected = LinearClassifier(client=client, alpha=1e-3).fit(dX, labels)
    monkeypatch.setattr(dask_rounds, "FAN_IN", 2)
    got = LinearClassifier(client=client, alpha=1e-3).fit(dX, labels)
    np.testing.assert_array_equal(got.coef_, expected.coef_)

    def cannot(merge, results):
        raise ZeroDivisionError

    monkeypatch.setattr(dask_rounds, "merged_copy", cannot)
    with pytest.raises(ZeroDivisionError):
        LinearClassifier(client=client, alpha=1e-3).fit(dX, labels)


def test_predictions_are_lazy_and_those_of_the_local_estimator(client):
    X, y = make_rows()
    dX, labels = da.from_array(X, chunks=(150, 3)), (y > 0).astype(int)
    clf = LinearClassifier(client=client).fit(dX, da.from_array(labels, chunks=150))
    local = clf.to_local()
    assert type(local) is lrcore.LinearClassifier
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        got, expected = getattr(clf, method)(dX), getattr(local, method)(X)
        assert isinstance(got, da.Array)
        assert got.shape == expected.shape
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got.compute(), expected)
        np.testing.assert_array_equal(getattr(clf, method)(X), expected)
    assert clf.score(dX, labels) == local.score(X, labels) > 0.9
    weight = np.arange(N_ROWS) * 1.0
    got = clf.score(dX, labels, da.from_array(weight, chunks=150))
    assert got == pytest.approx(local.score(X, labels, weight))
    again = pickle.loads(pickle.dumps(clf))
    assert again.client is None
    np.testing.assert_array_equal(again.predict(X), local.predict(X))


def test_regressors_of_several_targets(client):
    X, y = make_rows()
    Y = np.stack([y, 2 - y], axis=1)
    dX, dY = da.from_array(X, chunks=(150, 5)), da.from_array(Y, chunks=(150, 1))
    reg = LinearRegressor(client=client).fit(dX, dY)
    local = lrcore.LinearRegressor().fit(X, Y)
    np.testing.assert_allclose(reg.coef_, local.coef_, rtol=1e-3, atol=1e-6)
    assert reg.predict(dX).compute().shape == (N_ROWS, 2)
    assert reg.score(dX, dY) == pytest.approx(reg.to_local().score(X, Y), rel=1e-12)
    assert reg.score(X, Y) == reg.to_local().score(X, Y)
    with pytest.raises(ValueError, match="offset must be None beside a dask collection"):
        reg.predict(dX, offset=y)


def test_sparse_blocks(client):
    X, y = make_rows()
    rows = sparse.csr_matrix(np.where(X < 0, 0.0, X))
    blocks = [dask.delayed(rows[i : i + 100]) for i in range(0, N_ROWS, 100)]
    dX = da.concatenate([
        da.from_delayed(block, (100, 5), meta=sparse.csr_matrix((0, 5))) for block in blocks
    ])  # fmt: skip
    labels = (y > 0).astype(int)
    clf = LinearClassifier(client=client, alpha=1e-3).fit(dX, labels)
    local = lrcore.LinearClassifier(alpha=1e-3, tol=1e-8).fit(rows, labels)
    np.testing.assert_allclose(clf.coef_, local.coef_, rtol=0.02, atol=0.02)
    np.testing.assert_array_equal(clf.predict(dX).compute(), clf.predict(rows))


def test_frames_of_numbers_keep_their_names(client):
    X, y = make_rows()
    frame = pd.DataFrame(X, columns=list("abcde"))
    ddf = dd.from_pandas(frame.assign(y=y > 0), npartitions=3)
    clf = LinearClassifier(client=client).fit(ddf[list("abcde")], ddf["y"])
    assert clf.feature_names_in_.tolist() == list("abcde")
    np.testing.assert_array_equal(clf.predict(ddf[list("abcde")]).compute(), clf.predict(frame))
    assert clf.score(ddf[list("abcde")], ddf["y"]) > 0.9


def test_tables_are_hashed_on_the_workers(client):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"site": rng.choice(list("abcd"), 400), "price": rng.gamma(2, 3, 400)})
    frame["click"] = (frame["site"] == "b") ^ (rng.random(400) < 0.1)
    ddf = dd.from_pandas(frame, npartitions=4)
    hasher = lrcore.TableHasher(n_features=2**12)
    clf = LinearClassifier(client=client, features=hasher, alpha=1e-3)
    clf.fit(ddf[["site", "price"]], ddf["click"])
    assert clf.n_features_in_ == 2**12
    X = lrcore.TableHasher(n_features=2**12).fit_transform(frame[["site", "price"]])
    local = lrcore.LinearClassifier(alpha=1e-3, tol=1e-4).fit(X, frame["click"])
    np.testing.assert_allclose(clf.coef_, local.coef_, atol=0.05)
    got = clf.predict(ddf[["site", "price"]]).compute()
    np.testing.assert_array_equal(got, clf.predict(frame[["site", "price"]]))
    assert (got == frame["click"]).mean() > 0.85


def test_bags_of_texts(client):
    texts = ["good fine film", "bad poor film", "fine good", "poor bad bad"] * 20
    y = [1, 0, 1, 0] * 20
    vectorizer = lrcore.HashingVectorizer(n_features=2**10)
    clf = LinearClassifier(client=client, features=vectorizer, alpha=1e-2)
    bag = db.from_sequence(texts, npartitions=3)
    clf.fit(bag, db.from_sequence(y, npartitions=3))
    assert clf.predict(bag).compute() == y
    assert clf.predict(["good", "bad"]).tolist() == [1, 0]


def test_futures_and_files_are_partitions(client, tmp_path):
    X, y = make_rows()
    labels = (y > 0).astype(int)
    parts = cut([150, 300], X.astype(np.float32), labels)
    expected, _ = fit_parts(lrcore.LinearClassifier(alpha=1e-3), parts)
    clf = LinearClassifier(client=client, alpha=1e-3)
    for given in (
        client.map(lambda k: parts[k], range(3)),
        [dask.delayed(lambda k: parts[k])(k) for k in range(3)],
        parts,
    ):
        clf.fit(given)
        np.testing.assert_array_equal(clf.coef_, expected.model.weights[0])
    for k, (rows, of_rows) in enumerate(parts):
        lrcore.io.write_svmlight(tmp_path / f"{k}.svm", rows, of_rows)
    dataset = lrcore.io.scan_svmlight(tmp_path / "*.svm", n_features=5)
    assert len(dataset.parts()) == 3
    clf.fit(dataset)
    np.testing.assert_allclose(clf.coef_, expected.model.weights[0], rtol=1e-5)


def test_rows_stay_on_the_workers_that_were_named(client):
    X, y = make_rows()
    labels = (y > 0).astype(int)
    parts = cut([150, 300], X, labels)
    first, second = list(client.nthreads())
    named = [first, second, second]
    clf = LinearClassifier(client=client, alpha=1e-3, workers=named)
    seen = []

    class Watching(dask_rounds.DaskRounds):
        def total(self, function, *handles, **options):
            found = super().total(function, *handles, **options)
            has = self.client.who_has(handles[-1])
            seen.append([has[handle.key] for handle in handles[-1]])
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrcore.distributed.dask.DaskRounds", Watching)
        clf.fit(client.map(lambda k: parts[k], range(3)))
    assert len(seen) > 2
    assert all(places == [[worker] for worker in named] for places in seen)
    local = lrcore.LinearClassifier(alpha=1e-3, tol=1e-6).fit(X, labels)
    np.testing.assert_allclose(clf.coef_, local.coef_, rtol=0.02, atol=0.02)
    with pytest.raises(ValueError, match="they stay where they are: give a number"):
        clf.set_params(alpha="auto").fit(client.map(lambda k: parts[k], range(3)))


def test_streams_have_the_bits_of_one_machine(client):
    X, y = make_rows()
    labels = (y > 0).astype(int)
    dX, dy = da.from_array(X, chunks=(170, 5)), da.from_array(labels, chunks=100)
    local = lrcore.LinearClassifier().partial_fit(X, labels, classes=[0, 1])
    clf = LinearClassifier(client=client)
    clf.partial_fit(dX[:340], dy[:340], classes=[0, 1]).partial_fit(dX[340:], dy[340:])
    np.testing.assert_array_equal(clf.coef_, local.coef_)
    one_pass = LinearClassifier(client=client, max_iter=1).fit(dX, dy)
    np.testing.assert_array_equal(one_pass.coef_, local.coef_)
    assert one_pass.solver_ == "stochastic"
    two = LinearClassifier(client=client, optimizer="sgd", max_iter=2).fit(dX, dy)
    assert two.n_iter_ >= 1
    reg = LinearRegressor(client=client, max_iter=1).fit(dX, da.from_array(y, chunks=600))
    np.testing.assert_array_equal(reg.coef_, lrcore.LinearRegressor().partial_fit(X, y).coef_)


def test_parameters_are_those_of_one_machine_and_three_more():
    clf = LinearClassifier("hinge", alpha=0.1, workers=["a"])
    local = set(lrcore.LinearClassifier().get_params())
    assert set(clf.get_params()) == local | {"client", "features", "workers"}
    assert repr(clf) == "LinearClassifier(alpha=0.1, loss='hinge', workers=['a'])"
    again = clone(clf).set_params(alpha=0.2)
    assert (again.alpha, again.loss, again.workers) == (0.2, "hinge", ["a"])
    with pytest.raises(TypeError, match="unexpected keyword argument 'alhpa'"):
        LinearRegressor(alhpa=1)


def test_what_cannot_be_is_refused_and_the_estimator_stays_as_it_was(client):
    X, y = make_rows()
    dX, labels = da.from_array(X, chunks=(150, 5)), (y > 0).astype(int)
    clf = LinearClassifier(client=client).fit(dX, labels)
    before = dict(clf.__dict__)
    unknown = dX[dX[:, 0] > 0]

    def refused(error, match, *args, **parameters):
        model = clone(clf).set_params(**{"client": client, **parameters})
        with pytest.raises(error, match=match):
            model.fit(*args)
        with pytest.raises(error, match=match):
            clf.set_params(**parameters).fit(*args)
        clf.set_params(**{name: getattr(clone(LinearClassifier()), name) for name in parameters})
        clf.client = client
        assert clf.__dict__ == before

    refused(TypeError, "X must be a dask array, DataFrame or bag.*got an array", X, labels)
    refused(ValueError, "y must have one entry for each of the 600 rows", dX, labels[:-1])
    refused(ValueError, "compute_chunk_sizes", unknown, labels[X[:, 0] > 0])
    short = da.from_array(labels, chunks=300)
    refused(ValueError, "y has 2 partitions, and X has 4", unknown, short)
    refused(ValueError, "requires y to be passed", dX)
    refused(ValueError, "y must be None beside a list of partitions", [(X, labels)], labels)
    refused(ValueError, "workers must name one worker for each of the 4", dX, labels, workers=["a"])
    refused(ValueError, "early_stopping=True is for fits on one machine", dX, labels,
            early_stopping=True)  # fmt: skip
    refused(ValueError, "alpha must be .*got -1", dX, labels, alpha=-1)
    refused(BadPartitionError, r"partition \d must be", client.map(lambda k: "rows", range(2)))
    nan = da.where(dX > 20, np.nan, dX)
    refused(BadPartitionError, r"partition \d: X has NaN in row", nan, labels)
    refused(TypeError, "client must be a dask.distributed.Client, got 'tcp", dX, labels,
            client="tcp://there:8786")  # fmt: skip


def test_a_client_that_went_away():
    X, y = make_rows()
    dX = da.from_array(X, chunks=(150, 5))
    options = {"processes": False, "dashboard_address": ":0", "n_workers": 0}
    cluster = LocalCluster(**options)
    gone = Client(cluster, set_as_default=False)
    with pytest.raises(RuntimeError, match="the cluster has no workers"):
        LinearRegressor(client=gone).fit(dX, y)
    gone.close()
    cluster.close()
    with pytest.raises(RuntimeError, match="connection to the scheduler is closed"):
        LinearRegressor(client=gone).fit(dX, y)


def test_without_a_client(monkeypatch):
    from lrcore.distributed import dask as module

    def none():
        raise ValueError("No clients found")

    monkeypatch.setattr(module, "default_client", none)
    with pytest.raises(ValueError, match=r"there is no Dask client: give client="):
        LinearRegressor().fit(da.zeros((10, 2)), np.zeros(10))


def test_one_machine_names_these_estimators():
    with pytest.raises(TypeError, match=r"lrcore\.distributed\.dask has the estimators"):
        lrcore.LinearClassifier().fit(da.zeros((10, 2)), np.zeros(10))


def test_a_lost_worker_changes_no_bit():
    """Processes, one of which is killed while the fit runs: what it had is computed again."""
    X, y = make_rows()
    labels = (y > 0).astype(int)
    parts = cut([150, 300, 450], X, labels)
    expected, _ = fit_parts(lrcore.LinearClassifier("hinge", alpha=1e-4, scale=None), parts)
    options = {"processes": True, "dashboard_address": ":0", "n_workers": 2}
    with (
        LocalCluster(threads_per_worker=1, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        clf = LinearClassifier("hinge", alpha=1e-4, scale=None, client=client)
        rounds, killed = [], []
        begun = threading.Event()

        def kill():
            begun.wait(60)
            pid = next(iter(client.run(os.getpid).values()))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

        total = dask_rounds.DaskRounds.total

        def counted(self, *args, **keywords):
            rounds.append(1)
            if len(rounds) == 6:
                begun.set()
            return total(self, *args, **keywords)

        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dask_rounds.DaskRounds, "total", counted)
            clf.fit([dask.delayed(lambda part: part)(part) for part in parts])
        thread.join()
    assert killed
    assert len(rounds) > 12
    np.testing.assert_array_equal(clf.coef_, expected.model.weights[0])
    np.testing.assert_array_equal(clf.history_["gap"], expected.history["gap"])


def test_what_all_are_sent_is_worked_out_again_where_it_is_lost(client, monkeypatch):
    """It is the result of a task: what is scattered is lost with the workers that have it, and
    Dask copies it without end to one that is lost meanwhile."""
    monkeypatch.setattr(Client, "scatter", None)
    few, many = np.arange(10.0), np.arange(100_000.0)
    assert dask_rounds.given(client, few) is few
    large = np.arange(2_000_000.0)  # of which Dask would warn
    np.testing.assert_array_equal(dask_rounds.given(client, large).result(), large)
    rounds = dask_rounds.DaskRounds(client)
    kept = rounds.keep(np.multiply, [2.0, 3.0], shared=(many,))
    total = rounds.total(np.add, kept, shared=(many,), merge=np.add)
    np.testing.assert_array_equal(total, 7 * many)


def test_a_round_without_workers_ends(client, monkeypatch):
    monkeypatch.setattr(dask_rounds, "LOOK", 0.05)
    rounds = dask_rounds.DaskRounds(client)
    # Patience is for workers that are lost, not for work that takes long.
    monkeypatch.setattr(dask_rounds, "PATIENCE", 0.01)
    assert rounds.each(time.sleep, [0.3]) == [None]
    rounds = dask_rounds.DaskRounds(client, ["tcp://127.0.0.1:1"])
    kept = rounds.keep(abs, [1])
    with pytest.raises(dask_rounds.ClusterError, match="seconds there was no worker"):
        rounds.each(abs, kept)
