import json

import numpy as np
import pytest
from scipy import sparse

from lrcore.cli.metrics import measure
from lrcore.linear_model.persistence import load

from .conftest import LABELS, X


def test_prints_the_metrics(data, model, output_of):
    printed = dict(
        line.rsplit(maxsplit=1) for line in output_of("evaluate", model, data).splitlines()
    )
    wanted = measure(load(model), X, LABELS)
    assert printed.pop("rows") == "300"
    assert {name.replace(" ", "_"): float(text) for name, text in printed.items()} == {
        name: pytest.approx(value, abs=1e-5) for name, value in wanted.items()
    }
    assert json.loads(output_of("evaluate", model, data, "--json")) == {"rows": 300, **wanted}


def test_data_that_does_not_fit_the_model(model, tmp_path, error_of):
    bad = tmp_path / "bad.svm"
    bad.write_text("1 31:1\n")
    assert "31 features, but the model has 30" in error_of("evaluate", model, str(bad))
    sparse.save_npz(tmp_path / "rows.npz", sparse.csr_matrix(np.eye(30)))
    assert "no labels; put them in an array named y" in error_of(
        "evaluate", model, str(tmp_path / "rows.npz")
    )
