"""Verifies an exported graph: the same photographs by the detector and by the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from patchbank.core.scores.calibration import Calibration
from patchbank.core.spatial.box import Box
from patchbank.detector.inspecting import inspect_photograph
from patchbank.detector.inspection import Inspection
from patchbank.detector.inspector import Inspector, parts_of_inspector
from patchbank.detector.packing import DetectorParts
from patchbank.detector.preprocessing import prepare
from patchbank.errors import PatchbankError, VariableError
from patchbank.export.precision import TOLERANCES
from patchbank.export.running import ExportedDetector, Verdict
from patchbank.export.verification import Pair, Verification, correlation, share
from patchbank.images.several import several_images
from patchbank.images.source import ImageInput, ImageSource, image_source
from patchbank.methods import METHODS
from patchbank.runtime.progress import Progress, listener
from patchbank.types import Image

DRAWN_SIZES: tuple[tuple[int, int], ...] = ((96, 160), (301, 203), (480, 640), (40, 30))
"""Height and width of drawn photographs: none square, some smaller than the network's input."""
ROUNDING = 1e-6
"""Share of a number that float32 rounds."""
P_VALUE_TOLERANCE = 1e-3
SMALLEST_P_VALUE = 1e-37
"""Lower p-values have no float32."""
MOST_PICTURES = 4
"""Pictures of learned photographs that a graph is verified with."""


def verify(
    detector: Inspector,
    exported: ExportedDetector,
    images: ImageInput | Iterable[ImageInput],
    *,
    progress: Progress | None = None,
) -> Verification:
    """Compare an exported graph with its detector.

    Args:
        detector: that was exported.
        exported: the graph.
        images: photographs to compare them on: a folder, one, or several.
        progress: shows the steps.

    Raises:
        ImageTypeError: something is no image.
        DataError: no such folder, or no image in it; or the graph cannot be run.
    """
    return verified(detector, exported, several_images(images).sources, progress)


def verified(
    detector: Inspector,
    exported: ExportedDetector,
    sources: Iterable[ImageSource],
    progress: Progress | None = None,
) -> Verification:
    """`verify` for the sources of photographs."""
    return verified_together(detector, [exported], sources, progress)[0]


def verified_together(
    detector: Inspector,
    graphs: Sequence[ExportedDetector],
    sources: Iterable[ImageSource],
    progress: Progress | None = None,
) -> list[Verification]:
    """`verified` for several graphs of one detector, which inspects each photograph once."""
    given, parts = list(sources), parts_of_inspector(detector)
    pairs: list[list[Pair]] = [[] for _ in graphs]
    errors: list[list[str]] = [[] for _ in graphs]
    with listener(progress).task("comparing", len(given)) as advance:
        for source in given:
            try:
                inspection = inspect_photograph(parts, source, keep_image=True)
            except VariableError:
                raise
            except PatchbankError as error:
                for lines in errors:
                    lines.append(str(error))
                continue
            finally:
                advance(1)
            for graph, found, lines in zip(graphs, pairs, errors, strict=True):
                try:
                    found.append(_pair(parts, inspection, graph, source.name))
                except PatchbankError as error:
                    lines.append(str(error))
    return [
        Verification(
            graph.name,
            graph.runtime,
            graph.precision,
            tuple(found),
            _problems(detector, graph),
            tuple(lines),
        )
        for graph, found, lines in zip(graphs, pairs, errors, strict=True)
    ]


def _problems(detector: Inspector, exported: ExportedDetector) -> tuple[str, ...]:
    theirs = str(exported.metadata.get("detector_sha256"))
    if theirs == detector.sha256:
        return ()
    return (f"the graph of another detector ({theirs[:12]} instead of {detector.sha256[:12]})",)


