"""The time of an import in a fresh interpreter, beside the libraries that lrcore needs."""


class Import:
    params = [["lrcore", "numpy", "sklearn.linear_model"]]
    param_names = ["module"]

    def timeraw_import(self, module):
        return f"import {module}"
