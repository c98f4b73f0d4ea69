"""Draw the pictures of docs/gallery.md from what `make demo` leaves in patchbank-demo.

    python tools/draw_gallery.py [FOLDER OF THE DEMONSTRATION]

The photographs are of the package elpv-dataset, CC BY-NC-SA 4.0, and so are the pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from patchbank import Detector, load
from patchbank.datasets import elpv

PICTURES = Path(__file__).parents[1] / "docs" / "pictures" / "gallery"
SIDE_PX, GAP_PX = 360, 8
QUALITY = 82
CELLS = {  # name of the picture -> photograph of the package
    "crack": "cell1088.png",
    "many": "cell0494.png",
    "thin": "cell1267.png",
    "specks": "cell1132.png",
    "good": "cell1292.png",
    "missed": "cell0457.png",
}


def drawn(detector: Detector, photograph: Path) -> tuple[Image.Image, str]:
    """A photograph next to its overlay, and a line with the verdict."""
    inspection = detector.predict(photograph)
    plain = Image.fromarray(inspection.pixels).resize((SIDE_PX, SIDE_PX))
    overlay = Image.fromarray(inspection.overlay())
    overlay = overlay.resize((SIDE_PX, round(SIDE_PX * overlay.height / overlay.width)))
    picture = Image.new("RGB", (2 * SIDE_PX + GAP_PX, overlay.height), "white")
    picture.paste(plain, (0, overlay.height - SIDE_PX))
    picture.paste(overlay, (SIDE_PX + GAP_PX, 0))
    verdict = "anomalous" if inspection.is_anomalous else "good"
    return picture, f"{verdict}, score {inspection.score:.2f}, p {inspection.p_value:.3f}"


def main() -> None:
    """Write all pictures, and print their verdicts."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "patchbank-demo")
    detector = load(folder / "solar-cells.patchbank")
    PICTURES.mkdir(parents=True, exist_ok=True)
    photographs = elpv.solar_cells()[1].samples[0].path.parent
    for name, cell in CELLS.items():
        picture, line = drawn(detector, photographs / cell)
        picture.save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)
        print(f"{name}: {cell}, threshold {detector.calibration.threshold:.2f}, {line}")


if __name__ == "__main__":
    main()
