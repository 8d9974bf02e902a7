"""Classes and labels that arrive after the first call of partial_fit."""

import pickle
import re

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from strategies import equal_bits

import lrcore
from lrcore import LinearClassifier, load, save
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.growth import grown
from lrcore.linear_model.labels import Classes

rng = np.random.default_rng(0)
DENSE = rng.normal(size=(300, 7)) * (rng.random((300, 7)) < 0.6)
LABELS = np.array(list("bdca"))[np.argmax(DENSE @ rng.normal(size=(7, 4)), axis=1)]
FORMS = {"dense": DENSE, "sparse": sparse.csr_matrix(DENSE)}
#: The first rows have two classes, those up to 200 three.
TWO = np.flatnonzero(np.isin(LABELS, ["b", "d"]))[:90]
THREE = np.flatnonzero(np.isin(LABELS, ["b", "c", "d"]))[-90:]

RULES = {
    "sgd": lrcore.SGD(0.05),
    "nesterov": lrcore.SGD(0.02, momentum=0.7, nesterov=True),
    "adagrad": lrcore.AdaGrad(0.3, initial_accumulator=0.1),
    "rmsprop": lrcore.RMSProp(0.01, rho=0.95, centered=True, momentum=0.6),
    "rmsprop_decay": lrcore.RMSProp(0.01, rho=0.95),
    "adadelta": lrcore.AdaDelta(1.0, rho=0.9, eps=1e-4),
    "adam": lrcore.Adam(0.02),
    "amsgrad": lrcore.AMSGrad(0.02),
    "adamax": lrcore.Adamax(0.02),
    "dog": lrcore.DoG(),
    "lion": lrcore.Lion(0.01),
    "ftrl": lrcore.FTRL(0.3, l1=0.1, l2=0.2),
}

WAYS = [({}, "dense"), ({"batch_size": 16}, "sparse"), ({"average": True}, "sparse")]


def stream(rule="adagrad", multi_class="ovr", **keywords):
    penalty = None if rule in ("lion", "ftrl") else "l2"
    return LinearClassifier(
        optimizer=RULES[rule], multi_class=multi_class, penalty=penalty, alpha=1e-3,
        block_size=32, **keywords,
    )  # fmt: skip


@pytest.mark.parametrize("keywords, form", WAYS)
@pytest.mark.parametrize("rule", RULES)
def test_one_against_the_rest_goes_on_as_if_all_classes_had_been_named(rule, keywords, form):
    """Two classes are one output: the first against the rest is what mirrored targets lead to."""
    X = FORMS[form]
    grown = stream(rule, **keywords).partial_fit(X[TWO], LABELS[TWO], classes=["b", "d"])
    grown.partial_fit(X[THREE], LABELS[THREE], classes=["d", "c", "b"])
    assert grown.classes_.tolist() == ["b", "c", "d"]
    for k, name in ((0, "b"), (2, "d")):
        alone = stream(rule, **keywords)
        for rows in (TWO, THREE):
            alone.partial_fit(X[rows], LABELS[rows] == name, classes=[False, True])
        assert np.array_equal(grown.coef_[k], alone.coef_[0])
        assert grown.intercept_[k] == alone.intercept_[0]
    assert grown.coef_[1].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", ["adagrad", "adam", "dog", "rmsprop_decay"])
def test_known_classes_do_not_notice_a_new_one(rule, form):
    X = FORMS[form]
    model = stream(rule).partial_fit(X[THREE], LABELS[THREE], classes=list("bcd"))
    same = clone(model).partial_fit(X[THREE], LABELS[THREE], classes=list("bcd"))
    model.partial_fit(X[TWO], LABELS[TWO], classes=list("abcde"))
    same.partial_fit(X[TWO], LABELS[TWO])
    assert equal_bits(model.coef_[1:4], same.coef_)
    assert equal_bits(model.intercept_[1:4], same.intercept_)
    assert model.coef_[[0, 4]].any(axis=1).all()


def grown_alone(model, names):
    """The outputs of the model with these classes, before it learns from any row."""
    before, after = Classes(model.classes_), Classes(np.array(list(names)))
    softmax = model._loss == "log_loss" and model.multi_class != "ovr"
    objective = model._objective(as_design_matrix(DENSE), len(names) if softmax else 1)
    return grown(model._trained, before, after, objective, sparse=True)


def kept_of(state, updates, k):
    """What output k of a state keeps, by name."""
    names = ("weights", *updates.formula.state)
    named = {name: state.columns[updates.layout.part(i).start + k] for i, name in enumerate(names)}
    if state.average is not None:
        named["average"] = state.average.changes[:, k]
    return named


