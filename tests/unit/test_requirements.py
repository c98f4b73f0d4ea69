"""Tests that need what is absent are skipped, and fail the session where they are required."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import REQUIREMENTS, requirements_of

ROOT = Path(__file__).parents[2]
# Nobody's environment decides these: the plugin sees a kernel, and neither torch nor pyarrow.
PLUGIN = """
from tests import requirements
from tests.requirements import *

present = {"kernel": True}
requirements.is_present = lambda name: present.get(name, False)
"""
TESTS = """
import pytest

@pytest.mark.kernel
def test_kernel():
    pass

@pytest.mark.parquet
@pytest.mark.parametrize("n", range(3))
def test_parquet(n):
    raise AssertionError("pyarrow is absent")

@pytest.mark.kernel
@pytest.mark.gpu
def test_kernel_and_gpu():
    raise AssertionError("there is no GPU")
"""


@pytest.fixture
def session(tmp_path):
    """Run pytest in a folder of its own -> exit status, what it printed."""
    (tmp_path / "simulated.py").write_text(PLUGIN)
    (tmp_path / "test_some.py").write_text(TESTS)

    def run(*options, require=""):
        command = [sys.executable, "-m", "pytest", "-p", "simulated", "-rs", "--strict-markers"]
        path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
        variables = {**os.environ, "PATCHBANK_REQUIRE": require, "PYTHONPATH": path}
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", "-p", "no:schemathesis", *options],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_what_is_absent_is_skipped_with_a_reason(session):
    status, printed = session()
    assert status == 0
    assert "1 passed, 4 skipped" in printed
    assert "parquet: expected pyarrow, got none; pip install '.[parquet]'" in printed


def test_a_required_marker_whose_tests_ran_passes_though_one_needs_what_is_not_required(session):
    status, printed = session(require="kernel")
    assert status == 0, printed


def test_a_required_marker_that_was_skipped_fails_the_session_and_is_counted(session):
    status, printed = session(require="kernel, parquet")
    assert status == 1
    assert (
        "PATCHBANK_REQUIRE: parquet: expected its tests to run, got 3 skipped "
        "(parquet: expected pyarrow, got none; pip install '.[parquet]')"
    ) in printed
    assert "PATCHBANK_REQUIRE: kernel" not in printed


def test_a_required_test_that_skips_itself_fails_the_session(session, tmp_path):
    text = 'import pytest\n\n@pytest.mark.kernel\ndef test_it():\n    pytest.skip("no mood")\n'
    (tmp_path / "test_more.py").write_text(text)
    status, printed = session(require="kernel")
    assert status == 1
    assert "PATCHBANK_REQUIRE: kernel: expected its tests to run, got 1 skipped\n" in printed


@pytest.mark.parametrize("options", [("-m", "parquet"), ("-k", "no_such_test")])
def test_a_required_marker_that_selects_no_test_fails_the_session(session, options):
    status, printed = session(*options, require="kernel")
    assert status == 1
    assert (
        "PATCHBANK_REQUIRE: kernel: expected a test that needs it, got none that ran\n" in printed
    )


def test_a_failure_stays_one_beside_what_is_required(session, tmp_path):
    (tmp_path / "test_more.py").write_text("def test_it():\n    assert False\n")
    status, printed = session(require="kernel")
    assert status == 1
    assert "1 failed" in printed


def test_a_name_that_is_no_requirement_is_refused(session):
    status, printed = session(require="kernell")
    assert status == 4
    assert "PATCHBANK_REQUIRE: expected some of torch, " in printed
    assert printed.strip().endswith("got 'kernell'")


@pytest.mark.parametrize("top", ["import torch", "pytestmark = pytest.mark.torch"])
def test_a_module_that_needs_what_is_absent_is_not_imported(session, tmp_path, top):
    text = f'import pytest\n{top}\nraise RuntimeError("imported")\n'
    (tmp_path / "test_more.py").write_text(text)
    (tmp_path / "more.py").write_text(text)
    status, printed = session("--doctest-modules", "-m", "torch")
    assert (status, "2 skipped" in printed) == (0, True), printed
    assert session("-m", "torch", "test_more.py", require="torch")[0] == 1


def test_doctests_of_a_module_have_its_marker(session, tmp_path):
    code = '"""An example.\n\n>>> 1 + 1\n2\n"""\nimport torch\n'
    (tmp_path / "more.py").write_text(code)
    (tmp_path / "torch.py").write_text("")  # stands for the real one
    (tmp_path / "simulated.py").write_text(PLUGIN.replace("True}", 'True, "torch": True}'))
    status, printed = session("--doctest-modules", "-m", "torch", require="torch")
    assert (status, "1 passed" in printed) == (0, True), printed


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import numpy\nimport timm.models, pyarrow.parquet as p", {"torch", "parquet"}),
        ("from torch.nn import functional", {"torch"}),
        ("def lazily():\n    import torch", set()),
        ("if TYPE_CHECKING:\n    import torch", set()),
        ("from . import torch\nfrom patchbank.torch import x", set()),
        ("pytestmark = [pytest.mark.torch, pytest.mark.weights]", {"torch", "weights"}),
        ("other = pytest.mark.torch", set()),
        ("# torch", set()),
    ],
)
def test_requirements_are_read_from_the_top_level_of_a_module(source, names):
    assert requirements_of(source) == names


def test_every_requirement_says_what_to_do():
    assert all(need.purpose and need.advice for need in REQUIREMENTS.values())


def test_the_end_of_a_session_names_what_is_absent(session):
    _, printed = session()
    assert "requirements that are absent: gpu (1 skipped), parquet (3 skipped)\n" in printed


def test_the_end_of_a_session_names_the_kernels_that_ran(session, tmp_path):
    text = "from tests import kernels\n\ndef test_it(monkeypatch):\n"
    text += '    kernels.on_kernel(monkeypatch, "gemm")\n'
    (tmp_path / "test_more.py").write_text(text)
    _, printed = session("test_more.py")
    others = "avx512-vnni, avx-vnni, avx2, neon-dot, neon"
    assert f"kernels that ran: gemm; not run: {others}\n" in printed
