"""Synthetic defects: pasted on a good photograph, of five kinds, drawn from a seed.

They are made to rank settings, not to look like the defects of any part: a setting that sees more
of them on photographs that it has not learned sees more of real ones, on average over kinds (the
idea is that of CutPaste, Li et al., CVPR 2021, and of DRAEM, Zavrtanik et al., ICCV 2021, who train
networks on pasted defects).  Sizes are shares of the *side* of a photograph, the root of its area.

| kind | what it is | size | strength |
|---|---|---|---|
| blob | a round spot with an uneven outline, darker or brighter | diameter 0.012 to 0.06, mostly small | 0.15 to 0.5 of white |
| scar | a bent line, darker or brighter | length 0.04 to 0.16, width 0.004 to 0.016 | 35 to 90 of 255 |
| paste | a rectangle of another good photograph, turned by right angles | 0.0015 to 0.012 of the area, mostly small | as it is |
| texture | patches of gradient noise of one grey | radius 0.02 to 0.07 | opacity 0.3 to 0.8 |
| soft | blurred, or brighter or darker, without an edge | radius 0.03 to 0.1 | blur of 0.006 to 0.015, or 15 to 40 % of the light |
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchbank.core.spatial.box import Box
from patchbank.training.choose.noise import gradient_noise
from patchbank.training.choose.placing import Positions
from patchbank.types import Image

BLOB_DIAMETER, BLOB_CONTRAST = (0.012, 0.06), (0.15, 0.5)
SCAR_LENGTH, SCAR_WIDTH, SCAR_CONTRAST = (0.04, 0.16), (0.004, 0.016), (35.0, 90.0)
PASTE_AREA, PASTE_LOG_ASPECT = (0.0015, 0.012), (-1.0, 1.0)
TEXTURE_RADIUS, TEXTURE_OPACITY, TEXTURE_GRAIN = (0.02, 0.07), (0.3, 0.8), 60.0
SOFT_RADIUS, SOFT_BLUR, SOFT_LIGHT = (0.03, 0.1), (0.006, 0.015), (0.15, 0.4)
VISIBLE = 8
"""Grey levels by which some pixel has to differ: what nobody can see is no defect."""
DRAWS = 12
"""Draws of a defect until one is visible; the last one counts as it is."""

Opacity: TypeAlias = NDArray[np.float32]
Paint: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Defect:
    """A changed part of a photograph."""

    kind: str
    box: Box
    """The part, in pixels of the photograph."""
    pixels: Image
    """(h, w, 3): the content of the part."""

    def on(self, image: Image) -> Image:
        """A copy of the photograph with the defect."""
        changed = image.copy()
        self.box.of(changed)[...] = self.pixels
        return changed


@dataclass(frozen=True, slots=True)
class Canvas:
    """A photograph at the place of a defect."""

    image: Image
    donor: Image
    """Another good photograph."""
    centre: tuple[float, float]
    """(y, x) of the defect, in pixels."""

    @property
    def side(self) -> float:
        """Root of the area of the photograph, in pixels."""
        return float(np.sqrt(self.image.shape[0] * self.image.shape[1]))

    def around(self, reach_px: float) -> Box:
        """The part of the photograph within some distance of the centre, at least one pixel."""
        ends = []
        for at, length in zip(self.centre, self.image.shape[:2], strict=True):
            low = min(max(int(np.floor(at - reach_px)), 0), length - 1)
            ends.append((low, min(max(int(np.ceil(at + reach_px)), low + 1), length) - low))
        (top, height), (left, width) = ends
        return Box(top, left, height, width)

    def offsets(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(h, 1) and (1, w): pixels from the centre down and to the right, in a part."""
        down = np.arange(box.height, dtype=np.float32) + 0.5 + box.top - self.centre[0]
        across = np.arange(box.width, dtype=np.float32) + 0.5 + box.left - self.centre[1]
        return down[:, None].astype(np.float32), across[None, :].astype(np.float32)


