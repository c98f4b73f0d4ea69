"""Forks: a child process starts while nothing is being computed, so that no lock is held in it.

A fork copies the memory of all threads, but only the thread that forks.  Where another thread is in
the middle of a matrix product, the child inherits the locks of BLAS without the thread that will
release them, and its first product waits for ever.  So computations are counted here, and a fork
waits until those that are running are done: as long as one inspection takes.
"""

from __future__ import annotations

# Before a fork these modules lock what computations need.  The handler that is registered last is
# called first: as they are imported before ours is registered, computations end before they lock.
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from patchbank.errors import PatchbankError

LONGEST_WAIT_S = 60.0
"""Limit of the time that a fork waits for the computations that are running."""


class Computations:
    """Counts the computations of this process; `computing` is the one for all detectors.

    Used by `os.register_at_fork`: `before_fork`, `after_fork_in_parent`, `after_fork_in_child`.
    """

    def __init__(self, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._longest_wait_s = longest_wait_s
        self._was_forked_while_busy = False
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._thread = threading.local()  # its `is_computing`: whether this thread does
        self._n_running = 0
        self._n_long = 0
        self._n_forks = 0  # that wait or are going on

    @contextmanager
    def short(self) -> Iterator[None]:
        """Context of a computation that a fork waits for; it begins after a fork that waits.

        Raises:
            PatchbankError: this process was forked during a computation.
        """
        if getattr(self._thread, "is_computing", False):
            yield
            return
        self._check()
        with self._changed:
            self._changed.wait_for(lambda: self._n_forks == 0)
            self._n_running += 1
        self._thread.is_computing = True
        try:
            yield
        finally:
            self._thread.is_computing = False
            with self._changed:
                self._n_running -= 1
                self._changed.notify_all()

    @contextmanager
    def long(self) -> Iterator[None]:
        """Context of a computation that a fork does not wait for: children then compute nothing.

        Raises:
            PatchbankError: this process was forked during a computation.
        """
        self._check()
        with self._changed:
            self._n_long += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_long -= 1

    def before_fork(self) -> None:
        """Wait until no other thread computes; none begins before the fork is done."""
        own = int(getattr(self._thread, "is_computing", False))
        with self._changed:
            self._n_forks += 1
            self._changed.wait_for(lambda: self._n_running == own, self._longest_wait_s)

    def after_fork_in_parent(self) -> None:
        """Let computations begin again."""
        with self._changed:
            self._n_forks -= 1
            self._changed.notify_all()

    def after_fork_in_child(self) -> None:
        """Begin anew: the threads that computed are not there."""
        own = int(getattr(self._thread, "is_computing", False))
        self._was_forked_while_busy = self._n_running > own or self._n_long > 0
        self._begin()

    def _check(self) -> None:
        if self._was_forked_while_busy:
            raise PatchbankError(
                "process: expected one that was forked while no other thread was fitting, got one "
                "that inherited a computation in the middle; fork before the fit, or start "
                "processes by spawn"
            )


def use_one_thread_of_openmp() -> None:
    """Let faiss and torch compute in one thread, here: their others stay with the parent.

    The library of OpenMP would wait for them.  Threads that begin in the child get their own.
    """
    for name, setting in (("faiss", "omp_set_num_threads"), ("torch", "set_num_threads")):
        set_threads = getattr(sys.modules.get(name), setting, None)
        if set_threads is not None:
            set_threads(1)


computing = Computations()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=computing.before_fork,
        after_in_parent=computing.after_fork_in_parent,
        after_in_child=computing.after_fork_in_child,
    )
    os.register_at_fork(after_in_child=use_one_thread_of_openmp)
