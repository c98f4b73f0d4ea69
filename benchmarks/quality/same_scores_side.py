"""One side of `same_scores.py`: fits or opens a detector and writes its results, bit for bit.

It uses only what every version has: the public names and the detector file. It is run by the
interpreter of the version in question:

    python same_scores_side.py facts
    python same_scores_side.py fit CASE.json FILE.patchbank ARRAYS.npz
    python same_scores_side.py open CASE.json FILE.patchbank ARRAYS.npz

`CASE.json` holds a case of `same_scores_cases.py` with `good` and `test`, the paths of the
photographs.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

REGION = ("left", "top", "width", "height", "area", "score")


def facts() -> dict[str, Any]:
    """Versions and commit of this side."""
    import patchbank

    found = {}
    for name in ("patchbank", "numpy", "onnxruntime", "scipy", "faiss-cpu", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    home = Path(patchbank.__file__).parent
    return {
        "python": platform.python_version(),
        "versions": found,
        "commit": _git(home, "rev-parse", "HEAD"),
        "changed_since_commit": _git(home, "status", "--porcelain", "--", ".").splitlines(),
        "native_kernels": sorted(str(p.relative_to(home)) for p in home.rglob("*.so")),
        "torch": find_spec("torch") is not None and find_spec("timm") is not None,
    }


def fit(case: dict[str, Any], file: Path) -> dict[str, np.ndarray]:
    """Fit, save, and predict.  -> arrays by name."""
    import patchbank

    recipes = [
        getattr(patchbank, name).preset(preset, **_tuples(changes))
        for name, preset, changes in case["members"]
    ]
    recipe = recipes[0] if len(recipes) == 1 else patchbank.Ensemble(tuple(recipes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", patchbank.CalibrationWarning)
        detector = recipe.fit(case["good"], device="cpu")
    detector.save(file)
    if "bank_rows" in case:  # a cut is made where the file is opened
        return opened(case, file)
    return predictions(detector, case["test"])


def opened(case: dict[str, Any], file: Path) -> dict[str, np.ndarray]:
    """Open a file and predict.  -> arrays by name."""
    import patchbank

    detector = patchbank.load(file, device="cpu", bank_rows=case.get("bank_rows"))
    return predictions(detector, case["test"])


def predictions(detector: Any, photographs: list[str]) -> dict[str, np.ndarray]:
    """Scores, p-values, thresholds, maps and regions of photographs, by name."""
    seen = [detector.predict(path) for path in photographs]
    found = {
        "scores": np.array([one.score for one in seen]),
        "p_values": np.array([one.p_value for one in seen]),
        "thresholds": np.array([one.threshold for one in seen]),
        "pixel_thresholds": np.array([one.pixel_threshold for one in seen]),
        "verdicts": np.array([one.is_anomalous for one in seen]),
        "normalised_scores": np.array(
            [np.nan if one.normalised_score is None else one.normalised_score for one in seen]
        ),
    }
    for number, one in enumerate(seen):
        rows = [[getattr(region, name) for name in REGION] for region in one.regions]
        found[f"maps.{number:02}"] = one.anomaly_map
        found[f"regions.{number:02}"] = np.array(rows, dtype=np.float64).reshape(-1, len(REGION))
    return found


def _tuples(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes with tuples where JSON has lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}


def _git(folder: Path, *command: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *command], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def main() -> None:
    """Do what the first argument asks for."""
    if sys.argv[1] == "facts":
        print(json.dumps(facts()))
        return
    action, case_file, file, out = sys.argv[1], *map(Path, sys.argv[2:5])
    case = json.loads(case_file.read_text())
    np.savez(out, **{"fit": fit, "open": opened}[action](case, file))


if __name__ == "__main__":
    main()
