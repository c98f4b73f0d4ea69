"""Settings in a detector file: their keys are their names, except where a setting was renamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from patchbank.settings import SIZES, Settings, settings_of
from patchbank.settings.rules import Choice

RENAMED_KEYS = {
    "max_upscale": "largest_enlargement",
    "n_reweight_neighbours": "support",
    "pool_deepest_only": "deepest_apart",
    "top_fraction": "top_share",
}
"""Name of a setting -> its key in the file, where the two differ: settings that were renamed."""
RENAMED_IMAGE_SCORES = {"top_fraction": "top_share"}
"""Value of `image_score` -> the word for it in the file, where the two differ."""


ADDED_SETTINGS: Mapping[str, Any] = {"banks": "joint"}
"""Settings that older files do not have -> what held before."""


def pack_settings(settings: Settings) -> dict[str, Any]:
    """All settings of a record by their key in the file.

    >>> from patchbank.methods import SpadeSettings
    >>> record = pack_settings(SpadeSettings(top_fraction=0.02))
    >>> record["image_score"], record["top_share"]
    ('top_share', 0.02)
    """
    keys, scores = _renamed_keys(type(settings)), _renamed_scores(type(settings))
    record = {keys.get(name, name): value for name, value in settings.to_mapping().items()}
    if scores and record["image_score"] in scores:
        record["image_score"] = scores[record["image_score"]]
    return record


def unpack_settings(record: Mapping[str, Any], kind: type[Settings]) -> dict[str, Any]:
    """Settings of a method by their name, from its record in the file; undoes `pack_settings`.

    Args:
        record: values by their key.
        kind: the settings of the method.
    """
    names = {key: name for name, key in _renamed_keys(kind).items()}
    scores = {key: score for score, key in _renamed_scores(kind).items()}
    known = settings_of(kind)
    settings = {name: value for name, value in ADDED_SETTINGS.items() if name in known}
    settings |= {names.get(key, key): value for key, value in record.items()}
    if settings.get("tiles") is True:  # sizes without a meaning, which were the defaults of then
        settings = {name: value for name, value in settings.items() if name not in SIZES}
    score = settings.get("image_score")
    if isinstance(score, str) and score in scores:
        settings["image_score"] = scores[score]
    return settings


def _renamed_keys(kind: type[Settings]) -> dict[str, str]:
    """The entries of RENAMED_KEYS that hold for a method.

    A method of another package may have a setting whose name is the former name of one of ours.
    """
    known = settings_of(kind)
    return {new: old for new, old in RENAMED_KEYS.items() if new in known and old not in known}


def _renamed_scores(kind: type[Settings]) -> dict[str, str]:
    """The entries of RENAMED_IMAGE_SCORES that hold for a method, by the choices it declares."""
    declared = settings_of(kind).get("image_score")
    if declared is None or not isinstance(declared.rule, Choice):
        return {}
    words = declared.rule.choices
    return {
        new: old for new, old in RENAMED_IMAGE_SCORES.items() if new in words and old not in words
    }
