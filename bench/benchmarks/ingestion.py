"""Reading data files, and checking matrices before a fit."""

import gzip
import os
import tempfile

import numpy as np
from scipy import sparse
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from lrcore.io import datafile
from lrcore.linear_model.engine.design_matrix import as_design_matrix

from . import workloads


class Files:
    """svmlight text and .npz, beside scikit-learn's reader; the files are in asv's folder."""

    params = [["svm", "svm.gz", "npz"], ["lrcore", "scikit-learn"]]
    param_names = ["format", "library"]

    def setup_cache(self):
        X, y = workloads.power_law(workloads.ROWS // 5, workloads.FEATURES)
        folder = tempfile.mkdtemp(dir=os.getcwd())
        dump_svmlight_file(X, y, f"{folder}/rows.svm")
        with (
            open(f"{folder}/rows.svm", "rb") as text,
            gzip.open(f"{folder}/rows.svm.gz", "wb") as g,
        ):
            g.write(text.read())
        np.savez(
            f"{folder}/rows.npz", data=X.data, indices=X.indices, indptr=X.indptr, shape=X.shape,
            format=b"csr", y=y,
        )  # fmt: skip
        return folder

    def setup(self, folder, ending, library):
        if library == "scikit-learn" and ending == "npz":
            raise NotImplementedError("scikit-learn reads no .npz")
        self.path = f"{folder}/rows.{ending}"

    def time_read(self, folder, ending, library):
        if library == "lrcore":
            datafile.read(self.path)
        else:
            load_svmlight_file(self.path, dtype=np.float32)

    def peakmem_read(self, folder, ending, library):
        self.time_read(folder, ending, library)


class Matrices:
    """Checks of X, and its conversion to the form that the core reads."""

    params = [["csr", "csc", "coo", "float64 csr", "dense", "dense in columns"]]
    param_names = ["X"]

    def setup(self, kind):
        X, _ = workloads.power_law(workloads.ROWS, workloads.FEATURES)
        dense = np.ones((workloads.ROWS // 5, 100), np.float32)
        self.X = {
            "csr": lambda: X,
            "csc": lambda: sparse.csc_matrix(X),
            "coo": lambda: sparse.coo_matrix(X),
            "float64 csr": lambda: X.astype(np.float64),
            "dense": lambda: dense,
            "dense in columns": lambda: np.asfortranarray(dense),
        }[kind]()

    def time_check(self, kind):
        as_design_matrix(self.X, np.dtype(np.float32))
