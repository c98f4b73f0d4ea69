"""Write the golden detector files with a history: run once; see README.md there.

    python tests/golden/detectors/write_history.py

It goes on from `write.py`, whose photographs and network it uses.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import write

from patchbank import Ensemble, PaDiM, PatchCore, load

NAME = "expected_history"


def stained(seed):
    """A plate with a light stain, which is said to be normal."""
    image = write.part(seed)
    image[50:60, 70:84] = 235
    return image


def changed(recipe, paths):
    """A detector with a change of every kind, and what it said before each of them."""
    detector = recipe.fit([write.part(seed) for seed in range(8)], device="cpu")
    steps = []

    def step(after):
        nonlocal detector
        said = {shown: detector.predict(path).score for shown, path in paths.items()}
        steps.append({"threshold": detector.calibration.threshold, "scores": said})
        detector = after

    step(detector.updated([write.part(seed) for seed in (20, 21)], reason="two more", by="Eva"))
    seen = detector.with_threshold(0.5 * detector.predict(stained(30)).score).predict(stained(30))
    step(detector.updated(normal=seen, reason="the stain is allowed", by="Eva"))
    step(detector.remembering([paths["blot-large-photograph"]], reason="complaint 17", by="Jo"))
    step(detector.with_false_alarm_rate(0.2))
    return detector, steps


def main():
    """Write files, and what they say of the photographs."""
    paths = {name: write.HERE / "photographs" / f"{name}.png" for name in write.PHOTOGRAPHS}
    files, maps = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the files hold the name of their backbone as it was given
        write.write_network("golden.onnx")
        common = {"backbone": "golden.onnx", "image_size": 96, "false_alarm_rate": 0.1}
        recipes = {
            "patchcore-history": PatchCore(**common, bank_rows=100),
            "ensemble-history": Ensemble(
                (
                    PatchCore(**common, bank_rows=60),
                    PaDiM(**{**common, "image_size": 64, "dims": 6}),
                )
            ),
        }
        for name, recipe in recipes.items():
            path = write.HERE / f"{name}.patchbank"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                detector, steps = changed(recipe, paths)
            detector.save(path)
            seen = {shown: load(path, device="cpu").predict(paths[shown]) for shown in paths}
            first = seen["good"]
            files[name] = {
                "threshold": first.threshold,
                "pixel_threshold": first.pixel_threshold,
                "info": write.info(path),
                "photographs": {shown: write.said(one) for shown, one in seen.items()},
                "earlier": steps,
                "head": detector.lineage.head,
            }
            for shown, one in seen.items():
                step = write.CELL
                maps[f"{name}.{shown}"] = one.anomaly_map[step // 2 :: step, step // 2 :: step]
    record = {"written_by": {**write.provenance(), "format_version": 5}, "files": files}
    (write.HERE / f"{NAME}.json").write_text(json.dumps(record, indent=1) + "\n")
    np.savez_compressed(write.HERE / f"{NAME}_maps.npz", **maps)


if __name__ == "__main__":
    main()
