"""Write the report of an evaluation as one HTML page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image as pillow

from patchbank.datasets import Sample
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import Inspection
from patchbank.detector.overlay import draw_overlay
from patchbank.errors import DataError
from patchbank.evaluation.evaluate import Evaluation
from patchbank.evaluation.report import plots
from patchbank.images.folders import not_read_line

PAGE = "index.html"
SHOWN = 8  # images in each gallery
PICTURE_PX = 360
LOW_FALSE_POSITIVE_RATE = 0.1


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph of a gallery, plain and with its overlay, as data URLs."""

    label: str
    name: str
    photograph: str = ""
    overlay: str = ""
    error: str = ""
    """Reason why it could not be drawn; then there are no data URLs."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Photographs with the same kind of outcome."""

    title: str
    remark: str
    pictures: tuple[Picture, ...]


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
    environment = Environment(
        loader=PackageLoader("patchbank.evaluation.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html").render(
        evaluation=evaluation,
        detector=detector,
        roc=plots.roc_points(evaluation.ranking),
        roc_left=plots.roc_points(evaluation.ranking, share=LOW_FALSE_POSITIVE_RATE),
        low_rate=LOW_FALSE_POSITIVE_RATE,
        histogram=plots.histogram(scores[False], scores[True], detector.calibration.threshold),
        width=plots.WIDTH,
        height=plots.HEIGHT,
        galleries=_galleries(evaluation),
        not_read=not_read_line(evaluation.not_read) if evaluation.not_read else "",
    )
    path = folder / PAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page.encode("utf-8", "backslashreplace"))  # names need not be text
    except OSError as error:
        raise DataError(f"{path}: expected to write the report, got: {error.strerror}") from error
    return path


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
    try:
        image = inspection.pixels
        photograph = _data_url(pillow.fromarray(image))
        overlay = _data_url(draw_overlay(image, inspection))
    except Exception as error:  # whatever is wrong with one picture, the page is written
        return Picture(sample.label, sample.path.name, error=str(error) or type(error).__name__)
    return Picture(sample.label, sample.path.name, photograph, overlay)


def _data_url(picture: pillow.Image) -> str:
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
