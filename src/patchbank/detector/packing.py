"""Keys of the detector file, written out: renaming something in the code never changes a file.

`docs/file-format.md` lists every key with its type, shape and the version that it came with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTING_KEYS = {
    "max_upscale": "largest_enlargement",
    "n_reweight_neighbours": "support",
    "pool_deepest_only": "deepest_apart",
    "top_fraction": "top_share",
}
"""Settings whose key in the file is not their name."""
IMAGE_SCORE_KEYS = {"top_fraction": "top_share"}
"""Values of `image_score` that are written in another way."""


def pack_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their name -> by their key in the file.

    >>> pack_settings({"image_score": "top_fraction", "top_fraction": 0.01})
    {'image_score': 'top_share', 'top_share': 0.01}
    """
    record = {SETTING_KEYS.get(name, name): value for name, value in settings.items()}
    if "image_score" in record:
        score = record["image_score"]
        record["image_score"] = IMAGE_SCORE_KEYS.get(score, score)
    return record


def unpack_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their key in the file -> by their name; the inverse of `pack_settings`."""
    names = {key: name for name, key in SETTING_KEYS.items()}
    settings = {names.get(key, key): value for key, value in record.items()}
    if "image_score" in settings:
        scores = {key: name for name, key in IMAGE_SCORE_KEYS.items()}
        score = settings["image_score"]
        settings["image_score"] = scores.get(score, score)
    return settings
