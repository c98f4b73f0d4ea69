"""The graph of a whole detector: from photographs to verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from patchbank.backbones import OnnxExtractor
from patchbank.core.spatial.anomaly_map import REFERENCE_SIDE_PX
from patchbank.detector.member import Member, ScoreStandardization
from patchbank.detector.packing import DetectorParts
from patchbank.detector.preprocessing import SMALLEST_WEIGHT, grid_step, patch_stride
from patchbank.export.graph import judging, operators, resizing, sizes
from patchbank.export.graph.builder import GraphBuilder, Tensor
from patchbank.export.graph.methods import PatchGrids, chooses_by_features, grids_of
from patchbank.export.graph.network import Network
from patchbank.export.graph.region import Region, region
from patchbank.images.roi import RegionOfInterest


@dataclass(frozen=True, slots=True)
class Outputs:
    """Outputs of the graph for n photographs of one size."""

    score: Tensor
    """(n,) float32."""
    p_value: Tensor
    """(n,) float32."""
    is_anomalous: Tensor
    """(n,) bool."""
    anomaly_map: Tensor
    """(n, H, W) float32."""
    regions: Tensor
    """(n, H, W) bool: where the map is above its threshold."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Photographs as a member sees them."""

    inputs: list[Tensor]
    """(n, h, w, 3) float32 from 0 to 255, for each scale."""
    crop: sizes.Crop
    """The inspected part of the photograph, in its pixels."""
    photograph: tuple[Tensor, Tensor]
    """Height and width."""
    fits: Tensor | None = None
    """Whether the photograph is large enough for the crop, or has the shape of the region; None
    where all of it is inspected."""
    region: Region | None = None
    """The region of interest; None without."""


InputsOf = Callable[[Member], Seen]


def inspected(builder: GraphBuilder, parts: DetectorParts, inputs_of: InputsOf) -> Outputs:
    """Inspect photographs by all members.

    Args:
        builder: of the graph.
        parts: of the detector.
        inputs_of: makes the inputs of a member's network.
    """
    scores, maps = [], []
    for number, member in enumerate(parts.members):
        with builder.scope(f"member{number}"):
            score, anomaly_map = _by_member(builder, member, inputs_of(member), f"network{number}")
        scores.append(score)
        maps.append(anomaly_map)
    calibration = parts.calibration
    score, anomaly_map = _mean(scores), _mean(maps)
    return Outputs(
        score.cast(np.float32),
        judging.p_value(score, calibration).cast(np.float32),
        (score <= calibration.threshold).apply("Not"),  # a score that is no number, too
        anomaly_map,
        (anomaly_map.cast(np.float64) <= calibration.pixel_threshold).apply("Not"),
    )


def looked_at(pixels: Tensor, roi: RegionOfInterest | None, member: Member) -> Seen:
    """Photographs, (n, H, W, 3) uint8, as `detector.preprocessing` prepares them."""
    if roi is None:
        return _resized(pixels, member)
    height, width = pixels.size(1), pixels.size(2)
    part = region(roi.mask, height, width)
    inputs = _resized(part.box.of(pixels), member).inputs
    return Seen(inputs, part.box, (height, width), part.fits, part)


def _resized(pixels: Tensor, member: Member) -> Seen:
    """Photographs, resized and cropped."""
    settings, demanded = member.settings, member.extractor.info.size_multiple
    height, width = pixels.size(1), pixels.size(2)
    is_area = settings.resize == "area" and not isinstance(settings.image_size, tuple)
    multiple = grid_step(member.extractor) if is_area else demanded
    whole = sizes.input_size(height, width, settings, multiple if settings.crop is None else 1)
    crop = sizes.centre_crop(whole, settings.crop)
    box = sizes.in_photograph(crop, whole, height, width)
    step, inputs = grid_step(member.extractor), []
    for scale in settings.scales:
        if scale == 1 or sizes.is_crop(settings.crop, scale, step):
            resized = resizing.resized(pixels, *whole, settings.resampling)
            inputs.append(resized if settings.crop is None else crop.of(resized))
            continue
        down, across = (
            sizes.to_multiple(side.cast(np.float64) * scale, step)
            for side in (crop.height, crop.width)
        )
        part = pixels if settings.crop is None else box.of(pixels)
        inputs.append(resizing.resized(part, down, across, settings.resampling))
    fits = None
    if settings.crop is not None:
        fits = (crop.height <= whole[0]) & (crop.width <= whole[1])
    return Seen(inputs, box, (height, width), fits)