def _pair(
    parts: DetectorParts, inspection: Inspection, exported: ExportedDetector, name: str
) -> Pair:
    """Compare the inspection of a photograph with what a graph gives for it."""
    if exported.metadata["entry"] == "pixels":
        member, prediction = parts.members[0], inspection.predictions[0]
        prepared = prepare(member.extractor, member.settings, inspection.pixels)
        verdict = exported(*(one[None] for one in prepared.inputs))[0]
        size = prediction.geometry.input_size
        geometry = replace(prediction.geometry, photograph=size, crop_box=Box(0, 0, *size))
        anomaly_map = replace(prediction, geometry=geometry).anomaly_map()
    else:
        verdict = exported.inspect(inspection.pixels)
        anomaly_map = inspection.anomaly_map
    differences = np.abs(anomaly_map - verdict.anomaly_map)
    highest = max(float(np.abs(anomaly_map).max()), abs(inspection.pixel_threshold))
    # Of a photograph that was learned, the map may be nothing but rounding.
    tolerance = TOLERANCES[exported.precision]
    is_flat = max(map(np.ptp, (anomaly_map, verdict.anomaly_map))) <= tolerance.map * highest
    return Pair(
        name,
        inspection.score,
        verdict.score,
        inspection.p_value,
        verdict.p_value,
        inspection.is_anomalous,
        verdict.is_anomalous,
        share(float(differences.max()), highest),
        1.0 if is_flat else correlation(anomaly_map, verdict.anomaly_map),
        inspection.threshold,
        _is_consistent(parts.calibration, verdict),
        tolerance.of_map(
            [METHODS[member.method] for member in parts.members],
            float((differences > tolerance.map * highest).mean()),
        ),
    )


def _is_consistent(calibration: Calibration, verdict: Verdict) -> bool:
    """Whether p-value and regions of a graph follow from its own score and map."""
    above = verdict.anomaly_map > calibration.pixel_threshold
    edge = np.abs(verdict.anomaly_map - calibration.pixel_threshold)
    is_sure = edge > ROUNDING * np.abs(verdict.anomaly_map)
    room = ROUNDING * abs(verdict.score)
    least, most = (calibration.p_value(verdict.score + shift) for shift in (room, -room))
    is_p_value = (1 - P_VALUE_TOLERANCE) * least <= max(verdict.p_value, SMALLEST_P_VALUE)
    is_p_value &= verdict.p_value <= (1 + P_VALUE_TOLERANCE) * max(most, SMALLEST_P_VALUE)
    return bool(is_p_value and (verdict.regions == above)[is_sure].all())


def photographs_at_hand(detector: Inspector) -> Iterator[ImageSource]:
    """Photographs that need no files: pictures of learned ones, and drawn ones.

    With a region of interest, pictures show nothing but its box, and are no photographs.
    """
    roi, sizes = parts_of_inspector(detector).roi, DRAWN_SIZES
    if roi is None:
        for number, image in enumerate(islice(_pictures(detector), MOST_PICTURES), start=1):
            yield image_source(image, f"learned {number}")
    else:
        sizes = (roi.size, (roi.size[0] * 2, roi.size[1] * 2))
    for number, (height, width) in enumerate(sizes, start=1):
        yield image_source(drawn(height, width, number), f"drawn {width} x {height}")


def _pictures(detector: Inspector) -> Iterator[Image]:
    photographs = parts_of_inspector(detector).photographs
    kept = None if photographs is None else photographs.pictures
    if kept is not None:
        for number in kept.photographs.tolist():
            picture = kept.picture(number)
            if picture is not None:
                yield picture.image


def drawn(height: int, width: int, seed: int) -> Image:
    """A drawn photograph, (height, width, 3): a gradient, a disc and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    grey = 90 + 60 * x + 40 * np.sin(9 * y)
    grey[(y - 0.5) ** 2 + (x - 0.4) ** 2 < 0.04] += 50
    colours = grey[..., None] * rng.uniform(0.7, 1.0, 3) + rng.normal(0, 8, (height, width, 3))
    image: Image = np.clip(np.round(colours), 0, 255).astype(np.uint8)
    return image
