"""The heaviest features from the command line, with names where a table is given."""

import io as python_io
import json
from pathlib import Path

import numpy as np
import pytest

import lrcore
from lrcore.cli.main import main
from lrcore.io import csv_files

RNG = np.random.default_rng(2)


def saved(model, path, **extra):
    lrcore.save(model, path, extra=extra)
    return str(path)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Shops sell more, mail less; app 7 and a word as well."""
    n = 3000
    site, app = RNG.choice(["news", "mail", "shop"], n), RNG.integers(0, 50, n)
    text = RNG.choice(["great deal", "old stuff", "plain"], n)
    z = 2.0 * (site == "shop") - 2.0 * (site == "mail") + 1.5 * (text == "great deal") - 0.5
    click = (RNG.random(n) < 1 / (1 + np.exp(-z))).astype(int)
    rows = [f"{c},{s},{a},{t}" for c, s, a, t in zip(click, site, app, text)]
    path = tmp_path_factory.mktemp("features") / "clicks.csv"
    path.write_text("\n".join(["click,site,app,title", *rows]) + "\n")
    return path


def fitted(table, capsys, *options):
    pytest.importorskip("pyarrow")
    path = str(table.with_suffix(".lrcore"))
    words = ["fit", str(table), "--label", "click", "--categorical", "site,app", "-o", path]
    assert main([*words, *options]) == 0
    capsys.readouterr()
    return path


def test_numbers_without_data(tmp_path, output_of):
    X, y = RNG.normal(size=(200, 5)), RNG.normal(size=200)
    model = lrcore.LinearRegressor().fit(X, y)
    path = saved(model, tmp_path / "m.lrcore", zero_based=False)
    heaviest = np.argsort(-np.abs(model.coef_))[:3]
    found = json.loads(output_of("features", path, "--top", "3", "--json"))["features"]
    # Data files of this model count from 1.
    assert [each["feature"] for each in found] == (heaviest + 1).tolist()
    assert [each["weight"] for each in found] == model.coef_[heaviest].tolist()
    text = output_of("features", path, "--top", "3").splitlines()
    assert [line.split()[1] for line in text] == [str(j + 1) for j in heaviest]


def test_names_of_columns(tmp_path, output_of):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(RNG.normal(size=(200, 2)), columns=["beds", "price"])
    model = lrcore.LinearRegressor().fit(X, X["price"] * 3 - X["beds"])
    out = output_of("features", saved(model, tmp_path / "m.lrcore"))
    assert [line.split()[1] for line in out.splitlines()] == ["price", "beds"]


def test_a_section_for_each_class(tmp_path, output_of, error_of):
    X, y = RNG.normal(size=(300, 4)), RNG.choice(["a", "b", "c"], 300)
    model = lrcore.LinearClassifier(random_state=0).fit(X, y)
    path = saved(model, tmp_path / "m.lrcore")
    out = output_of("features", path, "--top", "1").splitlines()
    assert [line for line in out if line.startswith("class")] == ["class a", "class b", "class c"]
    found = json.loads(output_of("features", path, "--class", "b", "--json"))["features"]
    assert {each["class"] for each in found} == {"b"}
    assert [model.coef_[1, each["feature"]] for each in found] == [e["weight"] for e in found]
    assert "no class 'd', but a, b, c" in error_of("features", path, "--class", "d")


def test_the_first_of_two_classes_has_the_opposite_weights(model, output_of):
    plain = json.loads(output_of("features", model, "--json"))["features"]
    of_first = json.loads(output_of("features", model, "--json", "--class", "0"))["features"]
    assert [each["class"] for each in of_first] == [0.0] * len(plain)
    assert [-each["weight"] for each in of_first] == [each["weight"] for each in plain]


def test_names_of_hashed_values(table, output_of, capsys):
    pandas = pytest.importorskip("pandas")
    path = fitted(table, capsys, "--text", "title", "--bits", "12")
    found = json.loads(output_of("features", path, str(table), "--top", "12", "--json"))["features"]
    names = {name for each in found for name in each["names"]}
    assert names >= {"site=shop", "site=mail", "title:great", "title:deal"}
    weights = {each["names"][0]: each["weight"] for each in found}
    assert weights["site=shop"] > 0 > weights["site=mail"]
    # A row of that category has a value in that very column.
    shop = next(each["feature"] for each in found if each["names"] == ["site=shop"])
    hasher = lrcore.TableHasher(["site"], n_features=2**12)
    row = hasher.fit_transform(pandas.DataFrame({"site": ["shop"]}))
    assert row.indices.tolist() == [shop]


def test_values_that_share_a_feature_are_all_named(table, output_of, capsys):
    path = fitted(table, capsys, "--bits", "2")
    found = json.loads(output_of("features", path, str(table), "--json"))["features"]
    assert sum(len(each["names"]) for each in found) == 53
    text = output_of("features", path, str(table)).splitlines()
    assert all(line.endswith(f"| {len(e['names']) - 3} more") for line, e in zip(text[1:], found))


def test_only_the_first_rows_are_looked_at(table, output_of, capsys, monkeypatch):
    path = fitted(table, capsys, "--bits", "12")
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 1 << 10)  # of many batches
    first = table.read_text().splitlines()[1].split(",")
    words = ["features", path, str(table), "--top", "60", "--json", "--rows", "1"]
    found = json.loads(output_of(*words))["features"]
    names = [name for each in found for name in each["names"]]
    assert sorted(names) == sorted([f"site={first[1]}", f"app={first[2]}"])
    assert "(not in these rows)" in output_of(*[word for word in words if word != "--json"])


def test_words_of_a_vectorizer(table, tmp_path, output_of):
    pytest.importorskip("pyarrow")
    texts = lrcore.HashingVectorizer(n_features=2**12)
    dataset = lrcore.io.scan_csv(table, label="click", features=texts, columns=["title"])
    model = lrcore.LinearClassifier(random_state=0).fit(dataset)
    out = output_of("features", saved(model, tmp_path / "m"), str(table), "--top", "5")
    names = {line.split()[2] for line in out.splitlines()[1:]}
    assert names == {"great", "deal", "old", "stuff", "plain"}


def test_faults(table, model, data, error_of):
    assert "was not fitted to a table" in error_of("features", model, str(table))
    assert "and this is svmlight" in error_of("features", model, data)
    text = data.replace("train.svm", "rows.vw")
    Path(text).write_text("1 | a\n1 | a:x\n")
    assert "which has 2**BITS features: it has 30" in error_of("features", model, text)
    lrcore.save(lrcore.LinearRegressor().fit(np.eye(4), np.arange(4)), text + ".lrcore")
    message = "rows.vw:2: the value must be a finite number, got 'a:x'"
    assert message in error_of("features", text + ".lrcore", text)
    assert "not a model file" in error_of("features", data)


def test_names_of_vw_text(tmp_path, output_of, capsys):
    lines = [
        f"{1 if k % 2 else -1} 't{k}|words w{k % 2}:2 same |n :{k % 3} 7 | x" for k in range(200)
    ]
    path, model = tmp_path / "rows.vw", str(tmp_path / "m")
    path.write_text("\n".join([*lines, "", "1 | late"]))
    assert main(["fit", str(path), "-o", model, "--lr", "0.5"]) == 0
    capsys.readouterr()
    words = ["features", model, str(path), "--json", "--top", "20"]
    found = json.loads(output_of(*words))["features"]
    named = {name: each for each in found for name in each["names"]}
    assert {*named} == {"words^w0", "words^w1", "words^same", "n^[0]", "n^7", "x", "late"}
    assert named["words^w1"]["weight"] > 0 > named["words^w0"]["weight"]
    # Each name alone is hashed to the very column.
    some = {"words^w1": "|words w1", "n^[0]": "|n :1", "n^7": "|n 7", "x": "| x"}
    for name, text in some.items():
        rows = lrcore.io.read_vw(python_io.BytesIO(f"1 {text}\n".encode())).X
        assert rows.indices.tolist() == [named[name]["feature"]]
    few = json.loads(output_of(*words, "--rows", "200"))["features"]
    assert [each["feature"] for each in few if not each["names"]] == [named["late"]["feature"]]
