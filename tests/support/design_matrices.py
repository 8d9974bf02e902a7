"""Design matrices of each kind that the core reads."""

import numpy as np
from scipy import sparse
from strategies import sparse_problem

from lrcore.linear_model.engine.design_matrix import as_design_matrix

KINDS = ("csr32", "csr64", "ones", "dense")


def matrix(kind, dtype, n_rows=200, n_features=30):
    """The rows of one kind, and the same as a dense array of float64."""
    X, dense, _, _ = sparse_problem(n_rows, n_features, dtype=dtype)
    if kind == "dense":
        return as_design_matrix(dense), dense.astype(float)
    if kind == "ones":
        X = X.astype(bool).astype(dtype)
    X = sparse.csr_matrix(X)
    X.indices = X.indices.astype(np.int64 if kind == "csr64" else np.int32)
    X.indptr = X.indptr.astype(X.indices.dtype)
    return as_design_matrix(X), X.toarray().astype(float)
