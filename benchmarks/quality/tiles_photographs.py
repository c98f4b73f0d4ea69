"""Large photographs made of small ones, and specks in them, for tiles.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as pillow
from PIL import ImageFilter

from patchbank.datasets.elpv import functional_cells
from patchbank.types import Image

SIDE_PX, GAP_PX, DARK, LENS_PX, NOISE = 1000, 16, 10, 1.5, 3.0
SPECK_PX, CONTRAST, BLUR_PX, EDGE_PX = 6, 0.25, 0.7, 32
DRAWS = 3
"""Specks of each tested photograph, one at a time."""
IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


def solar_cells(n: int) -> list[Path]:
    """Photographs of functional mono-crystalline solar cells, in random order.

    A few more than there are cells begin again from the first: the photographs of 100 megapixels.
    """
    cells = functional_cells()
    order = np.random.default_rng(0).permutation(len(cells))
    return [cells[i] for i in np.resize(order, n)]


def magnetic_tiles(folder: Path) -> Callable[[int], list[Path]]:
    """Good magnetic tiles, those with the longest short side, in random order.

    Args:
        folder: the data set; `train/good` and `test/good` in it are used.
    """

    def chosen(n: int) -> list[Path]:
        parts = (folder / "train" / "good", folder / "test" / "good")
        files = [f for part in parts for f in sorted(part.iterdir()) if f.suffix.lower() in IMAGES]
        if len(files) < n:
            raise ValueError(f"expected {n} good tiles in {folder}, got {len(files)}")
        sharpest = sorted(files, key=lambda file: -min(pillow.open(file).size))[:n]
        return [sharpest[i] for i in np.random.default_rng(0).permutation(n)]

    return chosen


def photograph(files: Sequence[Path], grid: tuple[int, int], seed: int) -> Image:
    """A photograph of rows x columns goods, grey, (H, W)."""
    rng = np.random.default_rng(seed)
    rows, columns = grid
    whole = np.empty((rows * SIDE_PX, columns * SIDE_PX), dtype=np.uint8)
    inner = SIDE_PX - GAP_PX
    for number, file in enumerate(files[: rows * columns]):
        top, left = (position * SIDE_PX for position in divmod(number, columns))
        image = pillow.open(file).convert("L")
        edge = min(image.size)
        corner = (image.width - edge) // 2, (image.height - edge) // 2
        square = image.crop((*corner, corner[0] + edge, corner[1] + edge))
        one = pillow.new("L", (SIDE_PX, SIDE_PX), DARK)
        one.paste(square.resize((inner, inner), pillow.Resampling.BICUBIC), (GAP_PX // 2,) * 2)
        seen = np.asarray(one.filter(ImageFilter.GaussianBlur(LENS_PX)), np.float32)
        values = seen + rng.normal(0, NOISE, seen.shape).astype(np.float32)
        whole[top : top + SIDE_PX, left : left + SIDE_PX] = np.clip(values.round(), 0, 255)
    return whole


def with_speck(image: Image, seed: Sequence[int]) -> tuple[Image, tuple[int, int]]:
    """A copy of a photograph with a speck, and its (row, column)."""
    rng = np.random.default_rng(seed)
    at = [int(rng.integers(EDGE_PX, side - EDGE_PX)) for side in image.shape]
    box = 2 * SPECK_PX
    rows, columns = (slice(place - box, place + box) for place in at)
    part = image[rows, columns].astype(np.float32)
    y, x = np.mgrid[: 2 * box, : 2 * box] + 0.5 - box
    disc = pillow.fromarray((255 * (np.hypot(y, x) <= SPECK_PX / 2)).astype(np.uint8))
    shape = np.asarray(disc.filter(ImageFilter.GaussianBlur(BLUR_PX)), np.float32) / 255
    sign = 1 if rng.random() < 0.5 else -1
    middle = float(part.mean())
    if not 0 <= middle + sign * CONTRAST * 255 <= 255:
        sign = -sign
    changed = image.copy()
    changed[rows, columns] = np.clip((part + sign * CONTRAST * 255 * shape).round(), 0, 255)
    return changed, (at[0], at[1])


def make(
    folder: Path,
    goods: Callable[[int], list[Path]],
    n_fit: int,
    n_test: int,
    grid: tuple[int, int],
    n_draws: int = DRAWS,
) -> None:
    """Write the photographs, and where their specks are; what is there already stays."""
    if (folder / "specks.json").exists():
        return
    each = grid[0] * grid[1]
    files = goods((n_fit + n_test) * each)
    specks = {}
    for number in range(n_fit + n_test):
        kind = "fit" if number < n_fit else "good"
        image = photograph(files[number * each : (number + 1) * each], grid, number)
        _save(image, folder / kind / f"{number:02}.png")
        if kind == "good":
            for draw in range(n_draws):
                name = f"{number:02}-{draw}.png"
                changed, specks[name] = with_speck(image, (number, draw))
                _save(changed, folder / "speck" / name)
    (folder / "specks.json").write_text(json.dumps(specks))


def _save(image: Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.fromarray(image).save(path, compress_level=1)
