"""Make explanation.jpg from what `make demo` leaves in patchbank-demo: why a cell is flagged."""

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image

from patchbank import load
from patchbank.datasets.elpv import solar_cells
from patchbank.explaining import drawn

CELL = "cell0013.png"
WIDTH_PX = 900


def main() -> None:
    """Explain a cracked cell, and save the picture smaller."""
    detector = load("patchbank-demo/solar-cells.patchbank")
    _, dataset = solar_cells()
    [path] = [sample.path for sample in dataset.samples if sample.path.name == CELL]
    inspection = replace(detector.predict(path), image=CELL)
    picture = Image.open(io.BytesIO(drawn(inspection).picture))
    picture.thumbnail((WIDTH_PX, 10 * WIDTH_PX))
    picture.save(Path(__file__).with_name("explanation.jpg"), quality=70, optimize=True)


if __name__ == "__main__":
    main()
