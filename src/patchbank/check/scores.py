"""Probable defects and wrong parts among good photographs, by their scores when left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from patchbank.check.findings import Finding
from patchbank.check.reading import Photograph
from patchbank.core.scores.left_out import LeftOutScores
from patchbank.detector.detector import Detector
from patchbank.detector.likeness import WHOLE_SHARE
from patchbank.errors import DataError
from patchbank.methods import METHODS
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.training.fit import PhotographChoice, fit
from patchbank.training.groups import NONE
from patchbank.training.interest import Interest
from patchbank.training.photographs import Remarks

FEWEST = 8
"""Photographs from which on one is compared with the others."""
RATE = 0.1
"""Expected number of photographs of a regular set that are accused."""
WHOLE_FACTOR = 1.4
"""Distance of the most ordinary patches of another part, over the usual one, at least."""


def find_unlike(
    photographs: Sequence[Photograph],
    bit_depth: int | None,
    interest: Interest,
    progress: Progress,
    device: Device,
) -> tuple[list[Finding], list[str]]:
    """Findings by the scores of a quick fit, and lines about what could not be said.

    Args:
        photographs: that show something, one of each group of copies.
        bit_depth: of those of 16 bits a channel; None without any.
        interest: part of each photograph that is compared.
        progress: shows the fit.
        device: where it computes.
    """
    if len(photographs) < FEWEST:
        return [], [
            f"defects among the good photographs are not looked for: that needs {FEWEST} different "
            f"ones, there are {len(photographs)}"
        ]
    method = METHODS["patchcore"]
    changes = {} if bit_depth is None else {"bit_depth": bit_depth}
    try:
        detector = fit(
            [(method, method.settings_from("fast", changes))],
            [one.source for one in photographs],
            progress,
            device,
            choice=PhotographChoice(groups=NONE, interest=interest),
            remarks=Remarks(),
        )
    except DataError as error:
        return [], [f"defects among the good photographs could not be looked for: {error}"]
    return _findings(photographs, detector), []


def _findings(photographs: Sequence[Photograph], detector: Detector) -> list[Finding]:
    calibration = detector.calibration
    ones = np.ones(len(photographs))
    limit = RATE / len(photographs) / 2  # there are two scores
    odd = np.zeros(len(photographs), dtype=bool)
    for scores, origin in (
        (calibration.image_scores, calibration.score_origin),
        (calibration.map_peaks, calibration.map_origin),
    ):
        model = LeftOutScores(scores, ones, origin).model
        odd |= np.array([model.tail_probability(float(score)) < limit for score in scores])
    assert detector.likeness is not None  # every fit has it
    distances = detector.likeness.patch_distances[-1]
    usual = np.maximum(np.median(distances, axis=0), 1e-9)
    scores, middle = calibration.image_scores, float(np.median(calibration.image_scores))
    defects: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for number in np.argsort(-scores, kind="stable").tolist():
        if not odd[number]:
            continue
        ordinary, largest = distances[number] / usual
        is_whole = ordinary > WHOLE_FACTOR and ordinary >= WHOLE_SHARE * largest
        found = wrong if is_whole else defects
        found[photographs[number].name] = f"score {scores[number]:.3g}, usual {middle:.3g}"
    kinds = (Finding("unlike_others", defects), Finding("wrong_part", wrong))
    return [finding for finding in kinds if finding.details]
