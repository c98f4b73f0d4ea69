"""Inspect photographs with an exported detector; needs openvino, numpy and Pillow.

    python inspect_photographs.py DETECTOR.onnx PHOTOGRAPH...

Prints verdict, score and p-value of each photograph. DETECTOR may also be a file that ends in .xml.
Statuses: 0 all are good, 1 one is anomalous, 2 an error.
"""

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from PIL import Image, ImageOps, UnidentifiedImageError

# Verdicts need all digits: OpenVINO would compute in bfloat16 where the processor can.
PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}

FORMATS = ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"]
# What tags of a TIFF may say: 8-bit grey, palette or RGB, which Pillow reads as the detector does.
TIFF = {254: [0], 258: [8], 262: [0, 1, 2, 3], 266: [1], 284: [1], 338: [2], 339: [1]}


def photograph_of(file: str) -> Any:
    """The pixels of a file, (H, W, 3) uint8, as the detector reads them; others are refused."""
    try:
        image: Any = Image.open(BytesIO(Path(file).read_bytes()), formats=FORMATS)
    except UnidentifiedImageError:
        formats = ", ".join(FORMATS)
        raise ValueError(
            f"expected one of {formats}, got something else; convert it to PNG"
        ) from None
    if "16B" in str(image.tile):  # a PNG: Pillow would make it white, or cut its values
        raise ValueError("expected 8 bits a channel, got 16; shift them as bit_depth says")
    for layout, step in (("L;2", 85), ("L;4", 17)):  # greys that Pillow scales, all but this one
        if layout in str(image.tile) and "transparency" in image.info:
            image.info["transparency"] *= step
    for tag, value in dict(getattr(image, "tag_v2", {})).items():
        if tag in TIFF and not set(np.ravel(value)) <= set(TIFF[tag]):
            found = f"{value} as tag {tag}; convert it to a PNG of 8 bits"
            raise ValueError(f"expected a TIFF of 8-bit grey, palette or RGB, got {found}")
    # A camera that was turned says so in the file; the detector has learned upright parts.
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:  # what is transparent is black for the detector
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return np.asarray(image.convert("RGB"))


def inspect(model: Any, file: str) -> bool:
    """Inspect a photograph, and say whether it is anomalous."""
    photograph = photograph_of(file)
    outputs = model({"photographs": photograph[None]})
    score, p_value = outputs["score"][0], outputs["p_value"][0]
    if np.isnan(score):  # the network's crop, or the region of interest, lies beyond it
        size = "{1} x {0}".format(*photograph.shape)
        raise ValueError(f"expected the shape of learned photographs, got {size}; cut it likewise")
    is_anomalous = bool(outputs["is_anomalous"][0])
    verdict = "anomalous" if is_anomalous else "good"
    share = outputs["regions"][0].mean()  # the map itself is outputs["anomaly_map"][0]
    print(f"{file}: {verdict}, score {score:.7g}, p-value {p_value:.3g}, regions {share:.2%}")
    return is_anomalous


def main(detector: str, *files: str) -> int:
    """Inspect files, and return the status."""
    named, found = detector, False
    try:
        core = openvino.Core()
        model = core.compile_model(core.read_model(detector), "CPU", PRECISION)
        for named in files:
            found |= inspect(model, named)
    except Exception as error:  # any one: Python would end with 1, the status of an anomaly
        print(f"{named}: {' '.join((str(error) or repr(error)).split())}", file=sys.stderr)
        return 2
    return int(found)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print("usage: inspect_photographs.py DETECTOR.onnx PHOTOGRAPH...", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
