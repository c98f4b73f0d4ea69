"""Make synthetic_defects.jpg: defects that a fit pastes on good solar cells, a row a kind."""

from pathlib import Path

import numpy as np
from PIL import Image

from patchbank.datasets.elpv import solar_cells
from patchbank.images.source import image_source
from patchbank.training.choose.defects import KINDS, draw_defect
from patchbank.training.choose.placing import Positions

COLUMNS, SIDE_PX, GAP_PX = 6, 150, 6


def main() -> None:
    """Draw six defects of each kind, and cut out their surroundings."""
    good, _ = solar_cells()
    images = [image_source(path).read() for path in good[: COLUMNS + 1]]
    rng = np.random.default_rng(0)
    step = SIDE_PX + GAP_PX
    size = COLUMNS * step - GAP_PX, len(KINDS) * step - GAP_PX
    sheet = Image.new("RGB", size, "white")
    for row, kind in enumerate(KINDS):
        for column in range(COLUMNS):
            image, donor = images[column], images[column + 1]
            defect = draw_defect(kind, image, donor, Positions.of(image), rng)
            box, (height, width) = defect.box, image.shape[:2]
            top = min(max(box.top + box.height // 2 - SIDE_PX // 2, 0), height - SIDE_PX)
            left = min(max(box.left + box.width // 2 - SIDE_PX // 2, 0), width - SIDE_PX)
            part = defect.on(image)[top : top + SIDE_PX, left : left + SIDE_PX]
            sheet.paste(Image.fromarray(part), (column * step, row * step))
    sheet.save(Path(__file__).with_name("synthetic_defects.jpg"), quality=88, optimize=True)


if __name__ == "__main__":
    main()
