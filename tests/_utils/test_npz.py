"""Arrays of files that nobody may trust: whatever is wrong with them is an `NpzError`, and costs
neither time nor memory."""

import contextlib
import io
import resource
import struct
import time
import zipfile

import numpy as np
import pytest

from lrcore._utils import npz
from lrcore._utils.npz import NpzError


def npy(array):
    """The bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def zipped(path, members, how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_what_numpy_reads(path, save):
    arrays = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "b": np.array([True, False]),
        "u": np.array(["é", "abc"]),
        "z": np.zeros((0, 3), np.float32),
        "scalar": np.array(3),
        "s": np.array(b"csr"),
        "big": np.zeros(5_000_000, np.int8),
    }
    save(path, **arrays)
    found = npz.read(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable


def header(text, data=b"", version=(1, 0)):
    """An .npy file whose header has this text."""
    form = "<H" if version == (1, 0) else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(form, len(text)) + text + data


SHAPES = [
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, -1, -1), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % 2**63,
    b"{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000,), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }",
    b"{'descr': '<f8', 'shape': (1,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': 1, }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), ",
    b"{" * 4000,
    b"1" * 5000,
    b"\xff\xfe",
    b"",
]


@pytest.mark.parametrize("text", SHAPES, ids=lambda text: text[:75].decode("ascii", "replace"))
def test_headers_of_arrays(path, text):
    zipped(path, [("a.npy", header(text, bytes(8)))])
    with pytest.raises(NpzError):
        npz.read(path)


@pytest.mark.parametrize("version", [(3, 0), (9, 9), (2, 0)])
def test_versions_of_headers(path, version):
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n"
    zipped(path, [("a.npy", header(text, bytes(8), version))])
    if version == (2, 0):
        assert npz.read(path)["a"].tolist() == [0.0]
    else:
        with pytest.raises(NpzError, match="version"):
            npz.read(path)


def test_a_file_that_unpacks_to_far_more_than_it_is(path):
    # A megabyte of zeros for a gigabyte; written piece by piece, since the test may not take it.
    text = b"{'descr': '|i1', 'fortran_order': False, 'shape': (%d,), }" % (1 << 30)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("a.npy", "w") as member:
            member.write(header(text))
            for _ in range(1 << 7):
                member.write(bytes(1 << 20))
        archive.infolist()[0].file_size = 1 << 30  # what it says
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(NpzError, match=r"unpack to 1,073,741,824, more than the"):
        npz.read(path)
    assert time.perf_counter() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_tricks_with_the_zip(path):
    zipped(path, [("a.npy", npy(np.ones(3)))])
    whole = path.read_bytes()
    at = whole.index(b"PK\x01\x02")
    for place, value in ((at + 8, 1), (at + 10, 99), (at + 10, 12), (at + 10, 14), (at + 24, 77)):
        spoilt = bytearray(whole)
        spoilt[place] = value  # encrypted; packed in ways that there are not, or not here; longer
        spoilt[6 if place == at + 8 else 8] = value if place < at + 24 else 0
        path.write_bytes(spoilt)
        with pytest.raises(NpzError):
            npz.read(path)
    path.write_bytes(b"\1\0\0\0" + whole)
    with pytest.raises(NpzError, match="does not begin as"):
        npz.read(path)
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped(path, [("a.npy", npy(np.ones(3))), ("a.npy", npy(np.zeros(3)))])
    with pytest.raises(NpzError, match="twice"):
        npz.read(path)


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(path, how):
    zipped(path, [("a.npy", npy(np.ones(3)))], how)
    with pytest.raises(NpzError, match="packed in a way"):
        npz.read(path)


def test_other_files_are_refused(path):
    for content in (b"", b"text", npy(np.ones(3)), npy(np.array([None])), b"PK\x05\x06"):
        path.write_bytes(content)
        with pytest.raises(NpzError):
            npz.read(path)
    zipped(path, [("a.npy", b"no array")])
    with pytest.raises(NpzError):
        npz.read(path)


def test_flags_are_0_or_1(path):
    text = b"{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }\n"
    zipped(path, [("a.npy", header(text, b"\x00\x07\xff"))])
    assert npz.read(path)["a"].view(np.uint8).tolist() == [0, 1, 1]


def test_every_flipped_byte_is_read_or_refused(path):
    np.savez_compressed(path, a=np.arange(50.0), b=np.array(["x", "yz"]))
    whole = path.read_bytes()
    for at in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[at] ^= (1, 16, 128)[at % 3]
        path.write_bytes(spoilt)
        with contextlib.suppress(NpzError):
            npz.read(path)


def test_a_folder_and_a_missing_file_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        npz.read(tmp_path / "no.npz")
    with pytest.raises(OSError):
        npz.read(tmp_path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_strings_of_what_are_no_characters(path, order):
    codes = np.array([0x10FFFF, 0xD800, 65], f"{order}u4")
    np.savez(path, a=codes.view(f"{order}U1"))
    assert npz.read(path)["a"].tolist() == ["\U0010ffff", "\ud800", "A"]
    codes[1] = 0x110000
    np.savez(path, a=codes.view(f"{order}U1"))
    with pytest.raises(npz.NpzError, match="'a' has strings of what are no characters"):
        npz.read(path)
