"""Photographs and results that are handed to labelling tools, and how they are written."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tests.painted import SIZE, photograph, write

SPOT = (120, slice(2, 4), slice(3, 10))
"""Rows 2 and 3, columns 3 to 9 of a photograph: its map is 120 there."""
FAINT_SPOT = (95, slice(30, 32), slice(38, 40))
"""Its last two rows and columns: its map is 95 there."""
ODD_NAME = "gr öße #1?&+%\n.png"
UPRIGHT = 6
"""Orientation of EXIF: turn by 90 degrees clockwise to show."""


def write_folder(folder):
    """A good photograph, two anomalous ones, and one that is none.  -> the folder."""
    write(folder / "a.png", photograph(20))
    write(folder / "b" / ODD_NAME, photograph(150, SPOT, FAINT_SPOT))
    (folder / "c.png").write_bytes(b"no image")
    write(folder / "d.png", photograph(200))
    return folder


def write_turned(path):
    """A JPEG file that is stored turned, and has the spot where it is shown upright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = Image.fromarray(np.rot90(photograph(150, SPOT)))
    assert stored.size == SIZE  # width and height are those of the other way round
    exif = Image.Exif()
    exif[0x0112] = UPRIGHT
    stored.save(path, exif=exif, quality=100, subsampling=0)
    return path
