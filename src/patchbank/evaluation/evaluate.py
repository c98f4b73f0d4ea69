"""Measure a detector on labelled images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.datasets import GOOD, Dataset, Sample, find_dataset
from patchbank.detector.detector import Detector
from patchbank.detector.difference import DifferenceCount
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import DataError, ImageError
from patchbank.evaluation.findings import (
    RateResult,
    findings_of,
    results_by_rate,
)
from patchbank.evaluation.mask_sizes import check_masks
from patchbank.evaluation.metrics import (
    MapWithMask,
    PixelCounter,
    PixelMetrics,
    RankingCounts,
    auroc,
    average_precision,
    count_images,
    f1_max,
)
from patchbank.images.digest import pixel_digest
from patchbank.images.masks import read_mask
from patchbank.runtime.arguments import DETECTOR, of_kind, path_argument
from patchbank.runtime.percent import percent
from patchbank.runtime.progress import Progress, listener
from patchbank.runtime.threads import map_in_order
from patchbank.types import Mask

SCHEMA_VERSION = 1
"""Version of `docs/schemas/evaluate.schema.json`."""
UNLIKE_SHARE = 0.1
"""Share of the photographs that a difference from the learned ones needs to be named."""


@dataclass(frozen=True, slots=True)
class DefectResult:
    """One defect class against all good images."""

    image_auroc: float
    pixel_auroc: float | None
    aupro: float | None
    n: int
    detection_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Metrics of a detector on a data set; metrics that need masks are None without them."""

    dataset: str
    image_auroc: float
    image_ap: float
    image_f1_max: float
    pixel_auroc: float | None
    pixel_ap: float | None
    aupro: float | None
    detection_rate: float
    """Share of the defect images above the calibrated threshold."""
    false_alarm_rate: float
    """Share of the good images above the calibrated threshold."""
    n_good: int
    n_defect: int
    per_defect: dict[str, DefectResult]
    """Results by the name of the defect; empty where they were not asked for."""
    ranking: RankingCounts
    """Counts at the score of every defect image: the ROC curve."""
    inspections: tuple[tuple[Sample, Inspection], ...]
    """All images that could be inspected, in the order of the data set."""
    unread: tuple[FailedInspection, ...]
    """Images that could not be inspected: they are in no metric."""
    not_read: tuple[Path, ...] = ()
    """Files among the photographs whose kind is not read: they are in no metric either."""
    remarks: tuple[str, ...] = ()
    """Lines about masks that are missing or cannot be used."""
    by_rate: tuple[RateResult, ...] = ()
    """Results at other false-alarm rates, ascending; empty where no rate is known."""
    findings: tuple[str, ...] = ()
    """Lines about what the figures do not say by themselves, and what to do."""
    learned: tuple[Path, ...] = ()
    """Test images that the detector has learned."""

    def to_json(self) -> dict[str, Any]:
        """The document that `patchbank evaluate --json` writes."""
        names = (
            "dataset image_auroc image_ap image_f1_max pixel_auroc pixel_ap aupro "
            "detection_rate false_alarm_rate n_good n_defect"
        )
        return {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(self, name) for name in names.split()},
            "per_defect": {
                name: {
                    "image_auroc": result.image_auroc,
                    "pixel_auroc": result.pixel_auroc,
                    "aupro": result.aupro,
                    "n": result.n,
                    "detection_rate": result.detection_rate,
                }
                for name, result in self.per_defect.items()
            },
            "by_rate": [asdict(result) for result in self.by_rate],
            "findings": list(self.findings),
            "learned": [str(path) for path in self.learned],
            "unread": [unread.to_json() for unread in self.unread],
            "not_read": [str(path) for path in self.not_read],
            "remarks": list(self.remarks),
        }


