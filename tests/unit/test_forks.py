"""Forks of a process whose threads compute: children compute the same, or say why they do not."""

import os
import subprocess
import sys
import threading

import pytest

from patchbank import PatchbankError
from patchbank.runtime.forks import Computations
from patchbank.runtime.once import BuiltOnce

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

START = """
import os, signal, sys, threading, time
from patchbank import PatchCore, PatchbankError
from tests.photographs import part, parts

RECIPE = PatchCore(
    backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2, bank_limit=200, INDEX
)

def in_child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # ends a child that hangs
        result = work()
        print(result, flush=True)
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def output(code, index="exact"):
    """Lines that a program prints; a hang is an error."""
    code = START.replace("INDEX", f"index={index!r}") + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


BUSY = """
detector = RECIPE.fit(parts(8))
image = part(9, defect=9)
expected = detector.predict(image).score
done = threading.Event()
wrong = []

def predict_one():
    while not done.is_set():
        wrong.extend({detector.predict(image).score} - {expected})

def predict_many():
    while not done.is_set():
        wrong.extend({seen.score for seen in detector.predict_each([image] * 4)} - {expected})

def work():
    one, many = detector.predict(image), list(detector.predict_each([image] * 4))
    return {one.score, *(seen.score for seen in many)} == {expected} and one.overlay().shape[2]

threads = [threading.Thread(target=target) for target in (predict_one, predict_many)]
for thread in threads:
    thread.start()
statuses = []
for n in range(FORKS):
    time.sleep(0.01 * (n % 3))
    statuses.append(in_child(work))
done.set()
for thread in threads:
    thread.join()
print(statuses, wrong)
"""


@pytest.mark.parametrize(
    ("index", "n_forks"),
    [("exact", 10), pytest.param("hnsw", 3, marks=pytest.mark.approximate)],
)
def test_children_that_are_forked_while_threads_predict_give_the_same_scores_and_end(
    index, n_forks
):
    *from_children, from_parent = output(BUSY.replace("FORKS", str(n_forks)), index)
    assert from_children == ["3"] * n_forks
    assert from_parent == f"{[7] * n_forks} []"


def test_a_child_of_a_process_that_is_fitting_says_that_it_cannot_compute():
    lines = output("""
from patchbank.runtime.progress import NullProgress
detector = RECIPE.fit(parts(8))

class Forks(NullProgress):
    '''Forks in the middle of the fit.'''
    def task(self, label, total):
        statuses.append(in_child(work))
        return super().task(label, total)

def work():
    try:
        detector.predict(part(0))
    except PatchbankError as error:
        return error
    return "computed"

statuses = []
RECIPE.fit(parts(8), progress=Forks())
print(set(statuses), in_child(work))
""")
    assert len(lines) >= 3
    assert all(line.startswith("process: expected one that was forked") for line in lines[:-2])
    assert lines[-2:] == ["computed", "{7} 7"]


def test_an_iteration_that_was_begun_by_the_parent_says_so_in_a_child():
    lines = output("""
detector = RECIPE.fit(parts(8))
stream = detector.predict_each(parts(8) * 3)
next(stream)

def work():
    try:
        next(stream)
    except PatchbankError as error:
        return error

status = in_child(work)
print(status, len(list(stream)))
""")
    assert lines[0].startswith("iteration: expected the process that began it, got one that was")
    assert lines[1:] == ["7 23"]


def test_a_pool_of_forked_workers_gives_the_scores_of_the_parent():
    assert output("""
import multiprocessing
detector = RECIPE.fit(parts(8))
expected = [seen.score for seen in detector.predict_each(parts(4))]

def scored(number):
    return detector.predict(parts(4)[number]).score

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(scored, range(4)) == expected)
""") == ["True"]


def began(target):
    thread = threading.Thread(target=target)
    thread.start()
    return thread


def test_a_fork_waits_for_what_runs_and_what_comes_waits_for_the_fork():
    computations = Computations()
    events, runs, may_end = [], threading.Event(), threading.Event()

    def running():
        with computations.short():
            runs.set()
            may_end.wait()
            events.append("computed")

    def coming():
        with computations.short():
            events.append("computed later")

    first = began(running)
    runs.wait()
    threading.Timer(0.1, may_end.set).start()
    computations.before_fork()
    events.append("fork")
    second = began(coming)
    second.join(0.1)
    assert events == ["computed", "fork"]
    computations.after_fork_in_parent()
    second.join()
    first.join()
    assert events == ["computed", "fork", "computed later"]


def test_a_fork_does_not_wait_for_its_own_thread_and_computations_may_be_nested():
    computations = Computations()
    with computations.short():
        computations.before_fork()
        with computations.short():
            computations.after_fork_in_parent()
    computations.before_fork()
    computations.after_fork_in_child()
    with computations.short():
        pass


def test_a_fork_that_waited_too_long_leaves_a_child_that_refuses_to_compute():
    computations = Computations(longest_wait_s=0.05)
    runs, may_end = threading.Event(), threading.Event()

    def running():
        with computations.short():
            runs.set()
            may_end.wait()

    thread = began(running)
    runs.wait()
    computations.before_fork()
    may_end.set()
    computations.after_fork_in_parent()
    thread.join()
    with computations.short():
        pass

    with computations.long():
        computations.before_fork()
        computations.after_fork_in_child()  # as if this was the child
    for computation in (computations.short, computations.long):
        with pytest.raises(PatchbankError, match="in the middle; fork before the fit"):
            computation().__enter__()


def test_a_value_that_has_threads_is_built_anew_and_the_old_one_is_never_ended():
    ended = []

    class Threads:
        def __del__(self):
            ended.append(self)

    built = BuiltOnce(Threads, Threads())
    parent = id(built())
    built.forget()
    assert id(built()) != parent
    assert not ended