def draw_defect(
    kind: str, image: Image, donor: Image, positions: Positions, rng: np.random.Generator
) -> Defect:
    """Draw a defect of a kind, and make it on a photograph.

    Args:
        kind: a key of `KINDS`.
        image: the photograph, (H, W, 3).
        donor: another good photograph, from which a paste is cut; of any size.
        positions: that it may have on the photograph.
        rng: draws the position and the looks.
    """
    for _ in range(DRAWS):
        canvas = Canvas(image, donor, positions.draw(rng))
        box, opacity, paint = KINDS[kind](canvas, rng)
        defect = _painted(kind, image, box, opacity, paint)
        change = np.abs(defect.pixels.astype(np.int16) - box.of(image))
        if change.max() >= VISIBLE:
            break
    return defect


def plain_spot(
    image: Image, centre: tuple[float, float], diameter_px: float, contrast: float
) -> Defect:
    """A round spot that nobody would overlook if it were larger: for the smallest size that is seen.

    Args:
        image: the photograph, (H, W, 3).
        centre: (y, x) in pixels.
        diameter_px: of the spot, in pixels; below one pixel, that pixel has its share of the paint.
        contrast: difference from its surroundings, in (0, 1] of white; towards black on a bright
            ground, towards white on a dark one.
    """  # noqa: E501
    canvas = Canvas(image, image, centre)
    box = canvas.around(diameter_px / 2 + 1)
    distance = np.hypot(*canvas.offsets(box))
    opacity = _edge(diameter_px / 2 - distance, 1.0) * min(1.0, diameter_px) ** 2
    part = box.of(image).astype(np.float32)
    sign = -1.0 if part.mean() > 127.5 else 1.0
    return _painted("spot", image, box, opacity, part + sign * 255 * contrast)


def _blob(canvas: Canvas, rng: np.random.Generator) -> tuple[Box, Opacity, Paint]:
    radius = _log_uniform(BLOB_DIAMETER, rng) * canvas.side / 2
    box = canvas.around(1.6 * radius + 1)
    down, across = canvas.offsets(box)
    angle = np.arctan2(down, across)
    uneven = np.ones_like(angle)
    for harmonic in (2, 3, 5):
        phase, size = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.2)
        uneven += size * np.cos(harmonic * angle + phase)
    opacity = _edge(radius * uneven - np.hypot(down, across), max(1.0, 0.2 * radius))
    part = box.of(canvas.image).astype(np.float32)
    return box, opacity, part + _signed(255 * rng.uniform(*BLOB_CONTRAST), part, rng)


def _scar(canvas: Canvas, rng: np.random.Generator) -> tuple[Box, Opacity, Paint]:
    length = rng.uniform(*SCAR_LENGTH) * canvas.side
    width = rng.uniform(*SCAR_WIDTH) * canvas.side
    angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3) * length
    box = canvas.around(0.5 * length + abs(bend) + width + 1)
    down, across = canvas.offsets(box)
    along = np.linspace(-0.5, 0.5, max(3, int(length)))
    y = along * length * np.sin(angle) + bend * (0.25 - along**2) * 4 * np.cos(angle)
    x = along * length * np.cos(angle) - bend * (0.25 - along**2) * 4 * np.sin(angle)
    nearest = np.full((box.height, box.width), np.inf, dtype=np.float32)
    for at_y, at_x in zip(y.tolist(), x.tolist(), strict=True):
        np.minimum(nearest, np.square(down - at_y) + np.square(across - at_x), out=nearest)
    opacity = _edge(width / 2 - np.sqrt(nearest), 1.0) * min(1.0, width)
    part = box.of(canvas.image).astype(np.float32)
    return box, opacity, part + _signed(rng.uniform(*SCAR_CONTRAST), part, rng)


def _paste(canvas: Canvas, rng: np.random.Generator) -> tuple[Box, Opacity, Paint]:
    area = _log_uniform(PASTE_AREA, rng) * canvas.side**2
    aspect = np.exp(rng.uniform(*PASTE_LOG_ASPECT))
    turns, (down, across) = int(rng.integers(4)), rng.random(2)
    limits = [min(a, b) for a, b in zip(canvas.image.shape, canvas.donor.shape, strict=True)]
    most = min(limits[:2]) if turns % 2 else None  # turned, height and width are swapped
    height, width = (
        min(max(1, round(float(one))), most or limit)
        for one, limit in zip(
            (np.sqrt(area * aspect), np.sqrt(area / aspect)), limits, strict=False
        )
    )
    cut_size = (width, height) if turns % 2 else (height, width)
    top = int(down * (canvas.donor.shape[0] - cut_size[0] + 1))
    left = int(across * (canvas.donor.shape[1] - cut_size[1] + 1))
    cut = np.rot90(canvas.donor[top : top + cut_size[0], left : left + cut_size[1]], turns)
    at = [
        min(max(round(middle - one / 2), 0), whole - one)
        for middle, one, whole in zip(
            canvas.centre, (height, width), canvas.image.shape[:2], strict=True
        )
    ]
    box = Box(at[0], at[1], height, width)
    return box, np.ones((height, width), dtype=np.float32), cut.astype(np.float32)


