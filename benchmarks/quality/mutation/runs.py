"""A run of the tests on a copy of the tree, in a process of its own.

The process is forked from this one, which has the libraries imported and the package not.  The
checkout and other runs are never written to.
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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .plugins import RUNNING, Test, Tracer, Watcher

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
NEVER_MORE_BYTES = 12 << 30  # of address space
STARTING_MAY_TAKE_S = 300
NO_CONFTEST = "ImportError while loading conftest"  # how pytest says it, with a usage error


def import_libraries() -> None:
    """Import what tests import, once for all runs; what is not installed is left out."""
    warnings.simplefilter("ignore")  # deprecations in libraries do not concern us
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    warnings.resetwarnings()
    gc.freeze()


def files_of_tree(root: Path) -> list[str]:
    """List what git tracks or would track, and the compiled kernel."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    files = [name for name in listed.split("\0") if name and (root / name).is_file()]
    kernels = [path.relative_to(root).as_posix() for path in (root / "src").rglob("*.so")]
    return sorted({*files, *kernels})


def copy_tree(root: Path, to: Path) -> None:
    """Copy the files of the tree."""
    for name in files_of_tree(root):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, to / name)


@dataclass
class Run:
    """A process that tests one copy of the tree."""

    tree: Path
    folder: Path  # for its log, output and temporary files
    pid: int = 0

    @property
    def log_path(self) -> Path:
        """File that the watcher writes its log to."""
        return self.folder / "log.jsonl"

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
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS, which are idle
            self.pid = os.fork()
        if self.pid:
            return
        code = 70
        try:
            self._enter(writes_bytecode)
            code = self._test(tests, limits or {}, traced, list(options))
        except BaseException as error:  # nothing of the parent may run here
            Watcher(self.log_path, None, {}).log(error=repr(error))
        finally:
            os._exit(code)

    def _enter(self, writes_bytecode: bool) -> None:
        os.setsid()  # processes that it starts are killed with it
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(STARTING_MAY_TAKE_S)
        resource.setrlimit(resource.RLIMIT_AS, (NEVER_MORE_BYTES, NEVER_MORE_BYTES))
        output = os.open(self.folder / "output.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for to, source in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
            os.dup2(source, to)
        os.chdir(self.tree)
        sys.path.insert(0, str(self.tree / "src"))
        scratch = self.folder / "tmp"
        scratch.mkdir()
        tempfile.tempdir = None
        os.environ |= {"PYTHONPATH": str(self.tree / "src"), "TMPDIR": str(scratch)}
        sys.dont_write_bytecode = not writes_bytecode
        if not writes_bytecode:  # a compiled mutant would be used in place of the file
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
        watcher = Watcher(self.log_path, tests, limits)
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
        os.environ["COVERAGE_PROCESS_START"] = str(config)  # also for processes that tests start
        measured.start()
        code = int(pytest.main(options, plugins=[*plugins, Tracer(watcher, measured)]))
        measured.stop()
        measured.save()
        return code

    def wait(self) -> int:
        """Wait for its end.  -> exit code, negative for a signal."""
        return self.ended(os.waitpid(self.pid, 0)[1])

    def ended(self, status: int) -> int:
        """Kill what it left behind.  -> exit code, negative for a signal."""
        self._kill()
        self.pid = 0
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        return os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """Kill it, if it runs."""
        if self.pid:
            self._kill()
            self.wait()

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def log(self) -> list[dict[str, Any]]:
        """Read what the watcher logged."""
        if not self.log_path.exists():
            return []
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def conftest_failed(self) -> bool:
        """Whether the tests were not collected because a conftest.py could not be imported."""
        output = self.folder / "output.txt"
        return output.exists() and NO_CONFTEST in output.read_text(errors="replace")
