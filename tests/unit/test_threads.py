"""Images side by side: in order, bounded, and nothing left behind."""

import gc
import os
import subprocess
import sys
import threading
import time

import pytest

from patchbank.runtime import threads
from patchbank.runtime.threads import (
    ITEMS_PER_CORE,
    MIN_PIXELS,
    map_in_order,
    parallel_ranges,
)


@pytest.fixture(autouse=True)
def nothing_of_earlier_tests():
    """An iteration that the error of an earlier test has kept is closed by the collector."""
    gc.collect()
    wait_for_own_threads()


def nothing(_):
    return 0


@pytest.fixture(params=[1, 2, 5])
def cores(request, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: request.param)
    return request.param


def test_the_order_is_kept_and_each_error_comes_with_its_item(cores):
    def work(number):
        time.sleep(0.002 * (number % 3))  # the later ones overtake
        if number == 3:
            raise ValueError("three")
        return number * 10

    outcomes = list(map_in_order(work, iter(range(20)), nothing))
    assert [item for item, _ in outcomes] == list(range(20))
    assert [f.result() for item, f in outcomes if item != 3] == [
        n * 10 for n in range(20) if n != 3
    ]
    with pytest.raises(ValueError, match="three"):
        outcomes[3][1].result()


def test_as_many_are_at_work_as_there_are_cores(cores):
    together = threading.Barrier(cores, timeout=30)  # breaks unless all come at once
    outcomes = list(map_in_order(lambda _: together.wait(), range(cores * 3), nothing))
    assert len([future.result() for _, future in outcomes]) == cores * 3


def test_only_a_few_are_taken_ahead(cores):
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    may_go_on = threading.Event()
    threading.Timer(0.2, may_go_on.set).start()
    stream = map_in_order(lambda _: may_go_on.wait(), items(), nothing)
    next(stream)
    assert cores <= len(taken) <= ITEMS_PER_CORE * cores + 1
    stream.close()


