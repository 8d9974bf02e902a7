"""Files that are written whole, packed by their names."""

import bz2
import gzip
import lzma

import pytest

from lrcore.io.output import open_output


@pytest.mark.parametrize(("end", "unpack"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
def test_packed_by_the_name(tmp_path, end, unpack):
    path = tmp_path / f"rows{end}"
    packed = []
    for _ in range(2):
        with open_output(str(path)) as file:
            file.write(b"1 2:3\n" * 100)
        assert unpack.open(path).read() == b"1 2:3\n" * 100
        packed.append(path.read_bytes())
    assert packed[0] == packed[1]
    assert len(packed[0]) < 200


def test_zstd(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "rows.zst"
    with open_output(str(path)) as file:
        file.write(b"1 2:3\n")
    assert pyarrow.input_stream(str(path)).read() == b"1 2:3\n"


def test_nothing_is_replaced_by_a_part(tmp_path):
    path = tmp_path / "rows.gz"
    path.write_text("old")
    with pytest.raises(TypeError), open_output(str(path)) as file:
        file.writelines([b"1 2:3\n", "no bytes"])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_stdout(capfdbinary):
    with open_output("-") as file:
        file.write(b"1 2:3\n")
    assert capfdbinary.readouterr().out == b"1 2:3\n"
