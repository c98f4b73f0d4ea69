"""A detector whose scores are painted: the red of a photograph is its map, the green its score.

Everything but the network and the method is real, so what is counted, printed and drawn can be
worked out by hand.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from patchbank.backbones.extractor import BackboneInfo, Layer
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.detector import Detector
from patchbank.detector.member import Member, ScoreStandardization
from patchbank.methods.base import PatchScores
from patchbank.runtime.devices import HOST
from patchbank.settings import Settings

SIZE = (32, 40)  # height x width
INFO = BackboneInfo(
    name="paint",
    available_layers={"colours": Layer(channels=3, stride=1)},
    default_layers=("colours",),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    size_multiple=1,
    input_size=None,
    license="CC0",
    source="tests",
    sha256="5eed",
)
CALIBRATION = Calibration(
    image_scores=np.array([60.0, 80.0, 100.0]),
    map_peaks=np.array([70.0, 50.0, 90.0]),
    false_alarm_rate=0.25,
)
"""Its threshold is 100, its pixel threshold 90."""
UNSCALED = ScoreStandardization()


class Colours:
    """The network: its one layer has the three colours as they are."""

    info = INFO
    layers = ("colours",)

    def __call__(self, image):
        return [np.moveaxis(image, 2, 0).astype(np.float32)]


class Read:
    """The method: reads the scores that were painted."""

    def __init__(self, facts):
        self._facts = facts

    def score(self, maps):
        red, green, _ = maps[0]
        return PatchScores(red, float(green.max()))

    def summary(self):
        return self._facts


def settings(**changes):
    """Settings under which the network sees each pixel of a photograph of `SIZE` as it is."""
    return Settings(**{"image_size": SIZE, "scales": (1.0,), "smoothing": 0.0, **changes})


def member(*, name="read", facts=None, image_scale=UNSCALED, map_scale=UNSCALED, **changes):
    """One member of a detector."""
    return Member(
        method=name,
        settings=settings(**changes),
        extractor=Colours(),
        model=Read(facts or {}),
        device=HOST,
        image_scale=image_scale,
        map_scale=map_scale,
    )


def detector(*members, calibration=CALIBRATION, fitted_on=("a", "b", "c"), versions=None):
    """A detector of these members; of one, if none are given."""
    return Detector(
        members=members or (member(),),
        calibration=calibration,
        fitted_on=fitted_on,
        versions=versions or {},
    )


def photograph(score, *lit, size=SIZE, blue=0):
    """(H, W, 3): a photograph of this score; `lit` are (value, rows, columns) of its map."""
    image = np.zeros((*size, 3), np.uint8)
    image[..., 1], image[..., 2] = score, blue
    for value, rows, columns in lit:
        image[rows, columns, 0] = value
    return image


def write(path, image):
    """Write a photograph without loss, making its folder.  -> its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def write_mask(path, rows, columns, size=SIZE):
    """Write a mask that is white there.  -> its path."""
    mask = np.zeros(size, np.uint8)
    mask[rows, columns] = 255
    return write(path, mask)
