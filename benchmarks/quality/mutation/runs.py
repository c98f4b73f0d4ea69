"""Which tests reach a line, and whether they notice a mutant of it.

A run of the tests is a fork of this process, which has the libraries imported and the package not.
It works in a copy of the tree, so that neither the checkout nor another run is touched.

- `Baseline` is measured once: a run under coverage says which test executes which line (commands
  that tests start included), another one without says how long each takes and that it passes.
- What fixtures of a module do counts for every test that asks for them; what a file of tests does
  when it is imported, for all in it.  Caches of the package are emptied before each test, or only
  the first would be seen to fill them.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

LIBRARIES = (
    *("numpy", "numpy.ma", "scipy.ndimage", "scipy.sparse", "scipy.special", "scipy.spatial"),
    *("PIL.Image", "onnxruntime", "faiss", "safetensors.numpy", "array_api_compat", "psutil"),
    *(
        "typer.testing",
        "rich.progress",
        "jinja2",
        "hypothesis.strategies",
        "hypothesis.extra.numpy",
    ),
    *("sklearn.metrics", "onnx", "torch", "timm"),
)
COVERAGE = """\
[run]
core = ctrace
source = {source}
data_file = {data}
parallel = true
context = ${{{variable}-}}
sigterm = true
patch = _exit
"""
RUNNING = "MUTANTS_TEST"  # environment variable: what the lines of a child process belong to
NEVER_MORE_BYTES = 12 << 30  # of address space
STARTING_MAY_TAKE_S = 300
NEW_TEST_MAY_TAKE_S = 1200  # of which no time is known
A_TEST_MAY_TAKE_S = 20  # and five times what it took, or the longest of its file
SLOW_SETUP_S = 0.3  # from here the tests of a file stay together, and share what was set up


@dataclass(frozen=True)
class Test:
    """What the baseline knows of a test."""

    name: str
    seconds: float
    cpu_seconds: float  # what it started included: this is what other programs change least
    setup: float
    fixtures: tuple[str, ...]  # those that are shared with others

    @property
    def file(self) -> str:
        """The file that it is in."""
        return self.name.partition("::")[0]


def import_libraries() -> None:
    """Import what tests import, once for all runs; what is not installed is left out."""
    warnings.simplefilter("ignore")  # a deprecation in one of them is not our matter
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    warnings.resetwarnings()
    gc.freeze()


def copy_tree(root: Path, to: Path) -> None:
    """Copy what git tracks or would track, and the compiled kernel."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    files = [name for name in listed.split("\0") if name and (root / name).is_file()]
    files += [path.relative_to(root).as_posix() for path in (root / "src").rglob("*.so")]
    for name in files:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, to / name)


class Watcher:
    """The pytest plugin of a run: chooses, orders, limits and notes tests."""

    def __init__(self, out: Path, tests: list[Test] | None, limits: Mapping[str, float]) -> None:
        self.out, self.tests, self.limits = out, tests, limits
        self.times: dict[str, dict[str, float]] = defaultdict(dict)
        self.began = 0.0

    def say(self, **line: Any) -> None:
        """Note it where the parent reads it."""
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
        """End the process when a test hangs, wherever it does."""
        self.began = sum(os.times()[:4])
        signal.alarm(int(self.limits.get(item.nodeid, NEW_TEST_MAY_TAKE_S)) + 1)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note failures, and times at the end of a test."""
        times = self.times[report.nodeid]
        times[report.when] = report.duration
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message if crash else str(report.longrepr)
            self.say(failed=report.nodeid, message=message.strip()[:300])
        if report.when == "call" and report.outcome == "passed":
            times["passed"] = 1.0
        if report.when == "teardown":
            self.say(ended=report.nodeid, **times, cpu=sum(os.times()[:4]) - self.began)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note files that cannot be imported."""
        if report.failed:
            self.say(failed=report.nodeid, message=str(report.longrepr).strip()[-300:])


