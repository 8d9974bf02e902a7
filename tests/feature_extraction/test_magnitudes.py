"""Numbers that are divided by the root mean square of the first ones of their column."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import lrcore
from lrcore import TableHasher
from lrcore.cli.main import main
from lrcore.feature_extraction import featurizer, magnitudes
from lrcore.io import DataError, csv_files, scan_arrow, scan_csv, scan_parquet

pa = pytest.importorskip("pyarrow")

RNG = np.random.default_rng(4)
N_ROWS = 4000
UNITS = {"rate": 1e-9, "size": 1.0, "price": 1e9}
NUMBERS = list(UNITS)


def frame():
    """Skewed numbers in different units, a tenth of them missing and some 0, beside categories."""
    numbers = np.exp(1.5 * RNG.normal(size=(N_ROWS, 3)))
    site = RNG.integers(0, 20, N_ROWS)
    raw = np.log(numbers) @ [1.0, -1.0, 1.5] + RNG.normal(size=20)[site]
    found = pd.DataFrame(numbers * list(UNITS.values()), columns=NUMBERS)
    found[RNG.random(found.shape) < 0.1] = np.nan
    found[RNG.random(found.shape) < 0.05] = 0.0
    found["site"] = [f"s{k}" for k in site]
    found["late"] = (RNG.random(N_ROWS) < 1 / (1 + np.exp(-raw))).astype(int)
    return found


TABLE = frame()


def scale_of(values):
    """By NumPy, of a column."""
    values = np.asarray(values, float)[: magnitudes.FIRST_ROWS]
    values = values[(values != 0) & np.isfinite(values)]
    return np.sqrt(np.mean(values**2))


def hasher(**options):
    options = {"categorical": ["site"], "numeric": NUMBERS, "n_features": 2**14, **options}
    return TableHasher(**options)


def unscaled(table, scale):
    """The table with its numbers divided beforehand."""
    return table.assign(**{name: table[name] / s for name, s in scale.items()})


def assert_same(A, B):
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(A, name), getattr(B, name), strict=True)


@pytest.mark.parametrize("first_rows", [50, 1 << 14])
@pytest.mark.parametrize("standardize", [True, ["price", "rate"]])
def test_numbers_are_divided_by_the_root_mean_square_of_the_first(
    monkeypatch, standardize, first_rows
):
    monkeypatch.setattr(magnitudes, "FIRST_ROWS", first_rows)
    made = hasher(standardize=standardize).fit(TABLE)
    names = NUMBERS if standardize is True else standardize
    assert list(made.scale_) == names
    for name in names:
        assert made.scale_[name] == pytest.approx(scale_of(TABLE[name]), rel=1e-12)
    plain = hasher().fit(TABLE)
    assert plain.scale_ == {}
    assert_same(made.transform(TABLE), plain.transform(unscaled(TABLE, made.scale_)))
    arrow = pa.Table.from_pandas(TABLE)
    assert hasher(standardize=standardize).fit(arrow).scale_ == made.scale_
    assert_same(made.transform(arrow), made.transform(TABLE))


def test_integers_objects_and_columns_of_nothing():
    table = pd.DataFrame(
        {"a": [3, 0, 4], "b": pd.Series([3, None, 4], dtype=object), "c": [np.nan] * 3,
         "d": [1e300, -1e300, 0]}
    )  # fmt: skip
    made = TableHasher(numeric=list("abcd"), standardize=True).fit(table)
    assert made.scale_ == pytest.approx({"a": 12.5**0.5, "b": 12.5**0.5, "c": 1.0, "d": 1e300})
    plain = TableHasher(numeric=list("abcd")).fit(table)
    divided = unscaled(table.astype(float), made.scale_)
    assert_same(made.transform(table), plain.transform(divided))


def test_plain_values_pickles_and_clones():
    made = hasher(standardize=True).fit(TABLE)
    values = json.loads(json.dumps(made.to_dict()))
    for again in (TableHasher.from_dict(values), pickle.loads(pickle.dumps(made))):
        assert again.to_dict() == made.to_dict()
        assert_same(again.transform(TABLE), made.transform(TABLE))
    assert clone(made).get_params()["standardize"] is True
    assert "scale" not in hasher().fit(TABLE).to_dict()
    for scale, message in [
        ({"site": 1.0}, "'site', which is no numeric column"),
        ({"price": 0.0}, "above 0, got 0.0"),
        ({"price": float("inf")}, "above 0, got inf"),
        ({"price": "1"}, "above 0, got '1'"),
    ]:
        with pytest.raises(ValueError, match=message):
            TableHasher.from_dict({**values, "scale": scale})
    with pytest.raises(TypeError, match="scale must be a dict"):
        TableHasher.from_dict({**values, "scale": [1.0]})


def test_what_cannot_be_standardised():
    with pytest.raises(ValueError, match="'site', which is no numeric column; those are"):
        hasher(standardize=["site"]).fit(TABLE)
    with pytest.raises(TypeError, match="standardize must be a list of names"):
        hasher(standardize="price").fit(TABLE)
    with pytest.raises(ValueError, match="schema of a table: give fit a table"):
        hasher(standardize=True).fit(pa.Table.from_pandas(TABLE).schema)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The table in several files and batches of each format."""
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 1 << 14)
    for module in (magnitudes, featurizer):
        monkeypatch.setattr(module, "FIRST_ROWS", 1500)
    parts = [TABLE[:1000], TABLE[1000:1200], TABLE[1200:]]
    for k, part in enumerate(parts):
        part.to_csv(tmp_path / f"{k}.csv", index=False)
        part.to_parquet(tmp_path / f"{k}.parquet", index=False, row_group_size=300)
    (tmp_path / "whole").mkdir()
    TABLE.to_csv(tmp_path / "whole" / "t.csv", index=False)
    return tmp_path


