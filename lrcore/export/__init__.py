"""Fitted models for other libraries: scikit-learn's estimators, plain NumPy, ONNX.

What is here takes `Coefficients`, and knows nothing of how they were fitted; the methods of the
estimators are in `lrcore.linear_model.exports`.
"""