@pytest.mark.parametrize("keywords, form", WAYS)
@pytest.mark.parametrize("rule", RULES)
def test_classes_of_a_softmax_keep_weights_and_states_to_the_bit(rule, keywords, form):
    X = FORMS[form]
    model = stream(rule, "auto", **keywords)
    model.partial_fit(X[THREE], LABELS[THREE], classes=list("bcd"))
    old, new = model._trained, grown_alone(model, "abcde")
    assert (new.n_outputs, new.t) == (5, old.t)
    for k in range(3):
        kept = kept_of(old.states[0], old.updates, k)
        for name, values in kept_of(new.states[0], new.updates, k + 1).items():
            assert equal_bits(values, kept[name]), name
    for k in (0, 4):
        begun = kept_of(new.states[0], new.updates, k)
        fresh = ModelState.new(new.updates, as_design_matrix(X))
        for name, values in kept_of(fresh, new.updates, k).items():
            assert equal_bits(values, begun[name]), name
    if rule == "dog":
        assert equal_bits(new.states[0].dog.sums, old.states[0].dog.sums)


@pytest.mark.parametrize("keywords, form", WAYS)
@pytest.mark.parametrize("rule", RULES)
def test_two_classes_become_outputs_of_a_softmax_with_the_same_probabilities(rule, keywords, form):
    X = FORMS[form]
    model = stream(rule, "auto", **keywords)
    model.partial_fit(X[TWO], LABELS[TWO], classes=["b", "d"])
    old, new = model._trained, grown_alone(model, "bcd")
    kept = kept_of(old.states[0], old.updates, 0)
    for k, sign in ((0, -1.0), (2, 1.0)):
        for name, values in kept_of(new.states[0], new.updates, k).items():
            if name in ("weights", "average"):
                expected = sign * kept[name] / 2
            elif name == "linear":  # of FTRL, of which the weights are a function
                expected = (
                    sign
                    * np.sign(kept[name])
                    * np.minimum(abs(kept[name]), 0.1 + (abs(kept[name]) - 0.1) / 2)
                )
                np.testing.assert_allclose(values, expected, rtol=1e-12)
                continue
            else:
                expected = kept[name] if re.search("square|max", name) else sign * kept[name]
            assert np.array_equal(values, expected), name
    margin = old.raw_predictions(as_design_matrix(X), None)[:, 0]
    z = new.raw_predictions(as_design_matrix(X), None)
    np.testing.assert_allclose(z[:, 2] - z[:, 0], margin, rtol=1e-12, atol=1e-14)
    assert not z[:, 1].any()
    if rule == "dog":  # both outputs have gradients, and are half as far from 0
        squares, distance, distance2 = old.states[0].dog.sums
        np.testing.assert_allclose(
            new.states[0].dog.sums, [2 * squares, distance / np.sqrt(2), distance2 / 2], rtol=1e-14
        )
    model.partial_fit(X, LABELS, classes=list("abcd"))
    assert model.coef_.shape == (4, 7)
    assert np.isfinite(model.coef_).all()


