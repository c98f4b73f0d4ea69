"""What comes of a detector file: opened, or refused, or worse."""

from __future__ import annotations

import math
import traceback
import warnings
from dataclasses import dataclass

import numpy as np

from patchbank.detector.detector import detector_from_bytes
from patchbank.errors import DetectorFileError, PatchbankError

REFUSED, SAME, OTHER, AT_PREDICT = "refused", "same score", "another score", "refused at predict"
BAD = "bad"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for one file."""

    kind: str
    """One of the words above."""
    detail: str = ""
    """The message, or the end of the traceback."""


def outcome(content: bytes, photograph: np.ndarray, score: float) -> Outcome:
    """Open a file and inspect a photograph with it.

    Args:
        content: of the file.
        photograph: (H, W, 3).
        score: of the photograph by the file that was mutated.
    """
    try:
        detector = detector_from_bytes(content, device="cpu")
    except DetectorFileError as error:
        return _told(REFUSED, str(error))
    except BaseException:
        return Outcome(BAD, "load: " + traceback.format_exc()[-600:])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # overflow ends in an error
            inspection = detector.predict(photograph)
        found = inspection.score
        line = inspection.to_json()
        repr(detector)
    except PatchbankError as error:
        return _told(AT_PREDICT, str(error))
    except BaseException:
        return Outcome(BAD, "predict: " + traceback.format_exc()[-600:])
    numbers = [line[name] for name in ("score", "p_value", "threshold")]
    if not all(map(math.isfinite, numbers)):
        return Outcome(BAD, f"score, p-value or threshold: {numbers}")
    return Outcome(SAME if found == score else OTHER, f"{found!r}")


def _told(kind: str, message: str) -> Outcome:
    is_line = len(message.splitlines()) == 1 and len(message) < 1500
    return Outcome(kind if is_line else BAD, message[:300])
