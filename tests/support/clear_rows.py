"""Rows whose class does not depend on how numbers were rounded."""

import numpy as np


def clear_rows(clf, rows, margin=1e-8):
    """Which rows have no second class, or no label, that is as near as the margin: those that lie
    on a hinge of two classes are next to neither."""
    z = clf.decision_function(rows)
    if z.ndim == 1:
        gaps = np.abs(z)
    elif getattr(clf[-1] if hasattr(clf, "steps") else clf, "multilabel_", False):
        gaps = np.abs(z).min(axis=1)
    else:
        gaps = np.diff(np.sort(z, axis=1)[:, -2:], axis=1)[:, 0]
    clear = gaps > margin
    assert clear.mean() > 0.7
    return clear
