"""Optimizer: update rules applied to NumPy arrays."""
