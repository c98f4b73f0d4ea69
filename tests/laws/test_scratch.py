"""Features in a file: the same centres, little memory, and a file that leaves nothing behind."""

from pathlib import Path

import numpy as np
import pytest

from patchbank import PatchCore
from patchbank.core import int8
from patchbank.core.coreset import greedy_coreset, row_nearest_to_mean
from patchbank.core.coreset.random_projection import project
from patchbank.core.int8 import binding
from patchbank.errors import DataError
from patchbank.runtime import memory, scratch
from patchbank.runtime.memory import free_bytes, room_for_features
from patchbank.runtime.scratch import allocate_in_file, drop_pages, empty_like_storage, take_rows
from tests.kernels import INT8_KERNELS, MARKED_KERNELS, on_kernel
from tests.photographs import parts


def filed(array, folder):
    room = allocate_in_file(array.shape, array.dtype, folder)
    room[...] = array
    return room


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
def test_centres_are_those_of_features_in_memory(kernel, tmp_path, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    monkeypatch.setattr(scratch, "ROWS_PER_COPY", 7)
    monkeypatch.setattr(binding, "PART_ROWS", 100)
    features = rng.standard_normal((3000, 21)).astype(np.float32)
    features[500:600] = features[100:200]
    groups = np.arange(3000) // 50
    in_memory = greedy_coreset(features, 300, groups=groups)
    in_file = greedy_coreset(filed(features, tmp_path), 300, groups=groups)
    for field in ("centres", "radii", "min_distance_to_other_groups"):
        assert getattr(in_memory, field).tolist() == getattr(in_file, field).tolist()


def test_a_file_that_is_only_read_will_do(tmp_path, rng):
    features = rng.standard_normal((500, 9)).astype(np.float32)
    features.tofile(tmp_path / "features")
    opened = np.memmap(tmp_path / "features", np.float32, "r", shape=features.shape)
    assert row_nearest_to_mean(opened) == row_nearest_to_mean(features)
    assert (greedy_coreset(opened, 40).centres == greedy_coreset(features, 40).centres).all()


def test_a_projection_of_features_in_a_file_is_in_a_file(tmp_path, rng):
    features = filed(rng.standard_normal((300, 12)).astype(np.float32), tmp_path)
    matrix = rng.standard_normal((12, 4)).astype(np.float32)
    projected = project(features, matrix)
    assert isinstance(projected, np.memmap)
    np.testing.assert_allclose(projected, project(np.array(features), matrix))


@pytest.mark.kernel
@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_codes_of_features_in_a_file_are_in_a_file(kernel, tmp_path, rng, monkeypatch):
    on_kernel(monkeypatch, kernel)
    features = filed(rng.standard_normal((300, 12)).astype(np.float32), tmp_path)
    quantized = int8.Quantization.fit(features).quantize(features)
    assert isinstance(quantized.codes, np.memmap)
    assert not isinstance(quantized.take(np.arange(5)).values, np.memmap)


def test_a_file_has_no_name_and_keeps_what_was_written(tmp_path, rng):
    numbers = rng.standard_normal((4000, 5)).astype(np.float32)
    room = filed(numbers, tmp_path)
    drop_pages(room[37:3900])
    assert (room == numbers).all()
    assert list(tmp_path.iterdir()) == []


def test_pages_are_given_back(tmp_path):
    room = allocate_in_file((4096, 1024), np.float32, tmp_path)
    room[...] = 1
    before = resident_bytes(room)
    drop_pages(room)
    assert before == room.nbytes
    assert resident_bytes(room) < room.nbytes // 10


def test_changes_to_a_private_copy_are_not_thrown_away(tmp_path):
    np.zeros(5000, np.float32).tofile(tmp_path / "file")
    private = np.memmap(tmp_path / "file", np.float32, "c")
    private[:] = 3
    drop_pages(private)
    assert (private == 3).all()


def test_rows_are_taken_in_any_order(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(scratch, "ROWS_PER_COPY", 3)
    numbers = rng.standard_normal((50, 4)).astype(np.float32)
    rows = rng.integers(0, 50, 20)
    assert (take_rows(filed(numbers, tmp_path), rows) == numbers[rows]).all()
    assert not isinstance(empty_like_storage(numbers, (3, 2), np.int8), np.memmap)


@pytest.mark.parametrize("banks", ["per_map", "joint"])
def test_a_fit_without_memory_finds_the_same_banks_and_says_so_once(banks, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    images = parts(6, size=(96, 128))
    recipe = PatchCore(image_size=96, bank_rows=60, banks=banks, false_alarm_rate=0.2)
    here = recipe.fit(images)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    notes = Notes()
    there = recipe.fit(images, progress=notes)
    learned, again = (detector.members[0].model.tensors() for detector in (here, there))
    assert [learned[name].tolist() for name in learned] == [again[n].tolist() for n in learned]
    assert here.calibration.image_scores.tolist() == there.calibration.image_scores.tolist()
    assert len(notes.lines) == 1
    assert f"go to a file in {tmp_path}, as only 0.0 GB of memory are free" in notes.lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("banks", ["per_map", "joint"])
def test_an_update_without_memory_says_so_once(banks, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    images = parts(9, size=(96, 128))
    recipe = PatchCore(image_size=96, bank_rows=60, banks=banks, false_alarm_rate=0.2)
    detector = recipe.fit(images[:6])
    there = detector.updated(images[6:])
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    notes = Notes()
    again = detector.updated(images[6:], progress=notes)
    assert again.calibration.image_scores.tolist() == there.calibration.image_scores.tolist()
    assert len(notes.lines) == 1


def test_a_full_disk_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notes = []
    with pytest.raises(
        DataError, match=r"expected space for 400000.0 GB of features, .* set TMPDIR"
    ):
        room_for_features((10**12, 100), notes.append)
    assert notes == []


def test_free_memory_is_no_more_than_the_container_leaves(tmp_path, monkeypatch):
    group = tmp_path / "memory" / "lines" / "third"
    for folder, limit in ((group, 9 * 10**18), (group.parent, 3_000_000)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.limit_in_bytes").write_text(str(limit))
        (folder / "memory.usage_in_bytes").write_text("1400000")
        (folder / "memory.stat").write_text("cache 5\ntotal_inactive_file 400000\n")
    listing = tmp_path / "cgroup"
    listing.write_text("4:memory:/lines/third\n0::/\n")
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path)
    read = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda path: read(listing if str(path) == "/proc/self/cgroup" else path),
    )
    assert free_bytes() == 2_000_000


class Notes:
    """Keeps the lines that a person would see."""

    def __init__(self):
        self.lines = []
        self.note = self.lines.append

    def task(self, title, total):
        return self

    def __enter__(self):
        return lambda steps: None

    def __exit__(self, *exception):
        return None


def resident_bytes(array):
    """Of the pages of an array, those that this process holds now."""
    address, total = array.ctypes.data, 0
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            inside = begin <= address < end
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total
