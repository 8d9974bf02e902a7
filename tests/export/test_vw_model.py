"""Vowpal Wabbit's readable models: its own predictions from its weights, and what is refused."""

import io

import numpy as np
import pytest

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.export.vw_model import CONSTANT
from lrcore.io import DataError

#: What `vw -b 18 --loss_function logistic --readable_model` 9.11.9 wrote after 300 lines, and what
#: it predicted of two others, without and with a feature that it had not seen.
READABLE = b"""\
Version 9.11.9
Id\x20
Min label:-50
Max label:50
bits:18
lda:0
0 ngram:
0 skip:
options: --link logistic
Checksum: 396771088
:1
initial_t 0
norm normalizer 1500.96
t 300
sum_loss 113.749
min_label -50
sd::oec.weighted_labeled_examples 0
current_pass 0
l1_state 0
l2_state 1
7941:-0.0753164 21.2496 1
80960:-0.974351 17.2064 1
93578:2.61242 4.46945 1
116060:-0.158008 33.8441 1
121229:-0.210051 25.3566 1
145652:-1.23872 12.1682 1
156383:1.06063 16.841 0.998
197189:-0.102738 8.48746 1
253790:-0.063203 211.526 2.5

"""
LINES = b"1 |n price:0.5 x |t u v 17:2.5\n-1 |n price:0.25 y q |t w 17:2.5\n"

RNG = np.random.default_rng(0)


def vw_lines(n=200):
    """Text of Vowpal Wabbit, with labels."""
    for _ in range(n):
        a, b, c = RNG.random(), RNG.choice(list("xyz")), RNG.choice(["u v", "v w", "w"])
        yield f"{1 if a + (b == 'x') > 0.8 else -1} |n price:{a:.3f} {b} |t {c} 17:2.5"


def test_weights_constant_and_columns_are_those_of_the_file(tmp_path):
    (tmp_path / "model.txt").write_bytes(READABLE)
    clf = LinearClassifier.from_vw(tmp_path / "model.txt")
    assert (clf.solver_, clf.n_features_in_, clf.loss) == ("imported", 1 << 18, None)
    assert clf.classes_.tolist() == [-1, 1]
    assert clf.intercept_ == np.float32(-0.158008)
    assert np.count_nonzero(clf.coef_) == 9
    data = lrcore.io.read_vw(io.BytesIO(LINES))
    # price, x, u, v, 17 and the constant; price, w and 17, and q, which the model has not
    by_hand = [
        1.06063 * 0.5 + 2.61242 - 0.102738 - 0.0753164 - 0.063203 * 2.5 - 0.158008,
        1.06063 * 0.25 - 0.063203 * 2.5 - 0.158008,
    ]
    z = clf.decision_function(data.X)
    assert z[0] == pytest.approx(by_hand[0], rel=1e-6)
    others = {w: clf.coef_[0, w] for w in (80960, 121229, 145652)}
    assert any(
        z[1] == pytest.approx(by_hand[1] + a + b, rel=1e-5)
        for a in others.values()
        for b in others.values()
    )
    before = clf.coef_.copy()
    clf.set_params(lr=1e-9).partial_fit(data.X, data.y)
    assert 0 < np.abs(clf.coef_ - before).max() < 1e-6


@pytest.mark.parametrize(
    "options",
    [
        "--loss_function logistic -b 18",
        "--loss_function hinge -b 12 --noconstant --min_prediction -50 --max_prediction 50",
        "--loss_function logistic -b 6",  # hashes collide, with the constant too
        "--oaa 3 -b 10",
        "--oaa 5 -b 9 --loss_function logistic",
    ],
)
def test_predictions_of_vowpal_wabbit(options, tmp_path):
    vowpalwabbit = pytest.importorskip("vowpalwabbit")
    lines, k = list(vw_lines()), 3 if "--oaa" in options else 0
    if k:
        lines = [f"{1 + i % k}{line[line.index(' ') :]}" for i, line in enumerate(lines)]
    for flag in ("--readable_model", "--invert_hash"):
        path = tmp_path / flag.strip("-")
        vw = vowpalwabbit.Workspace(f"{options} {flag} {path} --quiet")
        for line in lines:
            vw.learn(line)
        expected = [vw.predict(line[line.index("|") :]) for line in lines]
        vw.finish()
        bits = int(options.partition("-b ")[2].split()[0])
        data = lrcore.io.read_vw(io.BytesIO("\n".join(lines).encode()), bits=bits)
        clf = LinearClassifier.from_vw(path, "hinge")
        if k:
            assert clf.predict(data.X).tolist() == expected
        else:
            found = clf.decision_function(data.X)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_model_of_ours_comes_back(tmp_path):
    data = lrcore.io.read_vw(io.BytesIO("\n".join(vw_lines()).encode()), bits=12)
    models = [
        LinearClassifier(alpha=0.01).fit(data.X, data.y),
        LinearClassifier("hinge", alpha=0.01, fit_intercept=False).fit(data.X, data.y),
        LinearRegressor("huber", alpha=0.01).fit(data.X, data.y),
    ]
    for model in models:
        text = model.to_vw(tmp_path / "model.txt")
        assert (tmp_path / "model.txt").read_text() == text
        back = type(model).from_vw(tmp_path / "model.txt", model.loss)
        assert np.array_equal(back.intercept_, model.intercept_)
        assert back.fit_intercept == model.fit_intercept
        assert np.array_equal(back.predict(data.X), model.predict(data.X))
        assert back.coef_.shape == model.coef_.shape


