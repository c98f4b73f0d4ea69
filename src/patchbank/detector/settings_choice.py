"""The record of how settings were chosen: what was tried, on what, and why one was chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from patchbank.runtime.percent import percent_to_a_tenth

KEY = "settings_choice"
MOST_TRIALS = 10_000
COUNTS = ("n_learned", "n_held_out", "n_defects")
KEYS = ("chosen", "reason", "trials", *COUNTS, "missed_below_px", "missed_below_share")
TRIAL_KEYS = ("changes", "auroc", "remark")


@dataclass(frozen=True, slots=True)
class SettingsTrial:
    """One combination of values that was tried."""

    changes: Mapping[str, Any]
    """Setting -> its value."""
    auroc: float | None
    """AUROC of photographs with synthetic defects against those without; None if there is none."""
    remark: str = ""
    """Reason why there is none."""
    smoothed: float | None = None
    """AUROC by which it was compared: the sum of what each of its values adds in all trials."""

    @property
    def rank(self) -> float:
        """Number by which trials are ordered; 0 where it could not be tried."""
        known = (each for each in (self.smoothed, self.auroc) if each is not None)
        return next(known, 0.0)

    @property
    def auroc_text(self) -> str:
        """The AUROC, and the one by which it was compared.

        >>> SettingsTrial({"patch_size": 1}, 0.9, smoothed=0.89).auroc_text
        '0.900, smoothed 0.890'
        """
        own = "-" if self.auroc is None else f"{self.auroc:.3f}"
        return own if self.smoothed is None else f"{own}, smoothed {self.smoothed:.3f}"

    @property
    def text(self) -> str:
        """The values in words.

        >>> SettingsTrial({"image_size": 640, "scales": (1.0, 0.5)}, 0.9).text
        'image_size 640, scales 1,0.5'
        """
        return ", ".join(f"{name} {value_text(value)}" for name, value in self.changes.items())


@dataclass(frozen=True, slots=True)
class SettingsChoice:
    """The settings that were chosen by trials, and the trials."""

    chosen: Mapping[str, Any]
    """Setting -> the value that was chosen; empty where the defaults were kept untried."""
    reason: str
    """Why, in a sentence."""
    trials: tuple[SettingsTrial, ...] = ()
    n_learned: int = 0
    """Photographs that were learned in each trial."""
    n_held_out: int = 0
    """Photographs that were held out."""
    n_defects: int = 0
    """Copies of them with a synthetic defect."""
    missed_below_px: float | None = None
    """Diameter of plain spots, in pixels of a photograph of median size, below which they are
    missed with the threshold of the fit; None where this is not known."""
    missed_below_share: float | None = None
    """The same, as a share of the root of the area of the photograph."""
    advice: str = ""
    """Sentence about what else would find smaller defects; empty where nothing is known."""

    @property
    def lines(self) -> list[str]:
        """Sentences: what was chosen and why, and what is missed by it."""
        found = [f"settings: {self.reason}"]
        if self.missed_below_px is not None and self.missed_below_share is not None:
            pixels = float(f"{self.missed_below_px:.2g}")
            found.append(
                f"defects smaller than about {pixels:g} pixels "
                f"({percent_to_a_tenth(self.missed_below_share)} of the side of a photograph) are "
                "missed with the threshold of the fit even when they are plain; larger ones are "
                "missed where they are fainter"
            )
        return found + [self.advice] * bool(self.advice)

    @property
    def table(self) -> list[tuple[str, str, str]]:
        """(values, AUROC, remark) of each trial, the best first."""
        ordered = sorted(self.trials, key=lambda trial: -trial.rank)
        return [
            (
                trial.text,
                trial.auroc_text,
                "chosen" if dict(trial.changes) == dict(self.chosen) else trial.remark,
            )
            for trial in ordered
        ]

    def to_json(self) -> dict[str, Any]:
        """The record, as a detector file and `info --json` have it."""
        return {
            "chosen": _plain(self.chosen),
            "reason": self.reason,
            "trials": [
                {
                    "changes": _plain(trial.changes),
                    "auroc": trial.auroc,
                    "remark": trial.remark,
                    "smoothed": trial.smoothed,
                }
                for trial in self.trials
            ],
            "n_learned": self.n_learned,
            "n_held_out": self.n_held_out,
            "n_defects": self.n_defects,
            "missed_below_px": self.missed_below_px,
            "missed_below_share": self.missed_below_share,
            "advice": self.advice,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SettingsChoice:
        """The inverse of `to_json`; the record is checked."""
        trials = tuple(
            SettingsTrial(
                **{name: trial[name] for name in TRIAL_KEYS}, smoothed=trial.get("smoothed")
            )
            for trial in record["trials"]
        )
        given = {name: record[name] for name in KEYS} | {"advice": record.get("advice", "")}
        return cls(**{**given, "trials": trials})


def pack_choice(choice: SettingsChoice | None) -> dict[str, Any]:
    """Keys of the record of a file; none where nothing was chosen."""
    return {} if choice is None else {KEY: choice.to_json()}


def unpack_choice(record: Mapping[str, Any]) -> SettingsChoice | None:
    """The choice in the record of a file, whose keys are checked; None if there is none."""
    return SettingsChoice.from_json(record[KEY]) if KEY in record else None


def value_text(value: Any) -> str:
    """A value of a setting as it is written on the command line.

    >>> value_text((1.0, 0.5)), value_text([448, 320]), value_text("max")
    ('1,0.5', '448,320', 'max')
    """
    if isinstance(value, (list, tuple)):
        return ",".join(map(value_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_settings_choice(value: Any) -> bool:
    """Whether parsed JSON is the record of a choice."""
    return (
        _has(value, KEYS)
        and _are_values(value["chosen"])
        and isinstance(value["reason"], str)
        and isinstance(value["trials"], list)
        and len(value["trials"]) <= MOST_TRIALS
        and all(map(_is_trial, value["trials"]))
        and all(type(value[name]) is int and 0 <= value[name] < 2**31 for name in COUNTS)
        and _is_positive_or_null(value["missed_below_px"])
        and _is_positive_or_null(value["missed_below_share"])
        and isinstance(value.get("advice", ""), str)  # not in the first files with a choice
    )


def _is_trial(value: Any) -> bool:
    return (
        _has(value, TRIAL_KEYS)
        and _are_values(value["changes"])
        and isinstance(value["remark"], str)
        and all(_is_share_or_null(value.get(name)) for name in ("auroc", "smoothed"))
    )


def _has(value: Any, keys: Sequence[str]) -> bool:
    """Whether it is an object with these keys; a newer program may write more."""
    return isinstance(value, dict) and set(keys) <= set(value)


def _are_values(value: Any) -> bool:
    """Whether it is settings: texts, numbers, truths and nothing, and lists of these."""
    return isinstance(value, dict) and all(
        all(map(_is_value, one)) if isinstance(one, list) else _is_value(one)
        for one in value.values()
    )


def _is_value(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool)) or _is_number(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_share_or_null(value: Any) -> bool:
    return value is None or (_is_number(value) and 0 <= value <= 1)


def _is_positive_or_null(value: Any) -> bool:
    return value is None or (_is_number(value) and 0 < value < 1e9)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
