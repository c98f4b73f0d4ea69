"""`patchbank benchmark` as a whole: workers, results, resuming after kills, and what goes wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from patchbank.benchmark.measure import measure
from patchbank.benchmark.method_spec import MethodSpec
from patchbank.benchmark.plan import make_plan
from patchbank.benchmark.results import locked
from patchbank.benchmark.runner import WORKER, Resources, _job
from patchbank.datasets import find_categories
from patchbank.runtime.child import PARENT_GONE
from patchbank.runtime.worker_pool import command
from tests import command_line
from tests.photographs import write_dataset

TINY = "tiny=patchcore:fast(image_size=96,bank_limit=150,start=random)"
OPTIONS = ("--methods", TINY, "--shots", "full,2", "--seeds", "1", "--device", "cpu")


def run(capsys, *arguments):
    """Run `patchbank benchmark`.  -> exit status, standard output, standard error."""
    return command_line.run(capsys, "benchmark", *arguments)


def started(*arguments):
    """The command in a process of its own."""
    code = "from patchbank.cli import main; main()"
    command = [sys.executable, "-c", code, "benchmark", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def rows(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def accuracy(out):
    lines = (out / "tables.csv").read_text().splitlines()
    return [line for line in lines if line.startswith("accuracy,")]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    write_dataset(folder / "nuts", n_train=4, n_good=3, n_defect=3)
    write_dataset(folder / "plates", n_train=5, n_good=3, n_defect=3, masks=False)
    return folder


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """The results of an undisturbed benchmark."""
    out = tmp_path_factory.mktemp("finished")
    process = started(root, "--out", out, "--workers", 2, *OPTIONS)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "[4/4] " in errors
    return out


def test_every_run_has_a_row_with_all_that_it_needs_to_be_understood(finished):
    found = rows(finished)
    assert len(found) == 4
    assert len({row["key"] for row in found}) == 4
    row = next(row for row in found if row["category"] == "nuts" and row["shots"] == 2)
    assert row["label"] == "tiny"
    assert row["settings"]["image_size"] == 96
    assert row["settings"]["seed"] == row["seed"]
    assert len(row["training_images"]) == 2
    assert row["image_auroc"] == 1.0
    assert 0.9 < row["pixel_auroc"] <= 1
    assert row["n_good"] == row["n_defect"] == 3
    assert 0 < row["ms_per_image"] < 60_000
    assert 0 < row["fit_seconds"] < 60
    assert 0 < row["model_bytes"] < row["file_bytes"]
    assert row["versions"]["patchbank"]
    assert row["machine"]["worker_cores"] == max(1, len(os.sched_getaffinity(0)) // 2)
    assert row["peak_memory_bytes"] > 30e6
    assert next(r for r in found if r["category"] == "plates")["aupro"] is None


def test_tables_and_page_stand_beside_the_results_and_nothing_else(finished):
    names = {path.name for path in finished.iterdir()}
    tables = {"tables.csv", "tables.md", "index.html"}
    assert names == {".lock", ".files.json", "results.jsonl", *tables}
    assert "| method | nuts | plates | mean |" in (finished / "tables.md").read_text()
    assert len(accuracy(finished)) == 2 * (4 + 2 + 4)  # without masks, two metrics are not there
    assert "<svg" in (finished / "index.html").read_text()


def test_what_is_done_is_not_done_again(capsys, root, finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    before = (out / "results.jsonl").read_bytes()
    status, printed, errors = run(capsys, root, "--out", out, *OPTIONS, "--json", "-")
    assert status == 0
    assert "4 of 4 runs are done already" in errors
    assert (out / "results.jsonl").read_bytes() == before
    assert json.loads(printed)["done"] == 4
    assert len(json.loads(printed)["figures"]) == len(accuracy(out)) + 2 * 5


def test_figures_of_other_files_are_never_shown_as_those_of_these(capsys, root, finished, tmp_path):
    """A photograph of the same name and size, with the times of the old one, is another."""
    out = shutil.copytree(finished, tmp_path / "out")
    copy = shutil.copytree(root, tmp_path / "copy")
    path = copy / "nuts" / "test" / "good" / "000.png"
    before, times = path.read_bytes(), path.stat()
    changed = before[:-5] + bytes([before[-5] ^ 1]) + before[-4:]  # the check of the last chunk
    path.write_bytes(changed)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    figures = tmp_path / "figures.json"
    figures.write_text("of an earlier benchmark")
    options = (*OPTIONS, "--json", figures, "--categories", "nuts", "--memory-gb", "0.001")
    _, _, errors = run(capsys, copy, "--out", out, *options)
    assert "are done already" not in errors
    assert "0 of 2 runs" in (out / "tables.md").read_text()
    assert json.loads(figures.read_text())["figures"] == []


def children(pid):
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in paths for child in path.read_text().split()]


def is_alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(condition):
    """Fails after a time that no machine needs."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_after_a_kill_no_worker_is_left_and_the_same_command_gives_the_same_tables(
    capsys, root, finished, tmp_path
):
    out = tmp_path / "out"
    process = started(root, "--out", out, *OPTIONS)
    wait_until(lambda: (out / "results.jsonl").exists() and children(process.pid))
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(is_alive(pid) for pid in workers))
    done = len(rows(out))
    assert 0 < done < 4
    with (out / "results.jsonl").open("a") as file:
        file.write('{"key": "cut by the ki')
    status, _, errors = run(capsys, root, "--out", out, "--workers", 2, *OPTIONS)
    assert status == 0
    assert f"{done} of 4 runs are done already" in errors
    assert accuracy(out) == accuracy(finished)
    assert len(rows(out)) == len({row["key"] for row in rows(out)}) == 4
    assert not (out / "cache").exists()