def test_classes_of_oaa_lie_side_by_side():
    lines = [b"Version 9.11.9", b"bits:4", b"options: --oaa 3", b":0"]
    lines += [b"%d:%d" % (k, k + 1) for k in range(16)]
    clf = LinearClassifier.from_vw(io.BytesIO(b"\n".join(lines)), "hinge")
    assert clf.classes_.tolist() == [1, 2, 3]
    assert clf.multi_class == "ovr"
    expected = [[(4 * j + c) % 16 + 1 for j in range(16)] for c in range(3)]
    assert clf.coef_.tolist() == expected
    assert clf.intercept_.tolist() == [(4 * CONSTANT + c) % 16 + 1 for c in range(3)]


def test_without_a_constant_its_column_is_a_feature():
    weights = f"{CONSTANT & 1023}:2"
    clf = LinearClassifier.from_vw(io.BytesIO(text(weights=weights).encode()))
    assert (clf.intercept_, clf.coef_.sum(), clf.fit_intercept) == (2, 2, True)
    options = {"options": " --noconstant", "weights": weights}
    clf = LinearClassifier.from_vw(io.BytesIO(text(**options).encode()))
    assert (clf.intercept_, clf.coef_.sum(), clf.fit_intercept) == (0, 2, False)


def text(bits="10", options="", weights="3:0.5", ngram="0 ngram:", version="Version 9.11.9"):
    return f"{version}\nId \nbits:{bits}\n{ngram}\n0 skip:\noptions:{options}\n:0\n{weights}\n"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "not a readable model of Vowpal Wabbit"),
        ("hello\n:0\n", "not a readable model"),
        (text(version="Versio"), "not a readable model"),
        (READABLE.decode().partition(":1\n")[0], "not a readable model"),
        (text(bits="32"), "bits must be from 1 to 31, got '32'"),
        (text(bits="0"), "bits must be from 1 to 31, got '0'"),
        (text(bits="²"), "bits must be from"),
        (text(bits="9" * 5000), "bits must be from"),
        (text(options=" --quadratic ab"), "--quadratic is not known to leave features"),
        (text(options=" --hash_seed"), "--hash_seed is not known"),
        (text(options=" --hash_seed 3"), "--hash strings and --hash_seed 0"),
        (text(options=" --hash=all"), "--hash strings and --hash_seed 0"),
        (text(options=" --oaa 1"), "--oaa must be from 2 to 65536, got '1'"),
        (text(options=" --oaa 99999999999"), "--oaa must be from 2"),
        (text(options=" --link 'logistic"), "options cannot be read"),
        (text(ngram="1 ngram:t2 "), r"no features of --ngramt2|make no features of --ngram"),
        (text(weights="1024:1"), "line 8: a column below 1024 and a finite weight"),
        (text(weights="99999999999999999999999:1"), "line 8: a column below 1024"),
        (text(weights="3:nan"), "line 8: .* got '3:nan'"),
        (text(weights="3:1e39"), "line 8: "),
        (text(weights="3:1\n4:one"), "line 9: .* got '4:one'"),
        (text(weights="3" * (1 << 21)), "a line of more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_such_model_is_refused(content, error, tmp_path):
    (tmp_path / "model").write_text(content)
    with pytest.raises(DataError, match=f"model.*: .*{error}|{error}"):
        LinearClassifier.from_vw(tmp_path / "model")


def test_what_cannot_be_written_or_taken_is_refused(tmp_path):
    X, y = np.eye(8), np.arange(8) % 2
    with pytest.raises(ValueError, match=r"2\*\*bits columns, such as read_vw makes, got 7"):
        LinearRegressor(alpha=0.1).fit(X[:, :7], y).to_vw()
    with pytest.raises(ValueError, match="models of one output, got 3"):
        LinearClassifier(alpha=0.1).fit(X, np.arange(8) % 3).to_vw(tmp_path / "model")
    with pytest.raises(ValueError, match=f"feature {CONSTANT % 8} has the column of"):
        LinearClassifier(alpha=0.1).fit(X, y).to_vw()
    with pytest.raises(ValueError, match=r"3 classes is for LinearClassifier\.from_vw"):
        LinearRegressor.from_vw(io.BytesIO(text(options=" --oaa 3").encode()))
    with pytest.raises(ValueError, match="loss must be one of"):
        LinearClassifier.from_vw(io.BytesIO(text().encode()), "squared")
    with pytest.raises(FileNotFoundError):
        LinearClassifier.from_vw(tmp_path / "model")
    assert not list(tmp_path.iterdir())
