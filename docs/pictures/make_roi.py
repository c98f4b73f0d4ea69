"""Make roi.png: a plate in its holder, with a date that changes, inspected with --roi and --ignore.

The photographs are drawn by this script: nothing is downloaded.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from patchbank import PatchCore
from patchbank.detector.overlay import draw_overlay

WIDTH, HEIGHT, MARGIN_PX = 480, 320, 8
ROI = "70,40 410,40 440,70 440,250 410,280 70,280 40,250 40,70"
LABEL = (270, 200, 120, 44)


def photograph(seed: int, *, scratch: bool = False) -> np.ndarray:
    """A plate with two holes and a date on its label, before a belt with parts that move."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (WIDTH, HEIGHT), (52, 56, 60))
    draw = ImageDraw.Draw(picture)
    for _ in range(14):  # other things on the belt, which have nothing to do with the plate
        x, y, size = rng.integers(0, WIDTH), rng.integers(0, HEIGHT), rng.integers(8, 30)
        draw.ellipse([x, y, x + size, y + size], fill=tuple(rng.integers(70, 220, 3).tolist()))
    corners = [tuple(map(int, corner.split(","))) for corner in ROI.split()]
    draw.polygon(corners, fill=(168, 172, 176), outline=(225, 228, 230))
    for x in (120, 360):
        draw.ellipse([x - 26, 90 - 26, x + 26, 90 + 26], fill=(60, 62, 66), outline=(235, 235, 235))
    left, top, width, height = LABEL
    draw.rectangle([left, top, left + width, top + height], fill=(240, 238, 228))
    day = f"{rng.integers(1, 29):02}.{rng.integers(1, 13):02}.26"
    draw.text((left + 10, top + 8), day, fill=(20, 20, 20), font_size=26)
    if scratch:
        draw.line([(150, 190), (205, 214)], fill=(160, 163, 168), width=4)
    noise = rng.normal(0, 4, (HEIGHT, WIDTH, 1))
    smooth = np.asarray(picture.filter(ImageFilter.GaussianBlur(1)))
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def main() -> None:
    """Fit without and with a region, and put a photograph and both overlays side by side."""
    good = [photograph(seed) for seed in range(24)]
    image = photograph(100, scratch=True)
    recipe = PatchCore.preset("fast", false_alarm_rate=0.05)
    drawn = [Image.fromarray(image)]
    for shapes in ({}, {"roi": ROI, "ignore": LABEL}):
        drawn.append(draw_overlay(image, recipe.fit(good, **shapes).predict(image)))
    sheet = Image.new("RGB", (3 * WIDTH + 2 * MARGIN_PX, drawn[1].height), "white")
    for column, picture in enumerate(drawn):
        sheet.paste(picture, (column * (WIDTH + MARGIN_PX), sheet.height - picture.height))
    sheet.save(Path(__file__).with_name("roi.png"), optimize=True)


if __name__ == "__main__":
    main()
