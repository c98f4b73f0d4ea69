"""Names of learned photographs: as short as possible, and no two the same."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from patchbank.images.distinct_names import distinct_names

FOLDERS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)
PATHS = st.lists(st.builds(lambda parts: Path("/", *parts, "1.png"), FOLDERS), max_size=12)


def test_a_name_of_its_own_is_enough():
    assert distinct_names([Path("x/1.png"), Path("y/2.png")]) == ["1.png", "2.png"]


def test_folders_are_added_until_names_differ():
    paths = [Path("t/left/1.png"), Path("u/left/1.png"), Path("t/right/1.png"), Path("2.png")]
    assert distinct_names(paths) == ["t/left/1.png", "u/left/1.png", "right/1.png", "2.png"]


def test_a_path_without_folder_is_in_the_folder_of_the_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = distinct_names([Path("1.png"), Path("sub/1.png"), Path("sub/../2.png")])
    assert names == [f"{tmp_path.name}/1.png", "sub/1.png", "2.png"]


def test_a_photograph_that_is_given_twice_has_one_name():
    assert distinct_names([Path("a/1.png"), Path("a/1.png")]) == ["1.png", "1.png"]


@given(PATHS)
def test_different_paths_have_different_names_which_end_only_their_own_path(paths):
    names = distinct_names(paths)
    assert len(set(names)) == len(set(paths))
    for path, name in zip(paths, names, strict=True):
        parts = Path(name).parts
        ending = {other for other in paths if other.parts[-len(parts) :] == parts}
        assert ending == {path}
        shorter = parts[1:]
        assert not shorter or any(
            other != path and other.parts[-len(shorter) :] == shorter for other in paths
        )
