"""`tools/debian.sh` installs packages as root, and says what to do where there is no apt-get."""

import shutil
import subprocess
import sys

import pytest

from tests.project import ROOT

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or BASH is None, reason="scripts for Debian, in bash"
)


def run(folder, command, programs):
    """Run a command of the functions where there are no programs but stubs that print a call."""
    for name, text in programs.items():
        (folder / name).write_text(f"#!{BASH}\n{text}\n")
        (folder / name).chmod(0o755)
    script = f'set -euo pipefail; source "{ROOT}/tools/debian.sh"; {command}'
    return subprocess.run(
        [BASH, "-c", script], env={"PATH": str(folder)}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("user", "before"), [(0, ""), (1000, "sudo ")])
def test_packages_are_installed_as_root_without_questions(tmp_path, user, before):
    programs = {name: f'echo "{name} $*"' for name in ("apt-get", "env", "sudo")}
    done = run(tmp_path, "debian_install musl wine64", {**programs, "id": f"echo {user}"})
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{before}apt-get update -q",
        f"{before}env DEBIAN_FRONTEND=noninteractive apt-get install -q -y"
        " --no-install-recommends musl wine64",
    ]


def test_nothing_is_run_for_no_package(tmp_path):
    done = run(tmp_path, "debian_install; echo done", {})
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_system_without_apt_get_ends_a_script_with_advice(tmp_path):
    done = run(tmp_path, "debian_install musl wine64; echo done", {})
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a system with apt-get, got none; install musl wine64 by hand" in done.stderr
