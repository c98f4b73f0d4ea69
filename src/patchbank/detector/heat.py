"""The heat of an anomaly map as a picture of its own, to be laid over the photograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.core.spatial.box import Box
from patchbank.detector.overlay import FAINT, FULL, HEAT, SMALLEST_THRESHOLD, Drawable
from patchbank.types import Mask

LONGEST_PX = 1600
"""Longer side of the picture: maps are smooth, and a larger photograph is shown smaller anyway."""
OPAQUE_FROM = 0.25
"""Strength of the heat from which the picture is opaque."""


def heat_picture(inspection: Drawable) -> pillow.Image:
    """Colours of the overlay, transparent where nothing is odd, black where nothing was inspected.

    Whoever shows it chooses how strongly it covers the photograph.  `draw_overlay` is the same with
    a fixed opacity.

    Returns:
        An RGBA picture of the shape of the photograph, at most `LONGEST_PX` long.
    """
    normal, anomaly_map = inspection.normal_map_value, inspection.anomaly_map
    unit = max(inspection.pixel_threshold - normal, SMALLEST_THRESHOLD)
    height, width = anomaly_map.shape
    scale = min(LONGEST_PX / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    values = pillow.fromarray(anomaly_map)
    if scale < 1:
        values = values.resize(size, pillow.Resampling.BOX)
    heat = (np.asarray(values) - normal) / unit
    strength = np.clip((heat - FAINT) / (FULL - FAINT), 0, 1)
    drawn = np.empty((*strength.shape, 4), np.uint8)
    for channel, colours in enumerate(HEAT.T):
        drawn[..., channel] = np.rint(np.interp(strength, np.linspace(0, 1, len(HEAT)), colours))
    drawn[..., 3] = np.round(255 * np.minimum(strength / OPAQUE_FROM, 1))
    drawn[~_shown(inspection.box, inspection.inspected, (height, width), size)] = (0, 0, 0, 255)
    return pillow.fromarray(drawn)


def _shown(
    box: Box, inspected: Mask | None, shape: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """(h, w), True where the photograph was inspected.

    Args:
        box: of the inspected part.
        inspected: True for the pixels of the box that are inspected; None if all are.
        shape: (H, W) of the photograph.
        size: (w, h) of the result.
    """
    shown = np.zeros(shape, bool)
    rows, columns = (
        slice(box.top, box.top + box.height),
        slice(box.left, box.left + box.width),
    )
    shown[rows, columns] = True if inspected is None else inspected
    if shape == size[::-1]:
        return shown
    return np.asarray(pillow.fromarray(shown).resize(size, pillow.Resampling.NEAREST))
