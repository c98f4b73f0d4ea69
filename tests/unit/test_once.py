"""Values that are built at their first use, by several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from patchbank.methods import METHODS, PatchCoreSettings, TrainingImage
from patchbank.runtime.once import BuiltOnce
from tests.fitting import fit_on_features


def test_a_value_is_built_at_the_first_use_and_once():
    built = []
    value = BuiltOnce(lambda: built.append(1) or [7])
    assert built == []
    assert value() == [7]
    assert value() is value()
    assert built == [1]


def test_threads_that_ask_at_the_same_time_get_one_value():
    together = threading.Barrier(4, timeout=30)
    may_finish, built = threading.Event(), []

    def build():
        built.append(threading.current_thread().name)
        assert may_finish.wait(30)
        return object()

    value = BuiltOnce(build)

    def ask(_):
        together.wait()
        return value()

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, number) for number in range(4)]
        threading.Timer(0.1, may_finish.set).start()
        assert len({id(answer.result()) for answer in answers}) == 1
    assert len(built) == 1


def test_a_value_that_is_there_is_not_built():
    assert BuiltOnce(lambda: pytest.fail("built"), [3])() == [3]


def test_after_an_error_it_is_built_again():
    answers = iter([MemoryError(), [5]])

    def build():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    value = BuiltOnce(build)
    with pytest.raises(MemoryError):
        value()
    assert value() == [5]


def test_a_fitted_bank_is_freed_without_the_garbage_collector():
    import gc
    import weakref

    maps = np.random.default_rng(0).normal(size=(3, 4, 5, 7)).astype(np.float32)
    images = [TrainingImage([one], number) for number, one in enumerate(maps)]
    gc.collect()
    gc.disable()
    try:
        model = fit_on_features(
            METHODS["patchcore"], PatchCoreSettings(scales=(1.0,)), images, 3
        ).model
        model.score([maps[0]])
        reference = weakref.ref(model)
        del model
        assert reference() is None
    finally:
        gc.enable()
