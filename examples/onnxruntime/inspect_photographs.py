"""Inspect photographs with an exported detector; needs onnxruntime, numpy and Pillow.

    python inspect_photographs.py DETECTOR.onnx PHOTOGRAPH...

Prints verdict, score and p-value of each photograph, and writes it into the folder `overlays` with
the regions above the threshold in red. Statuses: 0 all are good, 1 one is anomalous.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def overlay(photograph: Any, regions: Any) -> Image.Image:
    """A photograph, (H, W, 3) uint8, with its regions, (H, W) bool, half red."""
    shown = photograph.copy()
    shown[regions] = (shown[regions] + np.array([255, 0, 0])) // 2
    return Image.fromarray(shown)


def main(detector: str, *files: str) -> bool:
    """Inspect files, and say whether one is anomalous."""
    session = onnxruntime.InferenceSession(detector, providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["patchbank"])
    folder, found = Path("overlays"), False
    folder.mkdir(exist_ok=True)
    print(f"threshold {facts['threshold']:.6g}")
    for number, file in enumerate(files, 1):
        # A camera that was turned says so in the file; the detector has learned upright parts.
        photograph = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
        score, p_value, is_anomalous, _, regions = session.run(
            ["score", "p_value", "is_anomalous", "anomaly_map", "regions"],
            {"photographs": photograph[None]},
        )
        verdict = "anomalous" if is_anomalous[0] else "good"
        print(f"{file}: {verdict}, score {score[0]:.7g}, p-value {p_value[0]:.3g}")
        overlay(photograph, regions[0]).save(folder / f"{number:03}_{Path(file).stem}.png")
        found |= bool(is_anomalous[0])
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