def test_rows_do_not_depend_on_batches_and_formats(files):
    made = hasher(standardize=True)
    expected = hasher(standardize=True).fit(TABLE)
    assert expected.scale_["price"] == pytest.approx(scale_of(TABLE["price"][:1500]), rel=1e-12)
    for dataset in (
        scan_csv(files / "*.csv", label="late", features=made),
        scan_parquet(files / "*.parquet", label="late", features=made),
        scan_arrow(pa.Table.from_pandas(TABLE), label="late", features=made),
    ):
        assert_same(dataset.read().X, expected.transform(TABLE))
        assert dataset.features.scale == expected.scale_


def test_skewed_numbers_in_any_units_are_learnt_in_one_pass(files):
    def loss(table, **options):
        dataset = scan_arrow(pa.Table.from_pandas(table), label="late", features=hasher(**options))
        model = lrcore.LinearClassifier(random_state=0).fit(dataset)
        return model.history_["loss"][0]

    own_units = TABLE.assign(**{name: TABLE[name] / unit for name, unit in UNITS.items()})
    standardised = loss(TABLE, standardize=True)
    assert standardised == pytest.approx(loss(own_units, standardize=True), rel=1e-3)
    assert standardised < 1.02 * loss(own_units)
    assert standardised < loss(TABLE) - 0.01


def test_a_model_keeps_the_scale(files, tmp_path):
    dataset = scan_csv(files / "*.csv", label="late", features=hasher(standardize=True))
    model = lrcore.LinearClassifier(random_state=0).fit(dataset.cache(tmp_path / "rows"))
    again = lrcore.LinearClassifier(random_state=0).fit(
        scan_csv(files / "*.csv", label="late", features=hasher(standardize=True)).cache(
            tmp_path / "rows"
        )
    )
    lrcore.save(model, tmp_path / "m")
    raw = TABLE[[*NUMBERS, "site"]]
    for other in (again, lrcore.load(tmp_path / "m"), pickle.loads(pickle.dumps(model))):
        assert other.features_.scale == model.features_.scale
        np.testing.assert_array_equal(other.decision_function(raw), model.decision_function(raw))
    # Other rows have another scale, and the model goes on with its own.
    larger = TABLE.assign(price=TABLE["price"] * 50)
    before = model.coef_.copy()
    with pytest.raises(ValueError, match="other scales than those that the model has learnt with"):
        model.partial_fit(scan_arrow(pa.Table.from_pandas(larger), label="late",
                                     features=hasher(standardize=True)))  # fmt: skip
    np.testing.assert_array_equal(model.coef_, before)
    scale = dict(model.features_.scale)
    model.partial_fit(scan_arrow(pa.Table.from_pandas(larger), label="late",
                                 features=model.features_))  # fmt: skip
    assert model.features_.scale == scale


def test_from_the_command_line(files, capsys):
    path, data = str(files / "m.lrcore"), str(files / "whole" / "t.csv")
    words = ["fit", data, "--label", "late", "-o", path, "--categorical", "site"]
    assert main([*words, "--numeric", ",".join(NUMBERS), "--standardize", "--bits", "14"]) == 0
    expected = hasher(standardize=True).fit(TABLE)
    assert lrcore.load(path).features_.scale == expected.scale_
    more = ["fit", data, "--resume", path, "-o", str(files / "m2")]
    assert main(more) == 0
    assert lrcore.load(files / "m2").features_.scale == expected.scale_
    capsys.readouterr()
    (files / "a.svm").write_text("1 1:1\n0 2:1\n")
    assert main(["fit", str(files / "a.svm"), "-o", path, "--standardize"]) == 1
    assert "--standardize has no effect on svmlight" in capsys.readouterr().err


def test_a_number_that_is_infinite_is_still_an_error(files):
    (files / "bad.csv").write_text("late,price\n1,1\n0,inf\n1,2\n")
    bad = lrcore.TableHasher(numeric=["price"], standardize=True)
    with pytest.raises(DataError, match=r"bad.csv.*'price' has a number that is not finite"):
        scan_csv(files / "bad.csv", label="late", features=bad).read()
