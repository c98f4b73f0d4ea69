"""Threads pass in the order in which they come, and never more at once than may."""

from __future__ import annotations

import threading

import pytest

from patchbank.server.service.turns import Turns
from tests.server.real_servers import wait_until


def test_nobody_overtakes_whoever_waits():
    turns, order, threads = Turns(1), [], []

    def work(number):
        with turns:
            order.append(number)

    with turns:
        for number in range(6):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            wait_until(lambda: len(turns._waiting) == len(threads), "it waits")
    # The first was let in when this thread left: whoever comes now is behind all of them.
    work("late")
    for thread in threads:
        thread.join()
    assert order == [*range(6), "late"]


@pytest.mark.parametrize("n_at_once", [1, 3])
def test_no_more_are_in_than_may(n_at_once):
    turns, at_once, most = Turns(n_at_once), [], []

    def work():
        for _ in range(200):
            with turns:
                at_once.append(1)
                most.append(len(at_once))
                at_once.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= n_at_once
    assert turns._n_free == n_at_once


def test_a_failure_lets_the_next_one_in():
    turns = Turns(1)
    with pytest.raises(KeyError), turns:
        raise KeyError
    with turns:
        pass
    assert turns._n_free == 1
