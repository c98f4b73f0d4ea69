"""Plugins of pytest for one run: choose and log tests, and attribute executed lines to them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

RUNNING = "MUTANTS_TEST"  # environment variable: what the lines of a child process belong to
NEW_TEST_MAY_TAKE_S = 1200  # of which no time is known


@dataclass(frozen=True)
class Test:
    """A test in the baseline."""

    name: str
    seconds: float
    cpu_seconds: float  # of its processes too; other programs change this least
    setup: float
    fixtures: tuple[str, ...]  # shared with other tests

    @property
    def file(self) -> str:
        """The file that it is in."""
        return self.name.partition("::")[0]


class Watcher:
    """The pytest plugin of a run: chooses, orders, limits and logs tests."""

    def __init__(self, out: Path, tests: list[Test] | None, limits: Mapping[str, float]) -> None:
        self.out, self.tests, self.limits = out, tests, limits
        self.times: dict[str, dict[str, float]] = defaultdict(dict)
        self.began = 0.0

    def log(self, **line: Any) -> None:
        """Append a line to the log, which the parent reads."""
        with self.out.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the chosen tests in their order, and those of a name that is new."""
        if self.tests is None:
            return
        found = {item.nodeid: item for item in items}
        new = [item for name, item in found.items() if name not in self.limits]
        items[:] = [found[test.name] for test in self.tests if test.name in found] + new

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Log the start, and end the process when the test hangs."""
        self.log(started=item.nodeid)
        self.began = sum(os.times()[:4])
        signal.alarm(int(self.limits.get(item.nodeid, NEW_TEST_MAY_TAKE_S)) + 1)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Log failures, and times at the end of a test."""
        times = self.times[report.nodeid]
        times[report.when] = report.duration
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message if crash else str(report.longrepr)
            self.log(failed=report.nodeid, message=message.strip()[:300])
        if report.when == "call" and report.outcome == "passed":
            times["passed"] = 1.0
        if report.when == "teardown":
            self.log(ended=report.nodeid, **times, cpu=sum(os.times()[:4]) - self.began)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Log files that cannot be imported."""
        if report.failed:
            self.log(failed=report.nodeid, message=str(report.longrepr).strip()[-300:])


class Tracer:
    """The pytest plugin that attributes executed lines to tests, fixtures and files."""

    def __init__(self, watcher: Watcher, coverage: Any) -> None:
        self.watcher, self.coverage, self.running = watcher, coverage, ""

    def switch(self, to: str) -> str:
        """Attribute lines to another one from here on.  -> the one before."""
        before, self.running = self.running, to
        os.environ[RUNNING] = to
        self.coverage.switch_context(to)
        return before

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """Attribute lines that a file executes on import to the file."""
        before = self.switch(f"file {collector.nodeid.partition('::')[0]}")
        try:
            return (yield)
        finally:
            self.switch(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Attribute lines to a test."""
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "patchbank":
                for value in list(vars(module).values()):
                    if hasattr(value, "cache_clear") and hasattr(value, "cache_info"):
                        value.cache_clear()
        definitions = getattr(item, "_fixtureinfo", None)
        shared = [
            _name(fixture)
            for fixtures in (definitions.name2fixturedefs.values() if definitions else ())
            for fixture in fixtures
            if fixture.scope != "function"
        ]
        self.watcher.log(test=item.nodeid, shared=shared)
        self.switch(f"test {item.nodeid}")
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Attribute the set-up for several tests to the fixture."""
        shared = fixturedef.scope != "function"
        before = self.switch(_name(fixturedef)) if shared else self.running
        try:
            return (yield)
        finally:
            self.switch(before)


def _name(fixture: Any) -> str:
    return f"fixture {fixture.baseid}::{fixture.argname}"
