"""What an import costs, in an interpreter of its own, beside the libraries that it stands on."""


class Import:
    params = [["lrcore", "numpy", "sklearn.linear_model"]]
    param_names = ["module"]

    def timeraw_import(self, module):
        return f"import {module}"
