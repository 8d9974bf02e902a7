"""Sizes of model files, and what pruning and rounding cost on held-out rows of 20newsgroups.

python bench/compact.py --data FOLDER      the folder of 20news.tsv.gz
"""

import argparse
import tempfile
from pathlib import Path

import matrices
import numpy as np

import lrcore

#: Shares of the weights that are left out, the smallest first.
PRUNED = (0.0, 0.5, 0.75, 0.9, 0.95)


def models(rows):
    """Yield classifiers of 20 classes by name."""
    alpha = 0.1 / rows.X.shape[0]
    yield "l2", lrcore.LinearClassifier(alpha=alpha, random_state=0).fit(rows.X, rows.y)
    l1 = lrcore.LinearClassifier("squared_hinge", penalty="l1", alpha=1e-5, random_state=0)
    yield "l1, squared hinge", l1.fit(rows.X, rows.y)
    stream = lrcore.LinearClassifier(random_state=0)
    yield "one pass", stream.partial_fit(rows.X, rows.y, classes=np.unique(rows.y))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the folder of 20news.tsv.gz")
    rows = matrices.news(parser.parse_args().data, bits=20, classes=20)
    path = Path(tempfile.mkdtemp()) / "model"
    X_test, y_test = rows.held_out
    for name, model in models(rows):
        weights = np.abs(model.coef_[model.coef_ != 0])
        expected = model.predict(X_test)
        print(f"{name}: {weights.size:,} weights of {model.coef_.size:,}")
        cases = [("plain", {}), ("compact", {"compact": True})]
        for share in PRUNED:
            least = {"threshold": float(np.quantile(weights, share))} if share else {}
            rounded = {"compact": True, "weight_dtype": "bfloat16", **least}
            cases.append((f"bfloat16, {share:.0%} pruned", rounded))
        for what, options in cases:
            lrcore.save(model, path, **options)
            found = lrcore.load(path).predict(X_test)
            accuracy, other = np.mean(found == y_test), np.mean(found != expected)
            print(
                f"  {what:24} {path.stat().st_size / 1e6:7.2f} MB  accuracy {accuracy:.4f}  "
                f"{other:.2%} of the classes differ"
            )


if __name__ == "__main__":
    main()