def _texture(canvas: Canvas, rng: np.random.Generator) -> tuple[Box, Opacity, Paint]:
    radius = rng.uniform(*TEXTURE_RADIUS) * canvas.side
    box = canvas.around(radius + 1)
    down, across = canvas.offsets(box)
    size = box.height, box.width
    patches = gradient_noise(size, radius / 2, rng)
    inside = _edge(radius - np.hypot(down, across), max(1.0, 0.2 * radius))
    grain = gradient_noise(size, max(2.0, radius * rng.uniform(0.05, 0.3)), rng)
    opacity = (patches * 6 + 0.5).clip(0, 1) * inside * rng.uniform(*TEXTURE_OPACITY)
    paint = rng.uniform(0, 255) + TEXTURE_GRAIN * grain
    return box, opacity.astype(np.float32), np.repeat(paint[:, :, None], 3, axis=2)


def _soft(canvas: Canvas, rng: np.random.Generator) -> tuple[Box, Opacity, Paint]:
    radius = rng.uniform(*SOFT_RADIUS) * canvas.side
    box = canvas.around(1.5 * radius + 1)
    down, across = canvas.offsets(box)
    opacity = np.exp(-2 * (np.square(down) + np.square(across)) / radius**2).astype(np.float32)
    if rng.random() < 0.5:
        part = box.of(canvas.image).astype(np.float32)
        factor = 1 + rng.choice([-1, 1]) * rng.uniform(*SOFT_LIGHT)
        return box, opacity, part * np.float32(factor)
    blur = rng.uniform(*SOFT_BLUR) * canvas.side
    wider = canvas.around(1.5 * radius + 1 + 3 * blur)
    blurred = ndimage.gaussian_filter(
        wider.of(canvas.image).astype(np.float32), (blur, blur, 0), truncate=3
    )
    inner = Box(box.top - wider.top, box.left - wider.left, box.height, box.width)
    return box, np.minimum(2 * opacity, np.float32(1)), inner.of(blurred)


KINDS: Mapping[str, Callable[[Canvas, np.random.Generator], tuple[Box, Opacity, Paint]]] = {
    "blob": _blob,
    "scar": _scar,
    "paste": _paste,
    "texture": _texture,
    "soft": _soft,
}
"""Kind -> how one is drawn: its part of the photograph, and opacity (h, w) and paint (h, w, 3)
there."""


def _painted(kind: str, image: Image, box: Box, opacity: Opacity, paint: Paint) -> Defect:
    part = box.of(image).astype(np.float32)
    mixed = part + opacity[:, :, None] * (paint.clip(0, 255) - part)
    return Defect(kind, box, mixed.round().clip(0, 255).astype(np.uint8))


def _edge(inside_px: NDArray[np.floating], width_px: float) -> Opacity:
    """1 inside, 0 outside, and linear over the width of the edge."""
    return np.asarray((inside_px / width_px + 0.5).clip(0, 1), dtype=np.float32)


def _signed(contrast: float, part: NDArray[np.float32], rng: np.random.Generator) -> np.float32:
    """The contrast with a drawn sign, or with the one for which grey levels are left."""
    sign, mean = rng.choice([-1.0, 1.0]), float(part.mean())
    room = 255 - mean if sign > 0 else mean
    return np.float32(sign * contrast if room >= contrast / 2 else -sign * contrast)


def _log_uniform(limits: tuple[float, float], rng: np.random.Generator) -> float:
    low, high = np.log(limits)
    return float(np.exp(rng.uniform(low, high)))
