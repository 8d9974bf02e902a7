"""Files and pickles of 0.1.0 load, predict the same bits, and go on to the same bits."""

import json
import pickle

import numpy as np
import pytest
from digests import digest
from saved import FOLDER, models, of_saved, optimizers
from strategies import BUILDS

import lrcore

DIGESTS = json.loads((FOLDER / "digests.json").read_text())
MODELS = {name: more for name, _, more in models()}
OPTIMIZERS = {name: opt.rule for name, opt, _ in optimizers()}

pytestmark = pytest.mark.skipif(not BUILDS, reason="the NumPy backend agrees to rounding only")


def test_all_that_was_saved_is_tried():
    assert {*MODELS, *OPTIMIZERS} == DIGESTS.keys()


@pytest.mark.parametrize("name", MODELS)
def test_model_files_of_before(name):
    model = lrcore.load(FOLDER / f"{name}.lrcore")
    assert of_saved(model, MODELS[name]) == DIGESTS[name]


@pytest.mark.parametrize("name", MODELS)
def test_pickled_models_of_before(name):
    model = pickle.loads((FOLDER / f"{name}.pickle").read_bytes())
    assert of_saved(model, MODELS[name]) == DIGESTS[name]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_files_of_before(name):
    rule, pickled = pickle.loads((FOLDER / f"{name}.pickle").read_bytes())
    assert rule == OPTIMIZERS[name]
    w = np.zeros_like(pickled)
    keywords = {"state_dtype": "bfloat16"} if name == "bfloat16" else {}
    keywords |= {"ema": 0.9} if name == "adam" else {}
    opt = lrcore.Optimizer({"w": w}, rule, **keywords)
    opt.load(FOLDER / f"{name}.optimizer")
    assert digest(w) == digest(pickled) == DIGESTS[name][0]
    opt.step({"w": w * np.float32(0.25)})
    assert digest(w) == DIGESTS[name][1]