def test_of_large_ones_fewer_are_in_memory(cores):
    in_memory, most = set(), []

    def items():
        for number in range(12):
            most.append(len(in_memory))
            in_memory.add(number)
            yield number

    def work(number):
        time.sleep(0.01)

    for number, _ in map_in_order(work, items(), lambda _: MIN_PIXELS * 2 // 5):
        in_memory.remove(number)
    # two fit beside each other; the third is in the caller's hands until there is room
    assert max(most) <= 2
    assert cores == 1 or max(most) == 2


def test_one_larger_than_all_that_may_be_in_memory_goes_alone():
    outcomes = list(map_in_order(str, range(3), lambda _: MIN_PIXELS * 9))
    assert [future.result() for _, future in outcomes] == ["0", "1", "2"]


def test_items_that_come_slowly_are_not_kept_until_more_have_come(cores):
    behind = []

    def camera():
        for number in range(6):
            time.sleep(0.05)
            behind.append(number - len(seen))
            yield number

    seen = []
    for number, _ in map_in_order(str, camera(), nothing):
        seen.append(number)
    assert behind[-1] < ITEMS_PER_CORE * cores


def own_threads():
    return [t for t in threading.enumerate() if t.name.startswith("patchbank-images")]


def wait_for_own_threads(seconds=30):
    """Wait until no thread of an iteration runs."""
    deadline = time.monotonic() + seconds
    while own_threads() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not own_threads()


def test_an_abandoned_iteration_leaves_no_thread_and_begins_nothing_more(cores):
    begun = []

    def work(number):
        begun.append(number)
        time.sleep(0.01)

    stream = map_in_order(work, range(1000), nothing)
    next(stream)
    del stream
    wait_for_own_threads()
    count = len(begun)
    time.sleep(0.05)
    assert len(begun) == count < 1000


def test_an_error_of_the_iterator_of_items_passes_and_leaves_no_thread():
    def items():
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(map_in_order(str, items(), nothing))
    assert not own_threads()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
def test_ctrl_c_ends_the_iteration():
    code = """
import time
from patchbank.runtime.threads import map_in_order
for _ in map_in_order(lambda _: time.sleep(0.01), iter(int, 1), lambda _: 0):
    print("going", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.send_signal(2)
    _, told = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in told
    assert process.returncode != 0


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not bind threads to cores"
)
def test_cores_are_counted_that_this_process_may_use():
    core = min(os.sched_getaffinity(0))
    code = f"""
import os
os.sched_setaffinity(0, [{core}])
from patchbank.runtime.threads import usable_cores
print(usable_cores())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_an_error_of_a_part_ends_the_others_before_it_is_raised(cores):
    at_work, begun = [], []

    def part(begin, end):
        begun.append(begin)
        at_work.append(begin)
        time.sleep(0.002)
        at_work.remove(begin)
        if begin == 6:
            raise ValueError("the fourth")

    with pytest.raises(ValueError, match="the fourth"):
        parallel_ranges(part, 2000, 2)
    assert at_work == []
    assert len(begun) < 50


COLLECTED_INSIDE_SUBMIT = """
import concurrent.futures.thread as pools
import faulthandler, gc, sys, threading
from patchbank.runtime import threads
from patchbank.runtime.threads import map_in_order, parallel_ranges

faulthandler.dump_traceback_later(60, exit=True)
threads.usable_cores = lambda: 3
gc.disable()
another_runs, may_go_on = threading.Event(), threading.Event()
collections = []

class Future(pools._base.Future):
    def __init__(self):
        super().__init__()
        if threading.current_thread() is threading.main_thread() and armed:
            may_go_on.set()
            collections.append(gc.collect())  # while `submit` holds the lock of all pools

def work(item):
    if item == 0:
        another_runs.wait()
        return item
    another_runs.set()
    may_go_on.wait()
    parallel_ranges(lambda begin, end: None, 100, 1)  # as every search does: it needs that lock
    return item

pools._base.Future = Future
armed = False
"""


def finished(code):
    """Run code that hangs on a deadlock, which ends it with the stacks of all threads."""
    code = COLLECTED_INSIDE_SUBMIT + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_collector_may_close_an_abandoned_iteration_while_a_lock_is_held():
    found = finished("""
def abandon():
    stream = map_in_order(work, range(50), lambda item: 0)
    next(stream)
    cycle = [stream]
    cycle.append(cycle)

abandon()
armed = True
parallel_ranges(lambda begin, end: None, 100, 1)
print("done", len(collections))
""")
    assert found[0] == "done"
    assert int(found[1]) > 0


def test_an_error_that_was_handled_leaves_no_iteration_to_the_collector():
    found = finished("""
import weakref
import patchbank.images.several as module
from patchbank.detector.detector import Detector
from patchbank.errors import ImageError
from patchbank.images.source import image_source

class Stub:
    predict_each = Detector.predict_each
    def _inspect(self, source, *, keep_image):
        if work(int(source.name)) == 0:
            raise ImageError("0: expected an image, got none")

opened = []
def watched(*given):
    stream = map_in_order(*given)
    opened.append(weakref.ref(stream))
    return stream
module.map_in_order = watched

def use():
    stream = Stub().predict_each([image_source(b"", str(n)) for n in range(50)])
    try:
        next(stream)
    except ImageError:
        print("handled")

use()
print([each() for each in opened])
armed = True
parallel_ranges(lambda begin, end: None, 100, 1)
print("done", len(collections) > 0)
""")
    assert found == ["handled", "[None]", "done", "True"]


def test_no_more_threads_are_used_than_gain_by_it(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    inside, most, both = set(), [], threading.Barrier(2)

    def work(number):
        inside.add(number)
        both.wait(10)  # two at once, or the test fails
        most.append(len(inside))
        both.wait(10)
        inside.remove(number)
        return number

    found = map_in_order(work, range(8), lambda _: 0, 2)
    assert [future.result() for _, future in found] == list(range(8))
    assert max(most) == 2
