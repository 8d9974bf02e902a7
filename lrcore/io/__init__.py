"""Data files: svmlight text and scipy's ``.npz``, see `lrcore.io.datafile`."""
