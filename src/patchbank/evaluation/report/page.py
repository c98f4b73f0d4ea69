"""Write the report of an evaluation as one HTML page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from patchbank.datasets import Sample
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import Inspection
from patchbank.evaluation.evaluate import Evaluation
from patchbank.evaluation.report.plots import roc_points
from patchbank.images.folders import not_read_line
from patchbank.images.masks import read_mask
from patchbank.report import Gallery, Picture, draw_inspection, render, write_page
from patchbank.report.plots import histogram
from patchbank.types import Mask

SHOWN = 8  # images in each gallery
LOW_FALSE_POSITIVE_RATE = 0.1


def write_report(evaluation: Evaluation, detector: Detector, folder: Path) -> Path:
    """Write one self-contained page into a folder, which is made if it is not there.

    -> the path of the page.  A photograph that is not there any more, or not the one that was
    inspected, has the reason in its place.

    Raises:
        DataError: the page cannot be written.
    """
    scores = {
        kind: np.array(
            [i.score for sample, i in evaluation.inspections if sample.is_defect == kind]
        )
        for kind in (False, True)
    }
    page = render(
        "patchbank.evaluation.report",
        evaluation=evaluation,
        sentence=_sentence(evaluation),
        detector=detector,
        roc=roc_points(evaluation.ranking),
        roc_left=roc_points(evaluation.ranking, share=LOW_FALSE_POSITIVE_RATE),
        low_rate=LOW_FALSE_POSITIVE_RATE,
        histogram=histogram(
            {"good": scores[False], "bad": scores[True]}, [(detector.calibration.threshold, "")]
        ),
        galleries=_galleries(evaluation),
        has_masks=any(sample.mask is not None for sample, _ in evaluation.inspections),
        not_read=not_read_line(evaluation.not_read) if evaluation.not_read else "",
    )
    return write_page(folder, page)


def _sentence(evaluation: Evaluation) -> str:
    """The result in one sentence."""
    found = round(evaluation.detection_rate * evaluation.n_defect)
    flagged = round(evaluation.false_alarm_rate * evaluation.n_good)
    return (
        f"{found:,} of {evaluation.n_defect:,} defects found, and {flagged:,} of "
        f"{evaluation.n_good:,} good parts flagged, at the threshold in use."
    )


def _galleries(evaluation: Evaluation) -> list[Gallery]:
    by_score = sorted(evaluation.inspections, key=lambda pair: pair[1].score)
    good = [pair for pair in by_score if not pair[0].is_defect]
    defect = [pair for pair in by_score if pair[0].is_defect]
    missed = sum(not i.is_anomalous for _, i in defect)
    alarms = sum(i.is_anomalous for _, i in good)
    return [
        Gallery(
            "Worst misses",
            f"Defect images of the lowest score; {missed} of {len(defect)} are missed.",
            tuple(_picture(*pair) for pair in defect[:SHOWN]),
        ),
        Gallery(
            "Worst false alarms",
            f"Good images of the highest score; {alarms} of {len(good)} are flagged.",
            tuple(_picture(*pair) for pair in reversed(good[-SHOWN:])),
        ),
        Gallery(
            "Clearest finds",
            "Defect images of the highest score.",
            tuple(_picture(*pair) for pair in reversed(defect[-SHOWN:])),
        ),
    ]


def _picture(sample: Sample, inspection: Inspection) -> Picture:
    def defect() -> Mask | None:
        size = inspection.size[1], inspection.size[0]
        return None if sample.mask is None else read_mask(sample.mask, size)

    return draw_inspection(
        f"{sample.label} · {sample.path.name}",
        inspection,
        is_defect=sample.is_defect,
        defect=defect,
    )
