"""Large linear models with scikit-learn's interface.

The classes are public as ``lrcore.LinearClassifier``, ``lrcore.LinearRegressor``,
``lrcore.LinearClassifierCV`` and ``lrcore.LinearRegressorCV``. Each module is imported with its
first use: what scikit-learn has for cross-validation takes longer to load than many a fit.
"""
