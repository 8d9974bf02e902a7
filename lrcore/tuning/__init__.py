"""Choosing a learning rate: the range test, the search by cross-validation, stable rates.

The functions are public as ``lrcore.lr_range_test``, ``lrcore.lr_search``,
``lrcore.max_stable_lr``, ``lrcore.check_stable`` and ``lrcore.estimate_lipschitz``. The modules
here need scikit-learn, so each of them is imported with its first use.
"""