def test_a_worker_ends_at_once_when_its_parent_is_gone(root, tmp_path):
    plan = make_plan(find_categories(root), [MethodSpec.parse(TINY)])
    job = {**_job(plan.runs[0], tmp_path, Resources()), "cores": []}
    worker = subprocess.Popen(command(WORKER), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answer, _ = worker.communicate(json.dumps(job).encode() + b"\n")  # which closes its input
    assert worker.returncode == PARENT_GONE
    assert answer == b""


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not bind threads to cores"
)
def test_all_threads_of_a_worker_stay_on_its_cores():
    core = min(os.sched_getaffinity(0))
    code = f"""
import os
from patchbank.backbones import open_backbone
from patchbank.runtime.process import hold_to
backbone = open_backbone("efficientnet_lite0")
hold_to([{core}])
threads = [int(name) for name in os.listdir("/proc/self/task")]
print({{core for thread in threads for core in os.sched_getaffinity(thread)}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str({core})


def test_ctrl_c_ends_the_workers_and_says_how_to_go_on(root, tmp_path):
    process = started(root, "--out", tmp_path / "out", *OPTIONS)
    wait_until(lambda: children(process.pid))
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "of 4 runs done; the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert not any(is_alive(pid) for pid in workers)


def test_features_from_the_cache_give_the_same_figures(root, tmp_path):
    spec = MethodSpec.parse("tiny=patchcore:fast(image_size=96,bank_limit=150,rotations=2)")
    plan = make_plan(find_categories(root), [spec], shots=(3,), seeds=1)
    figures = []
    for cache_gb in (0, 1, 1):
        job = _job(plan.runs[0], tmp_path, Resources(cache_gb=cache_gb))
        figures.append(measure({**job, "cores": []}))
    stored = list((tmp_path / "cache").glob("*/*.features"))
    assert len(stored) == 2 * (3 * 2 + 6)  # at two scales: copies, and test images
    differing = ("fit_seconds", "ms_per_image", "peak_memory_bytes")
    plain, first, again = ({k: v for k, v in f.items() if k not in differing} for f in figures)
    assert plain == first == again


def test_a_run_that_needs_too_much_memory_is_one_line_and_is_tried_again(capsys, root, tmp_path):
    out = tmp_path / "out"
    options = (*OPTIONS, "--categories", "nuts", "--shots", "full")
    status, _, errors = run(capsys, root, "--out", out, *options, "--memory-gb", 0.02)
    assert status == 1
    assert "error: nuts, seed 0, tiny: expected at most 0.02 GB of memory, needs more" in errors
    assert not (out / "results.jsonl").exists()
    assert run(capsys, root, "--out", out, *options)[0] == 0
    assert len(rows(out)) == 1


def test_a_category_that_cannot_be_read_does_not_stop_the_others(capsys, root, tmp_path):
    broken = shutil.copytree(root, tmp_path / "sets")
    (broken / "nuts" / "test" / "good" / "001.png").write_bytes(b"no image")
    status, _, errors = run(
        capsys, broken, "--out", tmp_path / "out", "--methods", TINY, "--cache-gb", 0
    )
    assert status == 1
    assert "error: nuts, seed 0, tiny: nuts: expected images that can all be read, got 1" in errors
    assert [row["category"] for row in rows(tmp_path / "out")] == ["plates"]


def test_a_folder_in_use_is_left_alone(capsys, root, finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    with locked(out):
        status, _, errors = run(capsys, root, "--out", out, *OPTIONS)
    assert status == 2
    assert "no other benchmark writes" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "patchcore:fast,padimm"], "did you mean 'padim'?"),
        (["--methods", "patchcore,patchcore"], "methods: expected each label once"),
        (["--categories", "nutz"], "expected some of nuts, plates, got 'nutz'; did you mean"),
        (["--shots", "full,x"], "shots: expected full and numbers"),
        (["--shots", "99"], "shots: expected fewer: nuts: 4 training images"),
        (["--seeds", "0"], "seeds: expected an integer from 1 to"),
        (["--workers", "0"], "workers: expected an integer from 1 to"),
        (["--cache-gb", "-1"], "cache_gb: expected a number from 0 to"),
        (["--memory-gb", "0"], "memory_gb: expected a number, more than 0"),
        (["--device", "gpu"], "device: expected auto, cpu, cuda"),
        (["--dataset", "MVTek"], "dataset: expected one of"),
    ],
)
def test_wrong_use_is_one_line_before_anything_runs(capsys, root, tmp_path, options, message):
    status, printed, errors = run(capsys, root, "--out", tmp_path / "out", *options)
    assert status == 2
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert printed == ""
    assert not (tmp_path / "out").exists()


def test_a_copy_with_missing_images_is_refused_unless_allowed(capsys, tmp_path):
    for name in ("bottle", "zipper"):  # of MVTec AD, which has many more images of them
        write_dataset(tmp_path / "sets" / name, n_train=2, n_good=2, n_defect=2)
    command = (tmp_path / "sets", "--out", tmp_path / "out", "--methods", TINY)
    status, _, errors = run(capsys, *command)
    assert status == 2
    assert "bottle" in errors
    assert "--allow-incomplete" in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert run(capsys, *command, "--allow-incomplete")[0] == 0
    assert len(rows(tmp_path / "out")) == 2


def test_a_terminal_shows_a_bar(root, finished, tmp_path):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    out = shutil.copytree(finished, tmp_path / "out")
    code = "from patchbank.cli import main; main()"
    options = (*OPTIONS, "--categories", "nuts", "--shots", "full", "--full-seeds", "2")
    command = [sys.executable, "-c", code, "benchmark", str(root), "--out", str(out), *options]
    subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, check=True)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        shown = terminal.read(100_000).decode()
    assert "1 of 2 runs are done already" in shown
    assert "1/2" in shown
    assert "[2/2]" not in shown
