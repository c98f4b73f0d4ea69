"""For each setting of each method a change that must show in what a detector says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from patchbank.methods import METHODS
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.fit import fit
from tests.photographs import part, parts

PHOTOGRAPHS = parts(5)
HALF = (0.5, 0.5, 0.5)
ONNX_FILE = "an ONNX file"  # replaced by one that does not state its normalisation

Change = tuple[Mapping[str, Any], Any]
"""Settings that it needs, and a value that differs from the default."""

SHARED: dict[str, Change] = {
    "backbone": ({}, "efficientnet_lite2"),
    "layers": ({}, ("blocks.1", "blocks.3")),
    "mean": ({"backbone": ONNX_FILE, "mean": HALF, "std": HALF}, (0.1, 0.5, 0.9)),
    "std": ({"backbone": ONNX_FILE, "mean": HALF, "std": HALF}, (0.3, 0.5, 0.5)),
    "image_size": ({}, 128),
    "resize": ({}, "squash"),
    "resampling": ({}, "lanczos"),
    "crop": ({"image_size": 128}, 96),
    "scales": ({}, (1.0,)),
    "max_upscale": ({"image_size": 320}, 4.0),
    "position": ({}, "canonical"),
    "part_size": ({"position": "canonical"}, (40, 64)),
    "rotations": ({}, 3),
    "flips": ({}, "vertical"),
    "translations": ({}, 2),
    "zooms": ({}, (0.9,)),
    "smoothing": ({}, 2.0),
    "map_interpolation": ({}, "nearest"),
    "map_border": ({}, "mirror"),
    "normalise_score": ({}, True),
    "false_alarm_rate": ({}, 0.5),
    "seed": ({}, 1),
    "image_score": ({}, "smooth_max"),
    "top_fraction": ({"image_score": "top_fraction"}, 0.2),
}
PATCHES: dict[str, Change] = {
    "patch_size": ({}, 5),
    "patch_stride": ({}, 2),
    "alignment": ({}, "nearest"),
}
BANK: dict[str, Change] = {
    "seed": ({"selection": "random"}, 1),
    "selection": ({}, "random"),
    "bank_limit": ({}, 50),
    "coreset": ({}, 0.05),
    "bank_rows": ({}, 60),
    "covering_radius": ({}, 30.0),
    "projection": ({}, "sparse"),
    "projection_dims": ({"projection": "gaussian"}, 8),
    "start": ({}, "random"),
    "n_starting_points": ({"start": "starting_points"}, 2),
    "n_neighbours": ({}, 3),
    "metric": ({}, "squared"),
    "index": ({"bank_limit": 500}, "ivf"),
    "n_reweight_neighbours": ({"image_score": "reweighted"}, 3),
}
# Copies may be unlike any photograph: those among the most similar ones show only where all count.
ALL_IMAGES = {"n_images": 50}
CHANGES: dict[str, dict[str, Change]] = {
    "patchcore": {
        **SHARED,
        **PATCHES,
        **BANK,
        "tiles": ({"image_size": 512}, True),
        "banks": ({}, "joint"),
        "target_dims": ({}, 60),
        "layer_dims": ({"target_dims": 60}, 40),
    },
    "graphcore": {
        **SHARED,
        **PATCHES,
        **BANK,
        "graph_neighbours": ({}, 4),
        "graph_weight": ({}, 0.5),
    },
    "padim": {
        **SHARED,
        **PATCHES,
        "patch_size": ({}, 1),
        "resize": ({}, "area"),
        "scales": ({}, (1.0, 0.5)),
        "max_upscale": ({"image_size": 320, "resize": "area"}, 4.0),
        "mean": ({**SHARED["mean"][0], "dims": None}, SHARED["mean"][1]),
        "std": ({**SHARED["std"][0], "dims": None}, SHARED["std"][1]),
        "dims": ({}, None),
        "rank": ({}, 2),
        "ridge": ({}, 0.1),
    },
    "spade": {
        **{name: change for name, change in SHARED.items() if name != "seed"},
        "scales": ({}, (1.0, 0.5)),
        "rotations": (ALL_IMAGES, 2),
        "flips": (ALL_IMAGES, "horizontal"),
        "translations": (ALL_IMAGES, 1),
        "zooms": (ALL_IMAGES, (1.2,)),
        "n_images": ({}, 1),
        "n_neighbours": ({}, 3),
        "fusion": ({}, "concatenate"),
        "pool_deepest_only": ({}, True),
    },
    "simplenet": {
        **SHARED,
        **PATCHES,
        "patch_size": ({}, 1),
        "hidden_dims": ({}, 17),
        "noise_std": ({}, 1.0),
        "margin": ({}, 1.0),
        "adaptor_learning_rate": ({}, 1e-3),
        "discriminator_learning_rate": ({}, 1e-3),
        # At such a rate the networks soon leave what serves the held-out photographs.
        "schedule": ({"steps": 60, "discriminator_learning_rate": 0.9}, "early_stopping"),
        "steps": ({}, 4),
        "batch_patches": ({}, 33),
        "folds": ({}, 2),
    },
}
ELSEWHERE = {method: {"weights", "bit_depth"} for method in CHANGES}
ELSEWHERE["spade"].add("seed")
for method in set(CHANGES) - {"patchcore"}:
    ELSEWHERE[method].add("tiles")
"""Settings without a row: weights need torch (tests/unit/test_timm_backbones.py), the bit depth
photographs of 16 bits (tests/unit/test_bit_depth.py), SPADE's seed changes nothing
(tests/contract/test_settings_spade.py), and tiles are PatchCore's (tests/unit/test_tiles.py)."""

QUICK = {"backbone": "efficientnet_lite0", "image_size": 96, "top_fraction": 0.1}
BASE: dict[str, Mapping[str, Any]] = {
    "patchcore": {**QUICK, "bank_limit": 80, "patch_stride": 1},
    "graphcore": {**QUICK, "bank_limit": 80, "patch_stride": 1},
    "padim": {**QUICK, "patch_stride": 1, "dims": 40},
    "spade": {**QUICK, "n_images": 3},
    "simplenet": {**QUICK, "patch_stride": 1, "hidden_dims": 16, "steps": 3, "batch_patches": 32},
}
"""Settings from which changes start."""

COMPANIONS = {
    "mean": {"std": HALF},
    "std": {"mean": HALF},
    "layer_dims": {"target_dims": 8},
    "part_size": {"position": "canonical"},
    "projection_dims": {"projection": "gaussian"},
}
"""Settings without which another is refused."""


def outcome(method: str, **settings: Any) -> tuple[Any, ...]:
    """Everything that a fit and an inspection report.

    Score, threshold, patch scores, normalised score, map, and scores of the good images.
    """
    return _outcome(method, tuple(sorted({**BASE[method], **settings}.items())))


@cache
def _outcome(method: str, settings: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
    chosen = METHODS[method]
    record = chosen.settings(**dict(settings))
    detector = fit([(chosen, record)], PHOTOGRAPHS, NullProgress(), HOST)
    seen = detector.predict(part(50, defect=7))
    return (
        seen.score,
        seen.threshold,
        seen.predictions[0].scores.patch_scores.tobytes(),
        seen.normalised_score,
        seen.anomaly_map.tobytes(),
        detector.calibration.image_scores.tobytes(),
    )


def with_file(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Settings whose backbone, where it is the placeholder, is a file."""
    return {n: str(path) if v == ONNX_FILE else v for n, v in settings.items()}
