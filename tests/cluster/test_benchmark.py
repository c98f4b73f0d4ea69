"""`patchbank benchmark --cluster` on a real cluster of two machines: the figures of this one."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest

from tests import command_line
from tests.photographs import write_dataset

pytestmark = pytest.mark.ray

TINY = "tiny=patchcore:fast(image_size=96,bank_limit=150,start=random)"
OPTIONS = ("--methods", TINY, "--shots", "full,2", "--seeds", "1", "--device", "cpu")
TIMES = ("fit_seconds", "ms_per_image", "peak_memory_bytes", "machine", "finished_at")


def run(capsys, *arguments):
    """Run `patchbank benchmark`.  -> exit status, standard error."""
    status, _, errors = command_line.run(capsys, "benchmark", *arguments)
    return status, errors


def figures(out):
    """All rows but what depends on the time and the machine, by run."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return {row["key"]: {k: v for k, v in row.items() if k not in TIMES} for row in rows}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    write_dataset(folder / "nuts", n_train=4, n_good=3, n_defect=3)
    write_dataset(folder / "plates", n_train=5, n_good=3, n_defect=3, masks=False)
    return folder


@pytest.fixture(scope="module")
def one_machine(root, tmp_path_factory):
    """The figures of a benchmark on this machine."""
    out = tmp_path_factory.mktemp("one")
    assert command_line.status_of("benchmark", root, "--out", out, *OPTIONS) == 0
    return figures(out)


def test_the_figures_are_those_of_this_machine_and_a_second_run_goes_on(
    capsys, root, one_machine, address, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    monkeypatch.chdir(root.parent)  # a relative path, which other processes have to find as well
    status, errors = run(capsys, root.name, "--out", out, "--cluster", address, *OPTIONS)
    assert status == 0, errors
    assert "[4/4] " in errors
    assert figures(out) == one_machine
    with (out / "tables.csv").open() as file:
        assert len(list(csv.reader(file))) > 4
    assert not (out / "cache").exists()
    lines = (out / "results.jsonl").read_text().splitlines(keepends=True)
    (out / "results.jsonl").write_text("".join(lines[:3]))
    status, errors = run(capsys, root.name, "--out", out, "--cluster", address, *OPTIONS)
    assert status == 0
    assert "3 of 4 runs are done already" in errors
    assert figures(out) == one_machine


def test_several_runs_of_a_machine_at_a_time_and_one_whose_memory_is_short(
    capsys, root, one_machine, address, tmp_path
):
    options = (*OPTIONS, "--cluster", address, "--workers", 2)
    status, errors = run(capsys, root, "--out", tmp_path, *options, "--memory-gb", 0.02)
    assert status == 1
    assert errors.count("expected at most 0.02 GB of memory, needs more") == 4
    assert run(capsys, root, "--out", tmp_path, *options)[0] == 0
    assert figures(tmp_path) == one_machine


def test_runs_whose_process_on_a_machine_is_killed_begin_again(
    capsys, root, one_machine, address, tmp_path, killing, caplog
):
    with killing("WorkerActor", 2) as killed:
        status, errors = run(capsys, root, "--out", tmp_path, "--cluster", address, *OPTIONS)
    assert len(killed) == 2
    assert status == 0, errors
    assert "cluster: a worker on " in caplog.text
    assert figures(tmp_path) == one_machine


def test_runs_of_a_machine_that_is_lost_run_on_another(
    capsys, root, one_machine, address, tmp_path, losing
):
    losing.at(r"4 runs on 3 nodes")
    status, errors = run(capsys, root, "--out", tmp_path, "--cluster", address, *OPTIONS)
    assert status == 0, errors
    assert losing.is_lost
    assert figures(tmp_path) == one_machine


def test_a_cluster_that_does_not_answer_is_one_line(root, tmp_path):
    code = "from patchbank.cli import main; main()"
    arguments = ["benchmark", root, "--out", tmp_path, "--cluster", "127.0.0.1:1", *OPTIONS]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: cluster: expected a Ray cluster at '127.0.0.1:1', got none")
    assert "Traceback" not in done.stderr


def test_a_device_that_runs_do_not_use_is_refused(root, tmp_path, capsys):
    where = ("--out", tmp_path / "out", "--cluster", "local", "--device", "cuda")
    status, errors = run(capsys, root, *OPTIONS[:-2], *where)
    assert status != 0
    assert "--device: expected auto or cpu with --cluster, whose runs use processors" in errors
