"""Files of an export are replaced together, as far as two files can be."""

from pathlib import Path

import pytest

from patchbank.export.files import write_files


@pytest.fixture
def pair(tmp_path):
    """Two old files, and their new content."""
    weights, graph = tmp_path / "a.bin", tmp_path / "a.xml"
    weights.write_bytes(b"old weights")
    graph.write_bytes(b"old graph")
    return {weights: b"new weights", graph: b"new graph"}


def contents(files):
    return [path.read_bytes() for path in files]


def test_all_are_replaced(pair):
    write_files(pair)
    assert contents(pair) == [b"new weights", b"new graph"]
    assert len(list(next(iter(pair)).parent.iterdir())) == len(pair)


@pytest.mark.parametrize("number", [0, 1])
def test_if_one_cannot_be_written_none_is_changed(pair, number):
    path = list(pair)[number]
    path.unlink()
    path.mkdir()
    other = list(pair)[1 - number]
    before = other.read_bytes()
    with pytest.raises(OSError, match="a folder is there"):
        write_files(pair)
    assert other.read_bytes() == before
    assert sorted(path.parent.iterdir()) == sorted(pair)


def test_a_crash_in_between_leaves_whole_files(pair, monkeypatch):
    renamed, rename = [], Path.replace

    def once(self, target):
        if renamed:
            raise KeyboardInterrupt
        renamed.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        write_files(pair)
    assert contents(pair) == [b"new weights", b"old graph"]
    assert sorted(renamed[0].parent.iterdir()) == sorted(pair)