def test_weights_of_ftrl_are_those_that_its_sums_give():
    """A step without a gradient leaves the weights where they are."""
    model = stream("ftrl", "auto").partial_fit(DENSE[TWO], LABELS[TWO], classes=["b", "d"])
    new = grown_alone(model, "bcd")
    state, updates = new.states[0], new.updates
    t = np.array([state.t])
    formula = updates.formula
    c = formula.row(updates.rule.coefficients(t)[0], np.float64)
    for k in range(3):
        kept = kept_of(state, updates, k)
        w, linear, squares = (kept[n].copy() for n in ("weights", "linear", "sum_of_squares"))
        formula.update(c, w, np.zeros(8), linear, squares)
        np.testing.assert_allclose(w, kept["weights"], rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("multi_class", ["auto", "ovr"])
@pytest.mark.parametrize("keywords", [{"lr": 0.3}, {}, {"scale": "max"}, {"batch_size": 16}])
def test_saved_models_grow_in_the_same_way(keywords, multi_class, form, tmp_path):
    X, path = FORMS[form], tmp_path / "model.lrcore"
    model = LinearClassifier(multi_class=multi_class, **keywords)
    model.partial_fit(X[TWO], LABELS[TWO], classes=["b", "d"])
    save(model, path)
    saved, pickled = load(path), pickle.loads(pickle.dumps(model))
    for each in (model, saved, pickled):
        each.partial_fit(X[THREE], LABELS[THREE], classes=list("bcd"))
    save(model, path)
    saved_later = load(path)
    for each in (model, saved, pickled, saved_later):
        each.partial_fit(X, LABELS, classes=list("abcd"))
        assert equal_bits(each.coef_, model.coef_)
    for _ in range(5):
        model.partial_fit(X, LABELS)
    assert model.score(X, LABELS) > 0.7


@pytest.mark.parametrize("multi_class", ["auto", "ovr"])
def test_a_stream_that_looks_for_its_rate_begins_again_with_all_classes(multi_class):
    """Until 2,048 rows what it has learnt follows from the rows alone, wherever classes came."""
    rows = np.concatenate([TWO, THREE, np.arange(300)])
    known = LinearClassifier(multi_class=multi_class)
    known.partial_fit(DENSE[rows], LABELS[rows], classes=list("abcd"))
    model = LinearClassifier(multi_class=multi_class)
    model.partial_fit(DENSE[TWO], LABELS[TWO], classes=["b", "d"])
    model.partial_fit(DENSE[THREE], LABELS[THREE], classes=list("bcd"))
    model.partial_fit(DENSE, LABELS, classes=list("abcd"))
    assert equal_bits(model.coef_, known.coef_)


@pytest.mark.parametrize("solver", ["newton", "dual"])
def test_a_fit_that_takes_no_steps_goes_on_with_more_classes(solver):
    model = LinearClassifier(solver=solver, alpha=1e-2).fit(DENSE[TWO], LABELS[TWO])
    coef = model.coef_
    model.set_params(solver="auto", lr=1e-12)
    model.partial_fit(DENSE[THREE], LABELS[THREE], classes=list("bcd"))
    np.testing.assert_allclose(
        model.coef_, np.stack([-coef[0], 0 * coef[0], coef[0]]) / 2, atol=1e-8
    )


def test_numbers_of_classes_that_come_first_and_last():
    y = np.where(LABELS == "a", 5, np.where(LABELS == "b", 7, 6))
    known = np.flatnonzero(y != 5)
    model = LinearClassifier(lr=0.3).partial_fit(DENSE[known], y[known], classes=[6, 7])
    model.partial_fit(DENSE, y, classes=[9, 7, 6, 5])
    assert model.classes_.tolist() == [5, 6, 7, 9]
    assert not (model.predict(DENSE) == 9).any()


@pytest.mark.parametrize("form", FORMS)
def test_labels_can_come_later_too(form):
    X, Y = FORMS[form], (LABELS[:, None] == list("abcd")).astype(int)
    model = LinearClassifier(lr=0.3).partial_fit(X[:100], Y[:100, :2])
    with pytest.raises(ValueError, match=r"y must have 2 columns, .* classes= may name more"):
        model.partial_fit(X[100:], Y[100:])
    model.partial_fit(X[100:], Y[100:], classes=range(4))
    same = LinearClassifier(lr=0.3).partial_fit(X, Y[:, :2])
    assert equal_bits(model.coef_[:2], same.coef_)
    assert model.coef_[2:].any(axis=1).all()
    assert model.predict(X).shape == (300, 4)


@pytest.mark.parametrize("multi_class", ["auto", "ovr"])
def test_what_cannot_be_is_refused_and_changes_nothing(multi_class):
    model = LinearClassifier(lr=0.3, multi_class=multi_class)
    model.partial_fit(DENSE[THREE], LABELS[THREE], classes=list("bcd"))
    before = pickle.dumps(model._trained.states), model.classes_
    with pytest.raises(ValueError, match=r"y has the class 'a' in row .*; classes= may name more"):
        model.partial_fit(DENSE, LABELS)
    with pytest.raises(ValueError, match=r"y has the class 'a' in row .* in classes \['b', 'c'"):
        model.partial_fit(DENSE, LABELS, classes=list("bcde"))
    with pytest.raises(ValueError, match=r"classes must name all of .* without 'b'"):
        model.partial_fit(DENSE, LABELS, classes=list("acd"))
    with pytest.raises(ValueError, match="classes must name all of"):
        model.partial_fit(DENSE, LABELS, classes=[1, 2, 3, 4])
    with pytest.raises(FloatingPointError):
        model.partial_fit(np.full(DENSE.shape, 1e308), LABELS, classes=list("abcd"))
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(DENSE * np.nan, LABELS, classes=list("abcd"))
    other = "ovr" if multi_class == "auto" else "auto"
    with pytest.raises(ValueError, match="loss or multi_class changed since the last call"):
        clone_of(model, other).partial_fit(DENSE, LABELS, classes=list("abcd"))
    assert (pickle.dumps(model._trained.states), model.classes_) == before


def test_a_large_model_that_diverges_as_it_grows_is_as_it_was():
    ones = np.ones(2, np.float32)
    X = sparse.csr_matrix((ones, ([0, 1], [3, 900])), shape=(2, 1000))
    model = LinearClassifier(lr=0.5).partial_fit(X, ["b", "d"], classes=["b", "d"])
    before = model.coef_.copy()
    model.set_params(optimizer=lrcore.AdaGrad(lr=1e38), lr="auto")
    with pytest.raises(FloatingPointError) as caught:
        model.partial_fit(X * np.float32(1e20), ["b", "c"], classes=list("bcd"))
    assert "lost" not in str(caught.value)
    assert equal_bits(model.coef_, before)
    assert model.classes_.tolist() == ["b", "d"]


def clone_of(model, multi_class):
    return pickle.loads(pickle.dumps(model)).set_params(multi_class=multi_class)
