"""How much memory is free: in groups of processes, under limits, and when features go to a file."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from patchbank.runtime import memory
from patchbank.runtime.memory import free_bytes, room_for_features

N_ROWS, N_DIMS = 1000, 8
NEEDED = 1000 * 8 * 4 * 1.25 + 1000 * 130 + 600_000_000  # with codes, notes a patch, and a reserve

linux = pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="there are no groups")


def test_features_that_fit_are_in_memory(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: int(NEEDED))
    notes = []
    room = room_for_features((N_ROWS, N_DIMS), notes.append)
    assert not isinstance(room, np.memmap)
    assert (room.shape, room.dtype) == ((N_ROWS, N_DIMS), np.float32)
    assert notes == []


def test_features_that_miss_it_by_a_byte_are_in_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(memory, "free_bytes", lambda: int(NEEDED) - 1)
    notes = []
    room = room_for_features((N_ROWS, N_DIMS), notes.append)
    assert isinstance(room, np.memmap)
    assert (room.shape, room.dtype) == ((N_ROWS, N_DIMS), np.float32)
    room[...] = 3
    assert (room == 3).all()
    assert notes == [
        f"features of up to 0.0 GB go to a file in {tmp_path}, as only 0.6 GB of memory are free: "
        "the bank is the same, but takes more time"
    ]


def test_a_note_has_the_size_of_the_features_and_of_the_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(memory, "free_bytes", lambda: 123_456_789)
    notes = []
    room_for_features((26_000, 2500), notes.append)  # 260 MB, of which none is written
    assert notes[0].startswith("features of up to 0.3 GB go to a file")
    assert "as only 0.1 GB of memory are free" in notes[0]


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups below a folder.  -> (path, files) makes one, and (lines) joins them."""
    listing = tmp_path / "cgroup"
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setattr(memory, "CONTROL_GROUPS", root)
    read = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda path: read(listing if str(path) == "/proc/self/cgroup" else path),
    )

    def make(path, **files):
        folder = root / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("_", ".", 1)).write_text(content)

    return make, lambda *lines: listing.write_text("".join(f"{line}\n" for line in lines))


def second_version(limit, usage, cached):
    """Files of one group of version 2."""
    return {
        "memory_max": f"{limit}\n",
        "memory_current": f"{usage}\n",
        "memory_stat": f"anon 5\ninactive_file {cached}\nactive_file 7\n",
    }


@linux
def test_a_group_leaves_its_limit_but_what_is_used_and_cannot_be_given_back(groups):
    make, join = groups
    make("job", **second_version(5_000_000, 3_000_000, 1_000_000))
    join("0::/job")
    assert free_bytes() == 3_000_000


@linux
def test_the_tightest_group_around_it_counts(groups):
    make, join = groups
    make("", **second_version(9_000_000, 1_000_000, 0))
    make("a", **second_version(4_000_000, 2_500_000, 0))
    make("a/b", **second_version("max", 2_000_000, 0))
    make("a/b/c", **second_version(8_000_000, 1_000_000, 0))
    make("other", **second_version(1_000_001, 1_000_000, 0))
    join("0::/a/b/c")
    assert free_bytes() == 1_500_000


@linux
def test_the_limit_of_all_groups_together_counts_too(groups):
    make, join = groups
    make("", **second_version(1_200_000, 1_000_000, 50_000))
    make("a", **second_version(4_000_000, 2_500_000, 0))
    join("0::/a")
    assert free_bytes() == 250_000


@linux
def test_a_group_that_is_over_its_limit_leaves_nothing(groups):
    make, join = groups
    make("job", **second_version(5_000_000, 6_000_000, 0))
    join("0::/job")
    assert free_bytes() == 0


@linux
def test_other_controllers_set_no_limit_of_memory(groups):
    """Version 1 has a folder a controller; memory may share its with others."""
    make, join = groups
    for folder, limit in (("job", 1_000), ("memory/other", 1_000), ("memory/job", 2_000_000)):
        make(
            folder,
            memory_limit_in_bytes=f"{limit}",
            memory_usage_in_bytes="500000",
            memory_stat="cache 9\ninactive_file 8\ntotal_inactive_file 100000\n",
        )
    join("3:cpu,cpuacct:/other", "2:memory,hugetlb:/job", "1:name=systemd:/job")
    assert free_bytes() == 1_600_000


@linux
def test_groups_without_a_limit_leave_all_of_the_machine(groups):
    import psutil

    make, join = groups
    make("job", **second_version("max", 1, 0))
    join("0::/job", "0::/nowhere")
    total = psutil.virtual_memory().total
    assert total / 100 < free_bytes() <= total


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_limit_of_a_process_leaves_less_than_itself(kind):
    """A real limit, of a process of its own, 300 MB above what it uses."""
    code = f"""
import resource
import psutil
from patchbank.runtime.memory import free_bytes
used = psutil.Process().memory_info()
taken = used.vms if "{kind}" == "RLIMIT_AS" else used.rss
limit = taken + 300_000_000
resource.setrlimit(resource.{kind}, (limit, limit))
print(free_bytes())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert 250_000_000 < int(done.stdout) <= 300_000_000
