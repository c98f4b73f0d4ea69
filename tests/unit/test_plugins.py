"""Tables that installed packages extend: what is found, what is refused, what is imported."""

import json
import os
import re
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from benchmarks.quality.detector_files.seeds import seeds

from patchbank.detector.bundle import Bundle, write_bundle
from patchbank.errors import ParameterError, PluginWarning
from patchbank.runtime.plugins import PluginTable
from tests.packages import write_package

GROUP = "patchbank.tests"


def check(name, entry):
    if not isinstance(entry, int):
        raise TypeError(f"expected a number, got {entry!r}")
    return entry


def table(check=check):
    return PluginTable(
        group=GROUP,
        title="number",
        built_in={"two": 2, "one": 1},
        reserved=("zero",),
        check=check,
        error=ParameterError,
    )


@pytest.fixture
def install(tmp_path, monkeypatch):
    """-> a function that installs a package; its modules are forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name, code, **points):
        write_package(tmp_path, name, GROUP, points, code)

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_without_packages_there_are_the_built_in_entries_in_their_order():
    assert list(table().items()) == [("two", 2), ("one", 1)]
    assert table().declared_names() == ("two", "one")
    assert len(table()) == 2


def test_entries_of_packages_come_after_the_built_in_ones(install):
    install("numbers-b", "SIX, FIVE = 6, 5", six="numbers_b:SIX", five="numbers_b:FIVE")
    install("numbers-a", "NINE = 9", nine="numbers_a:NINE")
    found = table()
    assert list(found.items()) == [("two", 2), ("one", 1), ("five", 5), ("nine", 9), ("six", 6)]
    assert found["nine"] == 9
    assert (found.package_of("nine"), found.package_of("one")) == ("numbers-a 1.0", None)
    assert "nine" in found
    assert "seven" not in found


def test_a_package_is_imported_when_its_entry_is_asked_for_and_not_before(install):
    install("numbers-a", "NINE = 9", nine="numbers_a:NINE")
    install("numbers-b", "FIVE = 5", five="numbers_b:FIVE")
    found = table()
    assert found["two"] == 2
    assert found.declared_names() == ("two", "one", "five", "nine")
    assert "seven" not in found
    assert not {"numbers_a", "numbers_b"} & set(sys.modules)
    assert found["nine"] == 9
    assert "numbers_b" not in sys.modules


def test_threads_that_ask_at_the_same_time_load_a_package_once(install):
    install("numbers-a", "NINE = 9", nine="numbers_a:NINE")
    together, may_go_on, checked = threading.Barrier(3, timeout=30), threading.Event(), []

    def slow_check(name, entry):
        checked.append(name)
        assert may_go_on.wait(30)
        return check(name, entry)

    found = table(slow_check)

    def ask(_):
        together.wait()
        return found["nine"]

    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(ask, number) for number in range(3)]
        threading.Timer(0.1, may_go_on.set).start()
        assert [answer.result() for answer in answers] == [9, 9, 9]
    assert checked == ["nine"]


BROKEN = [
    ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ("raise SystemExit('no licence')", "SystemExit: no licence"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ("", "AttributeError: module 'broken_a' has no attribute 'BAD'"),
    ("BAD = 'nine'", "TypeError: expected a number, got 'nine'"),
]


@pytest.mark.parametrize(("code", "reason"), BROKEN)
def test_a_broken_package_is_named_with_the_reason_and_the_others_work(install, code, reason):
    install("broken-a", code, bad="broken_a:BAD")
    install("numbers-b", "FIVE = 5", five="numbers_b:FIVE")
    found = table()
    message = f"broken-a 1.0: its number 'bad' cannot be used: {reason}"
    with pytest.warns(PluginWarning) as caught:
        assert list(found) == ["two", "one", "five"]
    assert [str(warning.message) for warning in caught] == [message]
    with pytest.raises(ParameterError) as raised:
        found["bad"]
    assert str(raised.value) == message
    assert found["five"] == 5


def test_a_broken_package_is_named_once(install):
    install("broken-a", "1 / 0", bad="broken_a:BAD")
    found = table()
    with pytest.warns(PluginWarning):
        assert len(found) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(found) == 2


@pytest.mark.parametrize("name", ["two", "zero"])
def test_a_package_cannot_have_a_name_of_ours(install, name):
    install("numbers-a", "NINE = 9", **{name: "numbers_a:NINE", "nine": "numbers_a:NINE"})
    found = table()
    pattern = f"numbers-a 1.0: its number '{name}' cannot be used: the name belongs to patchbank"
    with pytest.warns(PluginWarning, match=pattern):
        assert dict(found) == {"two": 2, "one": 1, "nine": 9}
    assert found.declared_names() == ("two", "one", "nine")


def test_of_two_packages_with_one_name_the_second_is_refused(install):
    install("numbers-b", "NINE = 99", nine="numbers_b:NINE")
    install("numbers-a", "NINE = 9", nine="numbers_a:NINE")
    found = table()
    pattern = "numbers-b 1.0: its number 'nine' cannot be used: numbers-a 1.0 has the same name"
    with pytest.warns(PluginWarning, match=pattern):
        assert dict(found) == {"two": 2, "one": 1, "nine": 9}


BRITTLE = """
from patchbank.backbones import BackboneSource

class Brittle(BackboneSource):
    kind = "brittle"
    def accepts(self, name): return name == "brittle"
    def describe(self, name, normalisation): raise NotImplementedError
    def open(self, name, options): raise NotImplementedError
    def pack(self, extractor): raise NotImplementedError
    def restore(self, record, tensors, device, engine): return 1 / len(tensors.get("own", ()))

SOURCE = Brittle()
"""


def test_whatever_a_backbone_of_a_package_raises_names_the_package(tmp_path):
    write_package(
        tmp_path, "brittle-nets", "patchbank.backbones", {"brittle": "brittle_nets:SOURCE"}, BRITTLE
    )
    bundle = seeds(str(tmp_path / "tiny.onnx"))["patchcore"]
    record = json.loads(json.dumps(bundle.record))
    record["members"][0]["backbone"]["kind"] = "brittle"
    write_bundle(tmp_path / "a.patchbank", Bundle(bundle.tensors, record))
    code = "import sys, patchbank; patchbank.load(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.patchbank")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert "DetectorFileError: " in last
    reason = "its backbone 'brittle' cannot open the detector: ZeroDivisionError"
    assert re.search(f"brittle.nets.*: {reason}", last)
