import json
from itertools import combinations

import numpy as np
import pytest

from lrcore import LinearClassifier
from lrcore.cli import demo
from lrcore.rules import AdaGrad


def random_flights(n_rows):
    """Columns as those of the real flights; the carrier decides which of them are late."""
    rng = np.random.RandomState(0)
    columns = {name: rng.randint(5, size=n_rows).astype(str) for name in demo.COLUMNS}
    late = (columns["carrier"] == "1") ^ (rng.rand(n_rows) < 0.05)
    return columns, late, 3


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(demo, "read_flights", lambda n_rows: random_flights(n_rows))
    return demo.prepare_flights(1_000, lambda text: None)


def test_hashed_columns():
    columns = {"a": np.array(["x", "y", "x"]), "b": np.array(["x", "x", "z"])}
    X = demo.hash_columns(columns)
    assert X.shape == (3, demo.N_FEATURES)
    assert X.nnz == 9
    np.testing.assert_allclose(X.multiply(X).sum(axis=1), 1, rtol=1e-6)
    a = {row: set(X[row].indices) for row in range(3)}
    assert len(a[0] & a[1]) == len(a[0] & a[2]) == 1
    assert not a[1] & a[2]
    assert demo.hash_columns(columns, 4).shape == (3, 4)
    assert demo.hash_columns(columns, pairs=[]).nnz == 6


def test_hashes_are_spread_evenly():
    h = demo.mix(np.arange(1 << 14, dtype=np.uint64))
    assert len(np.unique(h)) == len(h)
    counts = np.bincount((h % np.uint64(16)).astype(int))
    assert np.abs(counts - 1024).max() < 5 * np.sqrt(1024)


def test_numpy_epoch_is_the_epoch_of_lrcore(data):
    w, b = demo.numpy_epoch(data.X_train, data.y_train, lr=0.5)
    model = LinearClassifier(
        alpha=0.0, max_iter=1, batch_size=demo.BATCH_SIZE, shuffle=False, optimizer=AdaGrad(lr=0.5)
    ).fit(data.X_train, data.y_train)
    np.testing.assert_allclose(model.coef_[0], w, atol=1e-5)
    assert model.intercept_[0] == pytest.approx(b, abs=1e-5)


def test_prints_tables_or_one_json_object(data, output_of):
    result = json.loads(output_of("demo", "--rows", "1000", "--json"))
    assert result["rows"] + result["held_out"] == 1_000
    assert len(result["loss_curve"]) == demo.EPOCHS
    assert result["lrcore"]["log_loss"] < 0.7 * result["base_rate"]["log_loss"]
    assert result["lrcore"]["log_loss"] == result["lrcore_1_thread"]["log_loss"]
    out = output_of("demo", "--rows", "1000")
    assert out.startswith("1,003 flights from New York in 2013; 3 never arrived")
    assert f"{result['lrcore']['auc']:.4f}" in out
    assert f"{result['mini_batch']['numpy_log_loss']:.5f}" in out
    for rows in (("  base", "  LinearClassifier", "  LinearSVC"), ("  lrcore, 1", "  lrcore, 2")):
        assert len({len(line) for line in out.splitlines() if line.startswith(rows)}) == 1


def test_baseline_predicts_the_share_of_late_flights(data):
    metrics = demo.baseline_metrics(data)
    p, late = data.y_train.mean(), data.y_test
    wanted = -np.where(late, np.log(p), np.log(1 - p)).mean()
    assert metrics["log_loss"] == pytest.approx(wanted)
    assert metrics["accuracy"] == max(late.mean(), 1 - late.mean())


def test_without_the_flights_it_says_how_to_get_them(monkeypatch, error_of):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    pytest.importorskip("pandas")
    assert "pip install 'lrcore[demo]'" in error_of("demo")


def test_all_pairs_of_columns_are_crossed(data):
    n_pairs = len(list(combinations(demo.COLUMNS, 2)))
    assert data.X_train[0].nnz == len(demo.COLUMNS) + n_pairs
