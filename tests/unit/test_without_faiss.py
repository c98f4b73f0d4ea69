"""The base install has no faiss: exact search needs none, and an approximate index says so."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from patchbank import PatchCore
from patchbank.core.neighbours import build_index
from patchbank.errors import ParameterError
from tests.photographs import parts

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
sys.modules["faiss"] = None  # an import of it fails, as if it were not installed
from patchbank import PatchCore, load
from tests.photographs import part, parts

recipe = PatchCore(
    backbone="efficientnet_lite0", image_size=96, bank_rows=40, false_alarm_rate=0.3
)
recipe.fit(parts(4)).save(sys.argv[1])
print(load(sys.argv[1]).predict(part(60, defect=9)).is_anomalous)
"""


def test_fit_and_predict_work_without_faiss(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "parts.patchbank"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_an_approximate_index_without_faiss_names_the_extra(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    expected = (
        f"index: expected faiss for '{kind}', got none; pip install 'patchbank\\[approximate\\]'"
    )
    with pytest.raises(ParameterError, match=f"^{expected}$"):
        build_index(np.zeros((50, 4), np.float32), kind)
    assert build_index(np.zeros((5, 4), np.float32), "exact").bank.shape == (5, 4)


def test_a_fit_with_an_approximate_index_fails_before_it_reads_features(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr("patchbank.methods.memory_bank.learner.PatchStore", None)  # not reached
    recipe = PatchCore(backbone="efficientnet_lite0", image_size=96, index="hnsw")
    with pytest.raises(ParameterError, match="index: expected faiss for 'hnsw', got none"):
        recipe.fit(parts(3))
