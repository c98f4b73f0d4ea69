"""Places are given in the order in which they are asked for, and never more than there are."""

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
    # The place was handed over when it was given back: whoever comes now is behind all of them.
    work("late")
    for thread in threads:
        thread.join()
    assert order == [*range(6), "late"]


@pytest.mark.parametrize("n_places", [1, 3])
def test_no_more_have_a_place_than_there_are(n_places):
    turns, at_once, most = Turns(n_places), [], []

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
    assert max(most) <= n_places
    assert turns._n_free == n_places


def test_a_failure_gives_the_place_back():
    turns = Turns(1)
    with pytest.raises(KeyError), turns:
        raise KeyError
    with turns:
        pass
    assert turns._n_free == 1