class Tracer:
    """The pytest plugin that says to whom executed lines belong."""

    def __init__(self, watcher: Watcher, coverage: Any) -> None:
        self.watcher, self.coverage, self.running = watcher, coverage, ""

    def switch(self, to: str) -> str:
        """Lines belong to another one from here on.  -> the one before."""
        before, self.running = self.running, to
        os.environ[RUNNING] = to
        self.coverage.switch_context(to)
        return before

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """Give what a file does on import to the file."""
        before = self.switch(f"file {collector.nodeid.partition('::')[0]}")
        try:
            return (yield)
        finally:
            self.switch(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Give lines to a test."""
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
        self.watcher.say(shared=shared, of=item.nodeid)
        self.switch(f"test {item.nodeid}")
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Give what is set up for several tests to the fixture."""
        shared = fixturedef.scope != "function"
        before = self.switch(_name(fixturedef)) if shared else self.running
        try:
            return (yield)
        finally:
            self.switch(before)


def _name(fixture: Any) -> str:
    return f"fixture {fixture.baseid}::{fixture.argname}"


@dataclass
class Run:
    """A process that tests one copy of the tree."""

    tree: Path
    folder: Path  # what it writes
    pid: int = 0

    @property
    def notes(self) -> Path:
        """What the watcher says."""
        return self.folder / "notes.jsonl"

    def start(
        self,
        tests: list[Test] | None = None,
        limits: Mapping[str, float] | None = None,
        *,
        traced: bool = False,
        writes_bytecode: bool = False,
        options: tuple[str, ...] = (),
    ) -> None:
        """Fork, and run `tests` in their order, or all."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        sys.stdout.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # BLAS threads: they are idle
            self.pid = os.fork()
        if self.pid:
            return
        code = 70
        try:
            self._enter(writes_bytecode)
            code = self._test(tests, limits or {}, traced, list(options))
        except BaseException as error:  # nothing of the parent may run here
            Watcher(self.notes, None, {}).say(failed="", message=repr(error))
        finally:
            os._exit(code)

    def _enter(self, writes_bytecode: bool) -> None:
        os.setsid()  # what it starts is ended with it
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(STARTING_MAY_TAKE_S)
        resource.setrlimit(resource.RLIMIT_AS, (NEVER_MORE_BYTES, NEVER_MORE_BYTES))
        log = os.open(self.folder / "log.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for to, source in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
            os.dup2(source, to)
        os.chdir(self.tree)
        sys.path.insert(0, str(self.tree / "src"))
        scratch = self.folder / "tmp"
        scratch.mkdir()
        tempfile.tempdir = None
        os.environ |= {"PYTHONPATH": str(self.tree / "src"), "TMPDIR": str(scratch)}
        sys.dont_write_bytecode = not writes_bytecode
        if not writes_bytecode:  # of a mutant it would be taken for that of the file
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        import hypothesis

        same = {"derandomize": True, "database": None, "deadline": None}
        hypothesis.settings.register_profile("mutants", **same)
        hypothesis.settings.load_profile("mutants")

    def _test(
        self,
        tests: list[Test] | None,
        limits: Mapping[str, float],
        traced: bool,
        options: list[str],
    ) -> int:
        watcher = Watcher(self.notes, tests, limits)
        plugins: list[Any] = [watcher]
        # Pytest would like to rewrite assertions of plugins that are imported already.
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        options += ["-p", "no:cacheprovider", "-c", str(self.tree / "pyproject.toml")]
        options += ["--rootdir", str(self.tree), "--basetemp", str(self.folder / "tmp" / "pytest")]
        if tests is not None:
            options += dict.fromkeys(test.file for test in tests)
        if not traced:
            return int(pytest.main(options, plugins=plugins))
        import coverage

        source, data = self.tree / "src" / "patchbank", self.folder / "coverage"
        config = self.folder / "measure.ini"
        config.write_text(COVERAGE.format(source=source, data=data, variable=RUNNING))
        measured = coverage.Coverage(config_file=str(config))
        os.environ["COVERAGE_PROCESS_START"] = str(config)  # and of what tests start
        measured.start()
        code = int(pytest.main(options, plugins=[*plugins, Tracer(watcher, measured)]))
        measured.stop()
        measured.save()
        return code

    def wait(self) -> int:
        """Wait for its end.  -> exit code, negative for a signal."""
        return self.ended(os.waitpid(self.pid, 0)[1])

    def ended(self, status: int) -> int:
        """End what it left behind.  -> exit code, negative for a signal."""
        self._kill()
        self.pid = 0
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        return os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """End it now, if it runs."""
        if self.pid:
            self._kill()
            self.wait()

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def said(self) -> list[dict[str, Any]]:
        """Read what the watcher noted."""
        if not self.notes.exists():
            return []
        return [json.loads(line) for line in self.notes.read_text().splitlines()]


@dataclass
class Baseline:
    """The tests as they are without a mutant, and who reaches which line."""

    tests: dict[str, Test]
    not_passed: list[str]  # skipped or failed; they notice nothing
    lines: dict[str, dict[int, list[str]]]  # of each file below src: line -> who executes it

    @classmethod
    def measured(cls, traced: Run, plain: Run, where: tuple[str, ...]) -> Baseline:
        """Run the tests in two processes: all, or those in some files."""
        traced.start(traced=True, writes_bytecode=True, options=where)
        plain.start(writes_bytecode=True, options=where)
        for run in (plain, traced):
            code = run.wait()
            if code not in (0, 1):  # all passed, or some failed
                log = (run.folder / "log.txt").read_text()[-2000:]
                raise SystemExit(f"the tests were not run to their end (exit code {code})\n{log}")
        shared = {line["of"]: tuple(line["shared"]) for line in traced.said() if "of" in line}
        ended = {line["ended"]: line for line in plain.said() if "ended" in line}
        failed = {line["failed"] for line in plain.said() if "failed" in line}
        good = [name for name, line in ended.items() if "passed" in line and name not in failed]
        tests = {}
        for name in good:
            line = ended[name]
            took = [line[when] for when in ("setup", "call", "teardown")]
            tests[name] = Test(name, sum(took), line["cpu"], took[0], shared.get(name, ()))
        lines = _executed(traced.folder / "coverage", traced.tree / "src")
        return cls(tests, sorted({*ended, *failed} - set(good)), lines)

    def save(self, path: Path) -> None:
        """Write it for the next start."""
        tests = {name: asdict(test) for name, test in self.tests.items()}
        record = {"tests": tests, "not_passed": self.not_passed, "lines": self.lines}
        path.write_text(json.dumps(record))

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read what `save` wrote."""
        record = json.loads(path.read_text())
        tests = {
            name: Test(**test | {"fixtures": tuple(test["fixtures"])})
            for name, test in record["tests"].items()
        }
        lines = {
            path: {int(line): who for line, who in of.items()}
            for path, of in record["lines"].items()
        }
        return cls(tests, record["not_passed"], lines)

    def limits(self) -> dict[str, float]:
        """Seconds after which each test hangs, the set-up of its fixtures included."""
        longest: dict[str, float] = defaultdict(float)
        for test in self.tests.values():
            longest[test.file] = max(longest[test.file], test.seconds)
        names = [*self.tests, *self.not_passed]
        return {name: A_TEST_MAY_TAKE_S + 5 * longest[name.partition("::")[0]] for name in names}


def _executed(data: Path, src: Path) -> dict[str, dict[int, list[str]]]:
    """Combine what the processes measured."""
    from coverage import CoverageData

    lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for part in data.parent.glob(f"{data.name}.*"):
        measured = CoverageData(str(part))
        measured.read()
        for name in measured.measured_files():
            path = Path(name).relative_to(src).as_posix()
            for line, contexts in measured.contexts_by_lineno(name).items():
                lines[path][line] |= {context for context in contexts if context}
    return {path: {line: sorted(who) for line, who in of.items()} for path, of in lines.items()}
