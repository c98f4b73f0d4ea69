"""What Windows and macOS do not have is not needed; nothing ran there (docs/platforms.md)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patchbank import PatchCore
from patchbank.runtime import atomic_file
from patchbank.runtime.atomic_file import FileChanged, create_file, replace_file
from tests.photographs import write_dataset

SCRIPT = Path(__file__).parents[1] / "other_system.py"


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_everything_is_imported_and_fits_without_what_a_system_lacks(tmp_path, system):
    write_dataset(tmp_path / "parts")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), system, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path / "local")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    statuses, _, peak, free = json.loads(done.stdout.splitlines()[-1])
    assert statuses == [0, 0, 0], done.stderr
    assert (peak is None) == (system == "win32")
    assert free > 0
    assert (tmp_path / "said.json").read_text(encoding="utf-8").count("\n") == 8


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")


def held(monkeypatch, n_times):
    """Let a file be open in another program the first times that it is replaced."""
    replace, refused = Path.replace, []

    def refusing(path, target):
        if len(refused) < n_times:
            refused.append(target)
            raise PermissionError(13, "Access is denied", str(path))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refusing)
    return refused


def test_on_windows_a_file_that_another_program_reads_is_waited_for(tmp_path, monkeypatch, windows):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    refused = held(monkeypatch, 3)
    replace_file(path, b"new")
    assert (path.read_bytes(), len(refused)) == (b"new", 3)
    assert os.listdir(tmp_path) == ["a.json"]


def test_on_windows_the_wait_has_an_end(tmp_path, monkeypatch, windows):
    monkeypatch.setattr(atomic_file, "LONGEST_HOLD_S", 0.0)
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    held(monkeypatch, 10**9)
    with pytest.raises(PermissionError):
        replace_file(path, b"new")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["a.json"])


def test_elsewhere_nothing_is_tried_again(tmp_path, monkeypatch):
    refused = held(monkeypatch, 1)
    with pytest.raises(PermissionError):
        replace_file(tmp_path / "a.json", b"new")
    assert len(refused) == 1


def test_files_are_made_and_exchanged_as_on_windows(tmp_path, windows):
    path = tmp_path / "a.json"
    create_file(path, b"first")
    with pytest.raises(FileExistsError):
        create_file(path, b"second")
    with pytest.raises(FileChanged):
        replace_file(path, b"third", replaces="0" * 64)
    digest = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
    replace_file(path, b"fourth", replaces=digest)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"fourth", ["a.json"])


@pytest.mark.filterwarnings("ignore:4 groups of")
def test_photographs_on_different_drives_have_groups(tmp_path, monkeypatch):
    write_dataset(tmp_path, n_train=6)

    def on_drives(paths):
        raise ValueError("Paths don't have the same drive")

    recipe = PatchCore(image_size=(64, 96), bank_rows=50)
    monkeypatch.setattr(os.path, "commonpath", on_drives)
    found = recipe.fit(tmp_path / "train" / "good", groups=r"00[0-2]|00").calibration.groups
    assert len(set(found)) == 4
