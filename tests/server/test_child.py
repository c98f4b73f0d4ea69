"""Work in a process of its own: progress, results, and ends of every kind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from patchbank.errors import DataError
from patchbank.runtime.child import NICENESS, PARENT_GONE
from patchbank.server.service import child
from patchbank.server.service.child import run_in_child
from patchbank.server.service.child_work import ProgressLines
from patchbank.server.service.jobs import Cancelled, Job
from tests.photographs import part, save

pytestmark = pytest.mark.serve
WAIT_S = 60.0
SAYS = "import json, sys, time; request = json.loads(sys.stdin.readline()); "


@pytest.fixture
def job():
    return Job("setup", "bolts", "eva")


@pytest.fixture
def folder(tmp_path):
    """Three photographs, which are too few for a search for defects, so that a check is quick."""
    for seed in range(3):
        save(tmp_path / f"{seed}.png", part(seed))
    return tmp_path


def terms(photographs, **more):
    files = [str(path) for path in sorted(photographs.glob("*.png"))]
    return {"good": files, "device": "cpu", "engine": None, "in_use": None, **more}


def scripted(monkeypatch, code):
    """Let the process run other code."""
    monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", SAYS + code))


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]


def until(condition):
    for _ in range(int(WAIT_S / 0.01)):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(condition)


def test_a_check_is_that_of_the_library_with_names_and_no_paths(job, folder):
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:900])
    save(folder / "again.png", part(1))
    found = run_in_child(job, "check", terms(folder))
    kinds = {
        one["kind"]: [each["name"] for each in one["photographs"]] for one in found["findings"]
    }
    assert kinds == {"unreadable": ["cut.png"], "exact_copies": ["1.png", "again.png"]}
    assert str(folder) not in json.dumps(found)
    assert (job.title, job.n_done, job.n_total) == ("reading photographs", 5, 5)
    assert children() == []


def test_a_fit_leaves_what_its_page_needs_in_its_folder(job, folder, tmp_path):
    from patchbank import load

    made = tmp_path / "made"
    made.mkdir()
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:900])
    given = terms(folder, preset="fast", false_alarm_rate=0.2, folder=str(made))
    assert run_in_child(job, "fit", given) == {}
    facts = json.loads((made / "facts.json").read_bytes())
    detector = load(made / "detector.patchbank")
    assert facts["threshold"] == detector.calibration.threshold
    assert detector.calibration.false_alarm_rate == 0.2
    assert detector.fitted_on == ("0.png", "1.png", "2.png")
    assert sorted(one["name"] for one in facts["oddest"]) == ["0.png", "1.png", "2.png"]
    assert facts["unread"][0].startswith("cut.png: expected a readable image")
    assert facts["names"] == ["0.png", "1.png", "2.png", "cut.png"]
    assert sorted(path.name for path in made.glob("odd-*.jpg")) == [
        f"odd-{n}.jpg" for n in range(3)
    ]
    assert b"3 good photographs" in (made / "index.html").read_bytes()
    assert facts["file_bytes"] == (made / "detector.patchbank").stat().st_size


def test_an_error_of_the_library_is_its_line(job, folder, tmp_path):
    with pytest.raises(DataError, match="^false_alarm_rate: expected"):
        run_in_child(
            job, "fit", terms(folder, preset="fast", false_alarm_rate=7, folder=str(tmp_path))
        )
    missing = {"detectors": [["a" * 64, str(tmp_path / "a")]] * 2, "photographs": [], "folder": ""}
    with pytest.raises(DataError, match="/a: expected"):
        run_in_child(job, "compare", missing | {"device": "cpu", "engine": None})


def test_progress_and_notes_are_those_of_the_process(job, monkeypatch):
    scripted(
        monkeypatch,
        """
for line in ({"task": "reading", "total": 5}, {"done": 2}, {"note": "one is odd"}, {"done": 3},
             {"result": request["terms"]["x"]}):
    print(json.dumps(line), flush=True)
""",
    )
    assert run_in_child(job, "check", {"x": [1, None]}) == [1, None]
    assert (job.title, job.n_done, job.n_total, job.notes) == ("reading", 5, 5, ["one is odd"])


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9; is memory short?"),
        ("raise SystemExit(3)", "ended with status 3: nothing"),
        ("raise RuntimeError('a fault')", "ended with status 1: RuntimeError: a fault"),
        ("sys.stderr.write('x' * 5000); sys.exit(1)", "ended with status 1: " + "x" * 300),
    ],
)
def test_a_crash_is_one_clear_line(job, monkeypatch, code, line):
    scripted(monkeypatch, code)
    with pytest.raises(DataError) as crash:
        run_in_child(job, "fit", {})
    assert str(crash.value) == f"fit: expected its process to answer, got that it was {line}"
    assert children() == []


def test_a_process_that_never_starts_is_one_clear_line(job, monkeypatch):
    monkeypatch.setattr(child, "COMMAND", (sys.executable, "-m", "patchbank.no_such_module"))
    with pytest.raises(DataError, match="ended with status 1: .*No module named"):
        run_in_child(job, "fit", {})


def test_a_cancelled_job_ends_its_process_whatever_that_does(job, monkeypatch):
    scripted(
        monkeypatch,
        """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({"task": "learning", "total": None}), flush=True)
time.sleep(600)
""",
    )
    ended = []

    def work():
        try:
            run_in_child(job, "fit", {})
        except Cancelled:
            ended.append("cancelled")

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: job.title == "learning")
    assert len(children()) == 1
    job.cancel()
    thread.join(WAIT_S)
    assert ended == ["cancelled"]
    assert children() == []


def test_a_process_steps_back_and_ends_with_its_parent(folder):
    process = subprocess.Popen(
        child.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        request = {"work": "check", "terms": terms(folder)}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert first == {"task": "reading photographs", "total": 3}
        own = os.getpriority(os.PRIO_PROCESS, 0)
        nice = os.getpriority(os.PRIO_PROCESS, process.pid)
        assert nice == min(own + NICENESS, 19)
    finally:
        process.stdin.close()
        assert process.wait(WAIT_S) in (0, PARENT_GONE)
        process.stdout.close()


def test_a_service_that_is_killed_takes_its_processes_with_it(tmp_path):
    """The parent is a process of its own, which is killed while its child sleeps."""
    parent = tmp_path / "parent.py"
    parent.write_text(
        f"""
import sys
from patchbank.server.service import child
from patchbank.server.service.jobs import Job
child.COMMAND = (sys.executable, "-c", '''
import os, sys
from patchbank.runtime.child import end_with_parent, first_line
first_line(); end_with_parent()
open({str(tmp_path / "pid")!r} + ".new", "w").write(str(os.getpid()))
os.rename({str(tmp_path / "pid")!r} + ".new", {str(tmp_path / "pid")!r})
import time; time.sleep(600)
''')
child.run_in_child(Job("setup", "bolts", "eva"), "fit", {{}})
"""
    )
    process = subprocess.Popen([sys.executable, str(parent)])
    until((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid)
    process.send_signal(signal.SIGKILL)
    process.wait(WAIT_S)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def test_steps_are_said_now_and_then_and_none_is_lost():
    import io

    out = io.StringIO()
    lines = ProgressLines(out)
    with lines.task("learning", 1000) as step:
        for _ in range(1000):
            step(1)
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    assert said[0] == {"task": "learning", "total": 1000}
    assert sum(one["done"] for one in said[1:]) == 1000
    assert len(said) < 100