def _by_member(
    builder: GraphBuilder, member: Member, seen: Seen, prefix: str
) -> tuple[Tensor, Tensor]:
    """Standardised image scores, (n,) float64, and maps, (n, H, W), of one member."""
    extractor = member.extractor
    assert isinstance(extractor, OnnxExtractor)
    is_exact = chooses_by_features(member.model)
    network = Network(builder, extractor, prefix, is_exact=is_exact)
    maps = [
        feature
        for number, pixels in enumerate(seen.inputs)
        for feature in network.features(pixels, number)
    ]
    info = extractor.info.available_layers
    channels = [info[layer].channels for layer in extractor.layers] * len(seen.inputs)
    counted = None
    if seen.region is not None:
        stride = patch_stride(member.settings)
        counted = seen.region.patches((maps[0].size(2), maps[0].size(3)), stride)
    grids = grids_of(member.model, maps, channels, counted)
    anomaly_map = _anomaly_map(member, grids, seen, maps[0], counted)
    score = _standardised(grids.image_score.cast(np.float64), member.image_scale)
    if seen.fits is not None:  # a score of something else would say nothing of the part
        score = seen.fits.where(score, math.nan)
    return score, _standardised(anomaly_map, member.map_scale)


def _anomaly_map(
    member: Member, grids: PatchGrids, seen: Seen, first: Tensor, counted: Tensor | None
) -> Tensor:
    """(n, H, W) in the photograph's pixels; 0 outside the inspected part."""
    settings, crop = member.settings, seen.crop
    sides = seen.inputs[0].size(1), seen.inputs[0].size(2)
    area = (sides[0] * sides[1]).cast(np.float64)
    sigma = area.apply("Sqrt") * settings.smoothing / float(REFERENCE_SIDE_PX)
    rows, columns = (
        _map_operator(
            settings,
            sigma,
            patches=grids.patch_scores.size(axis),
            cells=first.size(axis + 1),
            side=sides[axis - 1],
            pixels=length,
            stride=grids.stride,
        )
        for axis, length in ((1, crop.height), (2, crop.width))
    )
    inside = operators.applied(rows, columns, grids.patch_scores)
    if seen.region is not None and counted is not None:
        # At the border of the region a pixel has the mean of the patches that count.
        weights = operators.applied(rows, columns, counted.cast(np.float32))
        is_reached = (weights > SMALLEST_WEIGHT) & (seen.region.mask > 0.0)
        inside = is_reached.where(inside / is_reached.where(weights, 1.0), 0.0)
    if seen.fits is None:
        return inside
    (height, width), zero = seen.photograph, first.builder.constant(0, np.int64)
    below, right = height - crop.top - crop.height, width - crop.left - crop.width
    pads = [zero, crop.top, crop.left, zero, below, right]
    return inside.padded(pads)


def _map_operator(
    settings: Any,
    sigma: Tensor,
    *,
    patches: Tensor,
    cells: Tensor,
    side: Tensor,
    pixels: Tensor,
    stride: int,
) -> Tensor:
    """The operator of one axis: enlarge, smooth, resize.  (pixels, patches)."""
    operator = operators.resized(
        operators.identity(patches),
        side,
        settings.map_interpolation,
        stride=stride,
        n_cells=cells,
    )
    if settings.smoothing > 0:
        operator = operators.smoothed(operator, sigma, settings.map_border)
    return operators.resized(operator, pixels)


def _standardised(values: Tensor, scale: ScoreStandardization) -> Tensor:
    if scale == ScoreStandardization():
        return values
    return (values - scale.centre) / scale.spread


def _mean(values: list[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total if len(values) == 1 else total / len(values)


def named(outputs: Outputs) -> Mapping[str, Tensor]:
    """Outputs by their names in the file."""
    return {name: getattr(outputs, name) for name in Outputs.__slots__}


def seen_pixels(inputs: list[Tensor]) -> Seen:
    """Pixels as the network sees them, (n, h, w, 3) uint8 for each scale; the map is of these."""
    height, width = inputs[0].size(1), inputs[0].size(2)
    zero = inputs[0].builder.constant(0, np.int64)
    whole = sizes.Crop(zero, zero, height, width)
    return Seen([one.cast(np.float32) for one in inputs], whole, (height, width))
