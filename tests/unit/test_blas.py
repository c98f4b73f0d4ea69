"""Threads of BLAS, where several of our own compute products."""

import numpy as np
import pytest

from patchbank.runtime.blas import _threads, one_thread_of_blas

openblas = pytest.mark.skipif(_threads() is None, reason="numpy computes with another library")


@openblas
def test_blas_has_one_thread_within_the_context_and_as_many_as_before_after_it():
    threads = _threads()
    before = threads.read()
    try:
        threads.set(2)
        with one_thread_of_blas():
            assert threads.read() == 1
            with one_thread_of_blas():
                assert threads.read() == 1
            assert threads.read() == 1
        assert threads.read() == 2
    finally:
        threads.set(before)


@openblas
def test_an_error_gives_the_threads_back():
    threads = _threads()
    before = threads.read()
    try:
        threads.set(2)
        with pytest.raises(ZeroDivisionError), one_thread_of_blas():
            1 / 0  # noqa: B018
        assert threads.read() == 2
    finally:
        threads.set(before)


def test_products_are_the_same():
    a = np.arange(12.0).reshape(3, 4)
    with one_thread_of_blas():
        assert np.array_equal(a @ a.T, [[14, 38, 62], [38, 126, 214], [62, 214, 366]])
