"""Work in parts on all cores: every number once, whatever happens."""

import threading

import pytest

from patchbank.runtime import threads
from patchbank.runtime.threads import map_in_order, parallel_ranges, usable_cores


@pytest.fixture(params=[1, 2, 5])
def cores(request, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: request.param)
    return request.param


def parts_of(n, size):
    """The parts that work was called with."""
    parts, lock = [], threading.Lock()

    def work(begin, end):
        with lock:
            parts.append((begin, end))

    parallel_ranges(work, n, size)
    return sorted(parts)


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [
        (0, 3, []),
        (2, 3, [(0, 2)]),
        (3, 3, [(0, 3)]),
        (7, 3, [(0, 3), (3, 6), (6, 7)]),
        (4, 1, [(0, 1), (1, 2), (2, 3), (3, 4)]),
    ],
)
def test_parts_have_the_size_asked_for_and_the_last_what_is_left(cores, n, size, expected):
    assert parts_of(n, size) == expected


def test_every_number_is_in_one_part(cores):
    numbers = [number for begin, end in parts_of(1003, 7) for number in range(begin, end)]
    assert numbers == list(range(1003))


def test_a_part_may_be_done_in_parts_itself(cores):
    done, lock = [], threading.Lock()

    def inner(begin, end):
        with lock:
            done.extend(range(begin, end))

    parallel_ranges(lambda begin, end: parallel_ranges(inner, end * 10, 3), 6, 1)
    assert sorted(done) == sorted(n for end in range(1, 7) for n in range(end * 10))


def test_the_work_is_over_when_the_call_returns(cores):
    running, most = [], []
    lock = threading.Lock()

    def work(begin, end):
        with lock:
            running.append(begin)
        with lock:
            most.append(len(running))
            running.remove(begin)

    parallel_ranges(work, 200, 1)
    assert running == []
    assert len(most) == 200


def test_one_part_is_done_by_the_caller(cores):
    names = []
    parallel_ranges(lambda begin, end: names.append(threading.current_thread()), 5, 5)
    assert names == [threading.current_thread()]


def test_parts_are_done_by_several_threads_at_once():
    if usable_cores() < 2:
        pytest.skip("this machine has one core")
    together = threading.Barrier(2, timeout=30)  # breaks unless two come at once
    parallel_ranges(lambda begin, end: together.wait(), 2, 1)
    assert not together.broken


def test_an_error_of_a_helper_is_raised_in_the_caller(cores):
    def work(begin, end):
        if begin == 0 or threading.current_thread() is not threading.main_thread():
            raise ValueError(f"part {begin}")

    with pytest.raises(ValueError, match="^part "):
        parallel_ranges(work, 50, 1)


def test_after_an_error_the_next_work_is_done_as_ever(cores):
    with pytest.raises(ZeroDivisionError):
        parallel_ranges(lambda begin, end: 1 // 0, 20, 1)
    assert parts_of(4, 2) == [(0, 2), (2, 4)]


def test_nothing_side_by_side_is_nothing(cores):
    assert list(map_in_order(str, [], lambda _: 1)) == []


def test_items_come_with_their_own_results(cores):
    outcomes = map_in_order(lambda word: word.upper(), ["b", "a", "c"], len)
    assert [(item, future.result()) for item, future in outcomes] == [
        ("b", "B"),
        ("a", "A"),
        ("c", "C"),
    ]


def test_items_are_asked_for_by_the_caller_alone(cores):
    asking = []

    def items():
        for number in range(9):
            asking.append(threading.current_thread())
            yield number

    list(map_in_order(str, items(), lambda _: 0))
    assert asking == [threading.current_thread()] * 9
