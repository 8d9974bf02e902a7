"""Data files of any size: `Dataset`, readers that give all rows at once, and ``scan_*`` functions
that give datasets.
"""

from lrcore.io.dataset import Dataset
from lrcore.io.errors import DataError
from lrcore.io.scans import scan_npz, scan_svmlight, scan_vw
from lrcore.io.svmlight import read_svmlight, write_svmlight
from lrcore.io.tables import (
    read_csv,
    read_parquet,
    scan_arrow,
    scan_csv,
    scan_json,
    scan_parquet,
)
from lrcore.io.vw import read_vw

__all__ = [
    "DataError",
    "Dataset",
    "read_csv",
    "read_parquet",
    "read_svmlight",
    "read_vw",
    "scan_arrow",
    "scan_csv",
    "scan_json",
    "scan_npz",
    "scan_parquet",
    "scan_svmlight",
    "scan_vw",
    "write_svmlight",
]
