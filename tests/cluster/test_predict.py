"""Photographs of a table inspected on a real Ray cluster of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pyarrow.parquet as parquet
import pytest
import ray

from patchbank import load, predict_to_parquet
from patchbank.bulk.inputs import Block
from patchbank.cluster.connection import connected
from patchbank.cluster.workers import MOST_DEATHS, Workers
from patchbank.errors import ClusterError, DataError
from tests import command_line
from tests.cluster.tables import N_ROWS, write_table

WORKER = "ray::WorkerActor"


@pytest.fixture(scope="module", autouse=True)
def _cluster():
    with connected():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A detector, photographs, and a table in which three of a hundred cannot be read."""
    write_table(root := tmp_path_factory.mktemp("bulk"))
    return root


@pytest.fixture(scope="module")
def detector(root):
    return load(root / "d.patchbank")


@pytest.fixture(scope="module")
def undisturbed(root, detector, tmp_path_factory):
    """The results of an undisturbed run on the cluster."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    predict_to_parquet(detector, root / "t.parquet", out, cluster="local")
    return parquet.read_table(out)


def test_the_results_are_those_of_one_process(root, detector, undisturbed, tmp_path):
    count = predict_to_parquet(detector, root / "t.parquet", tmp_path / "one")
    one = parquet.read_table(tmp_path / "one")
    assert undisturbed.schema.equals(one.schema)
    assert undisturbed.column("row").to_pylist() == list(range(N_ROWS))
    names = parquet.read_table(root / "t.parquet").column("path")
    assert undisturbed.column("image").to_pylist() == names.to_pylist()
    for name in ("verdict", "error", "width", "regions", "worst_area", "detector_sha256"):
        assert undisturbed.column(name).equals(one.column(name)), name
    scores = undisturbed.column("score").to_pylist()
    expected = one.column("score").to_pylist()
    assert [score is None for score in scores] == [score is None for score in expected]
    assert [score or 0 for score in scores] == pytest.approx([s or 0 for s in expected], rel=1e-5)
    assert count.unread == scores.count(None) == 13


def test_workers_that_die_are_replaced_and_the_result_is_the_same(
    root, detector, undisturbed, tmp_path, caplog
):
    kills = iter(range(3))

    class Killing:
        """Shows nothing, and ends a worker after some of the parts."""

        def task(self, title, total):
            return Steps(kills)

        def note(self, text):
            pytest.fail(text)

    predict_to_parquet(
        detector, root / "t.parquet", tmp_path / "out", cluster="local", progress=Killing()
    )
    assert parquet.read_table(tmp_path / "out").equals(undisturbed)
    lines = [line for line in caplog.messages if line.startswith("cluster: a worker on ")]
    assert len(lines) >= 3
    assert any("; rows " in line for line in lines)


class Steps:
    """The context of a task, in which steps end workers."""

    def __init__(self, kills):
        self._kills = kills

    def __enter__(self):
        return self._step

    def __exit__(self, *_):
        pass

    def _step(self, _):
        if next(self._kills, None) is not None:
            os.kill(a_worker().pid, signal.SIGKILL)


def a_worker():
    """A worker of this cluster that runs."""
    while True:
        for process in psutil.Process().children(recursive=True):
            try:
                command, status = process.cmdline(), process.status()
            except psutil.Error:
                continue
            is_worker = bool(command) and command[0].startswith(WORKER)
            if is_worker and status != psutil.STATUS_ZOMBIE:
                return process
        time.sleep(0.02)


def test_a_run_goes_on_here_that_began_on_a_cluster(root, detector, undisturbed, tmp_path):
    out = tmp_path / "out"
    predict_to_parquet(detector, root / "t.parquet", out, cluster="local")
    for number in (0, 5, 7):
        (out / f"part-{number:06}.parquet").unlink()
    count = predict_to_parquet(detector, root / "t.parquet", out)
    assert (count.total, count.kept) == (N_ROWS, N_ROWS - 3 * 50)
    found = parquet.read_table(out)
    assert found.column("verdict").equals(undisturbed.column("verdict"))
    with pytest.raises(DataError, match="whose photographs_sha256, photographs differ"):
        predict_to_parquet(detector, root / "in", out, cluster="local")


def test_the_command_takes_an_address(capsys, root, undisturbed, tmp_path):
    arguments = [root / "d.patchbank", root / "t.parquet", "--parquet", tmp_path / "out"]
    status, printed, noted = command_line.run(capsys, "predict", *arguments, "--cluster", "local")
    assert status == 1
    assert printed.endswith("13 not readable\n")
    assert noted.count("error: in/bad.png: expected a PNG") == 13
    assert parquet.read_table(tmp_path / "out").equals(undisturbed)


def blocks_of(*numbers):
    return [Block(number, 10 * number, ["a.png"] * 10, "/") for number in numbers]


def test_blocks_are_taken_as_workers_have_room():
    taken = []

    def given():
        for block in blocks_of(*range(40)):
            taken.append(block.number)
            yield block

    done = 0
    workers = Workers(lambda block: block.number, lambda *_: pytest.fail("none dies"))
    for block, result in workers.results(given(), at_most=2):
        assert result == block.number
        done += 1
        assert len(taken) <= done + 2 * 2
    assert sorted(taken) == list(range(40))
    assert done == 40


def test_what_the_work_raises_is_raised():
    def refuse(block):
        raise DataError(f"{block}: expected more")

    workers = Workers(refuse, lambda *_: pytest.fail("none dies"))
    with pytest.raises(DataError, match="^rows 0 to 9: expected more$"):
        list(workers.results(iter(blocks_of(0)), at_most=1))

    def fail(block):
        raise ZeroDivisionError

    workers = Workers(fail, lambda *_: pytest.fail("none dies"))
    with pytest.raises(ray.exceptions.RayTaskError, match="ZeroDivisionError"):
        list(workers.results(iter(blocks_of(0)), at_most=1))


def test_a_block_on_which_workers_die_again_and_again_is_an_error_of_one_line():
    def die(block):
        if block.number == 1:
            os._exit(1)
        return block.number

    died = []
    workers = Workers(die, lambda machine, block: died.append(block))
    with pytest.raises(ClusterError, match=f"it died {MOST_DEATHS} times in a row") as said:
        list(workers.results(iter(blocks_of(0, 1)), at_most=1))
    assert "with rows 10 to 19" in str(said.value)
    assert "\n" not in str(said.value)
    assert [block.number for block in died if block is not None].count(1) == MOST_DEATHS - 1


class Unopened:
    """Work that no process can take."""

    def __reduce__(self):
        return os._exit, (1,)


def test_work_on_which_workers_die_before_they_begin_is_an_error_of_one_line():
    workers = Workers(Unopened(), lambda *_: None)
    with pytest.raises(ClusterError, match="before its first block") as said:
        list(workers.results(iter(blocks_of(0)), at_most=1))
    assert "\n" not in str(said.value)


def test_a_driver_that_is_killed_goes_on_and_leaves_no_process(root, undisturbed, tmp_path):
    out = tmp_path / "out"
    code = "from patchbank.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(root / "d.patchbank")]
    command += [str(root / "t.parquet"), "--parquet", str(out), "--cluster", "local"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(out.glob("part-*"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    # Agents of Ray take a minute to notice; what computes must not go on.
    children = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.name().startswith((WORKER, "raylet"))
    ]
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(out.glob("part-*")))
    assert 2 <= done < 8
    _, left = psutil.wait_procs(children, timeout=60)
    assert [p.name() for p in left if p.status() != psutil.STATUS_ZOMBIE] == []
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1, again.stderr
    assert f"note: {50 * done} results were there already" in again.stderr
    assert parquet.read_table(out).equals(undisturbed)
