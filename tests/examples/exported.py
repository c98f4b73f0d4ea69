"""A small detector, its exported graph, and what it says of photographs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from patchbank import Detector, Inspection, PatchCore
from patchbank.export import ExportPrecision, export_detector
from patchbank.export.precision import TOLERANCES
from tests.photographs import part, parts, save

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = ("patchbank", "onnx", "scipy", "torch")
"""Packages that no example may import."""
WITHOUT_PACKAGES = """
import runpy, sys
for package in sys.argv.pop(1).split(","):
    sys.modules[package] = None
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Case(NamedTuple):
    """A photograph in a file, and the detector's answer."""

    file: Path
    inspection: Inspection


class Exported(NamedTuple):
    """An exported detector, with photographs that it was compared on."""

    graph: Path
    cases: list[Case]
    precision: ExportPrecision
    detector: Detector

    @property
    def files(self) -> list[str]:
        """Names of the photographs."""
        return [str(case.file) for case in self.cases]

    def inspected(self, file: Path) -> Case:
        """A further photograph, and the detector's answer."""
        return Case(file, self.detector.predict(file))


def exported(folder: Path, precision: ExportPrecision) -> Exported:
    """Fit, export and inspect: good parts and defects, two of another size than was learned."""
    recipe = PatchCore(
        backbone="efficientnet_lite0", image_size=96, bank_limit=100, false_alarm_rate=0.2
    )
    detector = recipe.fit(parts(8), precision="int8" if precision == "int8" else "float32")
    graph = folder / "detector.onnx"
    export_detector(detector, graph, precision=precision)
    photographs = {
        "good": part(100),
        "defect": part(200, defect=9),
        "small good": part(101, size=(60, 50)),
        "large defect": part(201, defect=16, size=(120, 171)),
    }
    cases = []
    for name, photograph in photographs.items():
        file = save(folder / f"{name}.png", photograph)
        cases.append(Case(file, detector.predict(photograph)))
    verdicts = [case.inspection.is_anomalous for case in cases]
    assert True in verdicts
    assert False in verdicts
    return Exported(graph, cases, precision, detector)


def command(program: Path, *arguments: str) -> list[str]:
    """Run a program of Python where packages that it must not need are absent."""
    names = ",".join(NEEDED)
    return [sys.executable, "-c", WITHOUT_PACKAGES, names, str(program), *arguments]


def said(cases: Sequence[Case]) -> list[tuple[str, str]]:
    """Name and verdict of each photograph."""
    words = ["anomalous" if case.inspection.is_anomalous else "good" for case in cases]
    return [(str(case.file), word) for case, word in zip(cases, words, strict=True)]


def is_close(score: float, case: Case) -> bool:
    """Whether a score is the detector's, but for rounding."""
    return bool(np.isclose(score, case.inspection.score, rtol=1e-5, atol=0))


def is_tolerable(score: float, case: Case, precision: ExportPrecision) -> bool:
    """Whether a score is the detector's, to the tolerance of a graph's precision."""
    tolerance = TOLERANCES[precision].score
    return bool(np.isclose(score, case.inspection.score, rtol=tolerance, atol=0))


def red(file: Path, photograph: Path) -> np.ndarray:
    """Where an overlay differs from its photograph.  (H, W) bool."""
    shown, original = (np.asarray(Image.open(name).convert("RGB")) for name in (file, photograph))
    return np.asarray((shown != original).any(axis=2))
