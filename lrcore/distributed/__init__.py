"""Fits whose rows lie on many machines; `lrcore.distributed.dask` has the estimators."""
