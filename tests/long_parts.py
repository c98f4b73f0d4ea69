"""Synthetic long parts on a ground, drawn at any angle: pins, brackets, bent wires."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

SIZE = (240, 320)  # height x width: never square
DENSE = 4
PIN = [(-70, -9), (-70, 9), (-56, 9), (-50, 4), (60, 4), (70, 0), (60, -4), (-50, -4), (-56, -9)]
BRACKET = [(-65, -25), (-65, 25), (-50, 25), (-50, -10), (65, -10), (65, -25)]
WIRE = [(-70, 10), (-66, 14), (-40, 2), (20, 2), (66, 14), (70, 10), (22, -4), (-42, -4)]
BAR = [(-60, -12), (-60, 12), (60, 12), (60, -12)]
SHAPES = {"pin": PIN, "bracket": BRACKET, "wire": WIRE}
"""Outlines as (x, y) from the middle, x to the right and y down."""


def turned(points, angle_degrees, centre):
    """Points (x, y), turned clockwise about the origin, which comes to (down, right)."""
    angle = np.deg2rad(angle_degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(points, dtype=float) @ matrix + np.array(centre)[::-1]


def photograph(
    outline, angle_degrees=0.0, centre=(120, 160), *, size=SIZE, greys=(200, 90), **options
):
    """(H, W, 3) uint8 of a part on a ground.

    Args:
        outline: (x, y) of its corners.
        angle_degrees: by which it is turned, clockwise.
        centre: (down, right) of its origin.
        size: (H, W).
        greys: of ground and part.
        options: `blots` of the part, (x, y, radius) each; `fall` of the light from left to right;
            `shadow` as (right, down) of a soft one; `noise`; `seed`.
    """
    rng = np.random.default_rng(options.get("seed", 0))
    height, width = size
    ground, grey = greys
    light = np.linspace(-1, 1, width)[None] * options.get("fall", 0.0)
    image = np.full(size, float(ground)) + light
    if "shadow" in options:
        moved = turned(outline, angle_degrees, centre) + options["shadow"]
        image -= 0.2 * ground * _coverage(moved, size)
    cover = _coverage(turned(outline, angle_degrees, centre), size)
    image = image * (1 - cover) + (grey + light) * cover
    for x, y, radius in options.get("blots", ()):
        ((right, down),) = turned([(x, y)], angle_degrees, centre)
        rows, columns = np.mgrid[:height, :width] + 0.5
        image[np.hypot(rows - down, columns - right) < radius] = 255 - grey
    image += rng.normal(0, options.get("noise", 2.0), size)
    return np.repeat(np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _coverage(points, size):
    """Share of each pixel that lies in a polygon.  -> (H, W)."""
    height, width = size
    mask = Image.new("L", (width * DENSE, height * DENSE))
    ImageDraw.Draw(mask).polygon([(x * DENSE, y * DENSE) for x, y in points], fill=255)
    return np.asarray(mask.reduce(DENSE)) / 255.0
