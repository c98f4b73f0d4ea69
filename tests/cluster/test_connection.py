"""A cluster that does not answer is an error of one line, at once."""

from __future__ import annotations

import subprocess
import sys

import ray

from tests.photographs import part, save

assert ray.__version__  # the tests of this module need it


def test_a_fit_where_no_cluster_answers_ends_with_one_line(tmp_path):
    file, out = save(tmp_path / "part.png", part(1)), tmp_path / "x.patchbank"
    code = "from patchbank.cli.app import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", code, "fit", str(file), "--out", str(out)]
    done = subprocess.run([*command, "--cluster", "127.0.0.1:1"], capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert "cluster: expected a Ray cluster at '127.0.0.1:1', got none" in line
    assert done.returncode not in (0, 1)
    assert not out.exists()
