"""Make explanation.jpg from what `make demo` leaves in patchbank-demo: why a solar cell is flagged."""

import io
from pathlib import Path

from PIL import Image

from patchbank import load
from patchbank.datasets.elpv import solar_cells
from patchbank.explaining import drawn

WIDTH_PX = 1040


def main() -> None:
    """Explain a clearly flagged cell with one region, and save the picture smaller."""
    detector = load("patchbank-demo/solar-cells.patchbank")
    _, dataset = solar_cells()
    found = sorted(detector.predict([s.path for s in dataset.samples]), key=lambda i: i.score)
    chosen = next(i for i in found[len(found) * 3 // 4 :] if len(i.regions) == 1)
    picture = Image.open(io.BytesIO(drawn(chosen).picture))
    picture.thumbnail((WIDTH_PX, 10 * WIDTH_PX))
    picture.save(Path(__file__).with_name("explanation.jpg"), quality=80, optimize=True)


if __name__ == "__main__":
    main()
