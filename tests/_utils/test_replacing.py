"""Files replaced in one piece: permissions, links, and what killed processes leave behind."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lrcore._utils import replacing as module
from lrcore._utils.replacing import check_writable, replacing

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


def write(path, content=b"new"):
    with replacing(path) as file:
        file.write(content)


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o660])
def test_permissions_stay_what_they_are(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write(path)
    assert path.read_bytes() == b"new"
    assert mode_of(path) == mode


@POSIX
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    write(tmp_path / "file")
    assert mode_of(tmp_path / "file") == mode_of(tmp_path / "other")


@POSIX
def test_the_mask_of_the_process_is_never_touched(tmp_path, monkeypatch):
    def umask(mask):
        raise AssertionError("other threads create files by this mask")

    monkeypatch.setattr(os, "umask", umask)
    write(tmp_path / "file")


@POSIX
def test_files_of_other_threads_are_not_writable_by_the_world(tmp_path):
    done, modes = threading.Event(), set()

    def create():
        k = 0
        while not done.is_set():
            handle = os.open(tmp_path / f"other{k}", os.O_CREAT | os.O_WRONLY, 0o666)
            modes.add(stat.S_IMODE(os.fstat(handle).st_mode))
            os.close(handle)
            k += 1

    thread = threading.Thread(target=create)
    thread.start()
    for _ in range(50):
        write(tmp_path / "file")
    done.set()
    thread.join()
    assert len(modes) == 1


@POSIX
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    link.symlink_to(target)
    for content in (b"first", b"second"):  # of no file yet, and of one
        write(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content


@POSIX
def test_the_folder_is_written_to_the_disk_after_the_name(tmp_path, monkeypatch):
    seen = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda *a: (seen.append("replace"), replace(*a)))

    def sync(handle):
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", sync)
    write(tmp_path / "file")
    assert seen == ["file", "replace", "folder"]


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from lrcore._utils.replacing import replacing
with replacing({path!r}) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@POSIX
def test_what_killed_processes_leave_is_removed(tmp_path):
    path = tmp_path / "odd[1]*name"
    root = str(Path(module.__file__).parents[2])
    code = KILLED.format(root=root, path=str(path))
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=False)
    assert [each.suffix for each in tmp_path.iterdir()] == [".part"]  # the second removed the first
    keep = tmp_path / "odd1name.00000000.part"
    keep.touch()  # of another path
    write(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([path.name, keep.name])


@POSIX
def test_a_save_at_work_is_left_alone(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as first:
        first.write(b"first")
        write(path, b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_error_in_the_block_leaves_everything_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail():
        with replacing(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@POSIX
def test_paths_that_no_file_can_take(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, error in (
        (tmp_path, IsADirectoryError),
        (".", IsADirectoryError),
        (tmp_path / "no" / "file", FileNotFoundError),
        (tmp_path / "pipe", FileExistsError),
        ("/dev/null", FileExistsError),
    ):
        with pytest.raises(error, match=str(path)):
            check_writable(path)
        with pytest.raises(error, match=str(path)):
            write(path)
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]
