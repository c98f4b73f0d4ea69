"""Inspect photographs with an exported detector; needs onnxruntime, numpy and Pillow.

    python inspect_photographs.py DETECTOR.onnx PHOTOGRAPH...

Prints verdict, score and p-value of each photograph, and writes it into the folder `overlays` with
the regions above the threshold in red. Statuses: 0 all are good, 1 one is anomalous, 2 an error.
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, UnidentifiedImageError

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


def overlay(photograph: Any, regions: Any) -> Image.Image:
    """A photograph, (H, W, 3) uint8, with its regions, (H, W) bool, half red."""
    shown = photograph.copy()
    shown[regions] = (shown[regions] + np.array([255, 0, 0])) // 2
    return Image.fromarray(shown)


def inspect(session: Any, file: str, shown: Path) -> bool:
    """Inspect a photograph, show its regions in another file, and say whether it is anomalous."""
    photograph = photograph_of(file)
    score, p_value, is_anomalous, _, regions = session.run(
        ["score", "p_value", "is_anomalous", "anomaly_map", "regions"],
        {"photographs": photograph[None]},
    )
    if np.isnan(score[0]):  # the network's crop, or the region of interest, lies beyond it
        size = "{1} x {0}".format(*photograph.shape)
        raise ValueError(f"expected the shape of learned photographs, got {size}; cut it likewise")
    verdict = "anomalous" if is_anomalous[0] else "good"
    print(f"{file}: {verdict}, score {score[0]:.7g}, p-value {p_value[0]:.3g}")
    overlay(photograph, regions[0]).save(shown)
    return bool(is_anomalous[0])


def main(detector: str, *files: str) -> int:
    """Inspect files, and return the status."""
    named, folder, found = detector, Path("overlays"), False
    try:
        session = onnxruntime.InferenceSession(detector, providers=["CPUExecutionProvider"])
        facts = session.get_modelmeta().custom_metadata_map
        if "patchbank" not in facts:
            raise ValueError("expected a file of patchbank export, got another graph")
        print(f"threshold {json.loads(facts['patchbank'])['threshold']:.6g}")
        folder.mkdir(exist_ok=True)
        for number, named in enumerate(files, 1):
            found |= inspect(session, named, folder / f"{number:03}_{Path(named).stem}.png")
    except Exception as error:  # any one: Python would end with 1, the status of an anomaly
        print(f"{named}: {' '.join((str(error) or repr(error)).split())}", file=sys.stderr)
        return 2
    return int(found)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print("usage: inspect_photographs.py DETECTOR.onnx PHOTOGRAPH...", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
