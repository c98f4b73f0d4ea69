"""What the tests of every method's settings share: changes to try, and all that a fit tells."""

from __future__ import annotations

from typing import Any

from patchbank.methods import Method, Settings
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.fit import fit
from tests.photographs import part, parts

PHOTOGRAPHS = parts(5)
CHANGES = {
    "backbone": ({}, "efficientnet_lite2"),
    "layers": ({}, ("blocks.1", "blocks.3")),
    "image_size": ({}, 128),
    "resampling": ({}, "lanczos"),
    "crop": ({"image_size": 128}, 96),
    "map_interpolation": ({}, "nearest"),
    "map_border": ({}, "mirror"),
    "normalise_score": ({}, True),
    "smoothing": ({}, 2.0),
    "false_alarm_rate": ({}, 0.5),
    "image_score": ({}, "max"),
    "top_fraction": ({}, 0.2),
}
"""Setting -> settings that it needs beside it, a value that differs from every method's default."""


def told(method: Method, chosen: Settings) -> tuple[Any, ...]:
    """Everything that a fit and an inspection tell."""
    detector = fit([(method, chosen)], PHOTOGRAPHS, NullProgress(), HOST)
    seen = detector.predict(part(50, defect=7))
    return (
        seen.score,
        seen.threshold,
        seen.predictions[0].scores.patch_scores.tobytes(),
        seen.normalised_score,
        seen.anomaly_map.tobytes(),
        detector.calibration.image_scores.tobytes(),
    )
