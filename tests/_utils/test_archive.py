import numpy as np
import pytest

from lrcore._utils import archive
from lrcore._utils.archive import ArchiveError

HEADER = {"format": 3, "name": "é", "list": [1, 2.5, None]}
ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yz"]), "c": np.zeros((0, 2))}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.lrcore"
    archive.write(path, HEADER, ARRAYS)
    return path


def test_round_trip(path):
    header, arrays = archive.read(path, "a test", 3)
    assert header == HEADER
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()


def test_writing_replaces_the_file_and_leaves_no_other(path):
    path.chmod(0o600)
    archive.write(path, {**HEADER, "name": "new"}, {})
    assert archive.read(path, "a test", 3)[0]["name"] == "new"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_error_while_writing_keeps_the_old_file(path, monkeypatch):
    def savez(file, **members):
        file.write(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(OSError, match="no space left"):
        archive.write(path, HEADER, {})
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    monkeypatch.undo()
    assert archive.read(path, "a test", 3)[0] == HEADER


def test_objects_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="a holds Python objects"):
        archive.write(tmp_path / "new", HEADER, {"a": np.array([None])})
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused(path):
    raw = path.read_bytes()
    for content in (b"", b"text", raw[:-200], raw[: len(raw) // 2]):
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match="not a test file"):
            archive.read(path, "a test", 3)
    path.write_bytes(raw)
    with pytest.raises(ArchiveError, match="format 3, but this lrcore reads format 4"):
        archive.read(path, "a test", 4)


def test_edited_files_are_refused(path):
    with np.load(path) as members:
        arrays = dict(members)
    np.savez(path.with_suffix(".npz"), **{**arrays, "a": arrays["a"] + 1})
    with pytest.raises(ArchiveError, match="damaged or edited"):
        archive.read(path.with_suffix(".npz"), "a test", 3)
    np.savez(path.with_suffix(".npz"), a=arrays["a"])
    with pytest.raises(ArchiveError, match="not a test file"):
        archive.read(path.with_suffix(".npz"), "a test", 3)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        archive.read(tmp_path / "no", "a test", 3)
