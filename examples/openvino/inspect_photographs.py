"""Inspect photographs with an exported detector; needs openvino, numpy and Pillow.

    python inspect_photographs.py DETECTOR.onnx PHOTOGRAPH...

Prints verdict, score and p-value of each photograph. DETECTOR may also be a file that ends in .xml.
Statuses: 0 all are good, 1 one is anomalous.
"""

import sys

import numpy as np
import openvino
from PIL import Image, ImageOps

# Verdicts need all digits: OpenVINO would compute in bfloat16 where the processor can.
PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


def main(detector: str, *files: str) -> bool:
    """Inspect files, and say whether one is anomalous."""
    core = openvino.Core()
    model = core.compile_model(core.read_model(detector), "CPU", PRECISION)
    found = False
    for file in files:
        # A camera that was turned says so in the file; the detector has learned upright parts.
        photograph = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
        outputs = model({"photographs": photograph[None]})
        score, p_value = outputs["score"][0], outputs["p_value"][0]
        is_anomalous = bool(outputs["is_anomalous"][0])
        verdict = "anomalous" if is_anomalous else "good"
        share = outputs["regions"][0].mean()  # the map itself is outputs["anomaly_map"][0]
        print(f"{file}: {verdict}, score {score:.7g}, p-value {p_value:.3g}, regions {share:.2%}")
        found |= is_anomalous
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