def evaluate(
    detector: Detector,
    dataset: Dataset | str | os.PathLike[str],
    *,
    per_defect: bool = True,
    find_learned: bool = True,
    progress: Progress | None = None,
) -> Evaluation:
    """Inspect all images of a data set and compare with their labels.

    Pixels are compared in the inspected part of each photograph: the centre, if `crop` is set; the
    region of interest of the detector, if it has one.  Defects outside of it count in no metric of
    pixels, but as defects in those of whole images; `findings` has a line about them.

    Args:
        detector: to measure.
        dataset: labelled images, or the folder or table of such, as `find_dataset` reads it.
        per_defect: compare each defect class by itself too, which computes all maps again for each.
        find_learned: find test images that the detector has learned, for which all are read again.
        progress: shows the steps.

    Raises:
        DataError: too few of its images can be read to compare good with defect ones.
        ParameterError: `detector` is none, but a recipe or the path of a file.
    """
    of_kind("detector", detector, Detector, DETECTOR)
    progress = listener(progress)
    if not isinstance(dataset, Dataset):
        dataset = find_dataset(path_argument("dataset", dataset))
    check = check_masks(dataset)
    remark = check.problem
    for line in filter(None, (check.problem, check.note)):
        progress.note(line)
    inspected, unread = _inspect_all(detector, dataset, progress)
    is_defect = np.array([sample.is_defect for sample, _ in inspected])
    if not is_defect.any() or is_defect.all():
        raise DataError(
            f"{dataset.name}: expected good and defect images, got one kind only"
            + (f"; {len(unread)} could not be read" if unread else "")
        )
    flagged = np.array([inspection.is_anomalous for _, inspection in inspected])
    scores = np.array([inspection.score for _, inspection in inspected])
    ranking = count_images(scores, is_defect)
    pixels: PixelMetrics | None = None
    if remark is None:
        pixels, remark = pixel_metrics(inspected, dataset, progress)
        if remark is not None:
            progress.note(remark)
    digests = detector.photograph_digests if find_learned else None
    is_learned = _is_learned(inspected, digests, progress)
    by_defect = (
        _per_defect(inspected, dataset, progress, with_pixels=remark is None) if per_defect else {}
    )
    return Evaluation(
        dataset=dataset.name,
        image_auroc=auroc(ranking),
        image_ap=average_precision(ranking),
        image_f1_max=f1_max(ranking)[0],
        pixel_auroc=pixels.auroc if pixels else None,
        pixel_ap=pixels.average_precision if pixels else None,
        aupro=pixels.aupro if pixels else None,
        detection_rate=float(flagged[is_defect].mean()),
        false_alarm_rate=float(flagged[~is_defect].mean()),
        n_good=int((~is_defect).sum()),
        n_defect=int(is_defect.sum()),
        per_defect=by_defect,
        ranking=ranking,
        inspections=tuple(inspected),
        unread=tuple(unread),
        not_read=dataset.not_read,
        remarks=(*dataset.notes, *filter(None, (check.note, remark))),
        by_rate=results_by_rate(detector.calibration, scores, is_defect),
        findings=_findings(detector, inspected, is_learned, has_pixels=pixels is not None),
        learned=tuple(inspected[number][0].path for number in np.flatnonzero(is_learned)),
    )


Inspected = Sequence[tuple[Sample, Inspection]]
"""Labelled images with their inspections."""


def _inspect_all(
    detector: Detector, dataset: Dataset, progress: Progress
) -> tuple[list[tuple[Sample, Inspection]], list[FailedInspection]]:
    inspected, unread = [], []
    paths = [sample.path for sample in dataset.samples]
    with progress.task("inspecting", len(paths)) as advance:
        for sample, outcome in zip(dataset.samples, detector.inspect(paths), strict=True):
            if isinstance(outcome, FailedInspection):
                unread.append(outcome)
            else:
                inspected.append((sample, outcome))
            advance(1)
    return inspected, unread


def _is_learned(
    inspected: Inspected, digests: NDArray[np.uint8] | None, progress: Progress
) -> NDArray[np.bool_]:
    """Whether each image has the pixels of a learned one.  -> (n,).

    Args:
        inspected: n images.
        digests: (m, 8) of the learned ones; None where they are not known.
        progress: shows the images.
    """
    found = np.zeros(len(inspected), dtype=np.bool_)
    if digests is None:
        return found
    known = {row.tobytes() for row in digests}
    with progress.task("looking for learned photographs", len(inspected)) as advance:
        for number, (_, digest) in enumerate(map_in_order(_digest, inspected, _n_pixels)):
            found[number] = digest.result() in known
            advance(1)
    return found


def _digest(pair: tuple[Sample, Inspection]) -> bytes | None:
    """Digest of the pixels that were inspected; None where they cannot be read any more."""
    try:
        return pixel_digest(pair[1].pixels)
    except ImageError:
        return None


