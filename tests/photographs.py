"""Synthetic parts: a textured plate with a ring, and a dark blot for a defect."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIZE = (72, 104)  # height x width: never square


def part(seed, *, defect=0, size=SIZE):
    """(H, W, 3) uint8; `defect` is the radius of the blot in pixels."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    plate = 120 + 25 * np.sin(x / 5 + rng.uniform(-0.2, 0.2)) + 15 * np.cos(y / 7)
    distance = np.hypot(y - height / 2, x - width / 2)
    plate[np.abs(distance - height / 4) < 4] = 200
    plate += rng.normal(0, 3, size)
    if defect:
        plate[np.hypot(y - height / 3, x - width / 4) < defect] = 10
    tint = np.array([1.0, 0.9, 0.8])
    return np.clip(plate[..., None] * tint, 0, 255).astype(np.uint8)


def parts(n, **options):
    """A list of parts."""
    return [part(seed, **options) for seed in range(n)]


def write_dataset(root, *, n_train=6, n_good=4, n_defect=4, masks=True):
    """A data set in MVTec layout."""
    for i in range(n_train):
        save(root / "train" / "good" / f"{i:03}.png", part(i))
    for i in range(n_good):
        save(root / "test" / "good" / f"{i:03}.png", part(100 + i))
    for i in range(n_defect):
        save(root / "test" / "blot" / f"{i:03}.png", part(200 + i, defect=9))
        if masks:
            mask = np.zeros(SIZE, np.uint8)
            y, x = np.mgrid[: SIZE[0], : SIZE[1]]
            mask[np.hypot(y - SIZE[0] / 3, x - SIZE[1] / 4) < 9] = 255
            save(root / "ground_truth" / "blot" / f"{i:03}_mask.png", mask)
    return root


def save(path, array):
    """Write an array as an image, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path