def _findings(
    detector: Detector, inspected: Inspected, is_learned: NDArray[np.bool_], *, has_pixels: bool
) -> tuple[str, ...]:
    """Lines about the figures, and about differences from the learned photographs."""
    outside = _outside_line(detector, inspected) if has_pixels else []
    count = DifferenceCount()
    for _, inspection in inspected:
        count.add(inspection.image, inspection.unlike)
    found = findings_of(detector.calibration, inspected, is_learned)
    return (*outside, *found, *count.lines(UNLIKE_SHARE))


def _outside_line(detector: Detector, inspected: Inspected) -> list[str]:
    """A line about defects that the detector does not inspect."""
    if detector.roi is None:
        return []
    with_mask = [(sample, found) for sample, found in inspected if sample.mask is not None]
    shown = [found.result() for _, found in map_in_order(_is_seen, with_mask, _n_pixels)]
    hidden = len(shown) - sum(shown)
    line = f"pixels are compared in the region of interest only ({percent(detector.roi.share)})"
    if hidden:
        line += (
            f"; {hidden} of {len(shown)} defect images show no defect there: in the metrics of "
            "whole images they count as defects"
        )
    return [line]


def _is_seen(pair: tuple[Sample, Inspection]) -> bool:
    return _shows_inside(*pair)


def _ranking(inspected: Inspected) -> RankingCounts:
    scores = np.array([inspection.score for _, inspection in inspected])
    return count_images(scores, np.array([sample.is_defect for sample, _ in inspected]))


def _per_defect(
    inspected: Inspected, dataset: Dataset, progress: Progress, *, with_pixels: bool
) -> dict[str, DefectResult]:
    results = {}
    for name in sorted({sample.label for sample, _ in inspected} - {GOOD}):
        chosen = [(sample, i) for sample, i in inspected if sample.label in (GOOD, name)]
        flagged = [i.is_anomalous for sample, i in chosen if sample.is_defect]
        pixels = pixel_metrics(chosen, dataset, progress)[0] if with_pixels else None
        results[name] = DefectResult(
            image_auroc=auroc(_ranking(chosen)),
            pixel_auroc=pixels.auroc if pixels else None,
            aupro=pixels.aupro if pixels else None,
            n=len(flagged),
            detection_rate=float(np.mean(flagged)),
        )
    return results


def pixel_metrics(
    inspected: Inspected, dataset: Dataset, progress: Progress
) -> tuple[PixelMetrics | None, str | None]:
    """Metrics of pixels, or None and the reason if masks are there but cannot be used.

    Maps are computed one after the other, so that memory does not grow with their number.

    Args:
        inspected: labelled images of the data set with their inspections.
        dataset: that they belong to, whose masks have been checked.
        progress: shows the images.
    """
    if not dataset.has_masks:
        return None, None
    passes = 2  # more if the distinct scores do not fit into memory, which is not known yet
    with progress.task("comparing pixels", passes * len(inspected)) as advance:

        def maps_and_masks() -> Iterator[MapWithMask]:
            for _, drawn in map_in_order(_map_and_mask, inspected, _n_pixels):
                yield drawn.result()
                advance(1)

        try:
            if not any(_shows_inside(sample, inspection) for sample, inspection in inspected):
                return None, "no pixel metrics: no mask shows a defect in the inspected part"
            return PixelCounter(maps_and_masks).metrics(), None
        except ImageError as error:  # the figures of whole images are not lost
            return None, f"no pixel metrics: {error}"


def _map_and_mask(pair: tuple[Sample, Inspection]) -> MapWithMask:
    """Map and mask in the box of the inspected part, and its pixels that are inspected."""
    sample, inspection = pair
    box, inspected = inspection.box, inspection.inspected
    inside = box.of(inspection.anomaly_map), box.of(_mask(sample, inspection))
    return inside if inspected is None else (*inside, inspected)


def _shows_inside(sample: Sample, inspection: Inspection) -> bool:
    """Whether the mask of an image shows a defect in the inspected part."""
    mask, inspected = inspection.box.of(_mask(sample, inspection)), inspection.inspected
    return bool((mask if inspected is None else mask & inspected).any())


def _n_pixels(pair: tuple[Sample, Inspection]) -> int:
    width, height = pair[1].size
    return width * height


def _mask(sample: Sample, inspection: Inspection) -> Mask:
    size = inspection.size[1], inspection.size[0]
    return read_mask(sample.mask, size) if sample.mask else np.zeros(size, dtype=np.bool_)
