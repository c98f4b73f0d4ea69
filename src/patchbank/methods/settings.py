"""Settings that every method has: the way of an image up to its features, and the alarm rate."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from typing_extensions import Self

from patchbank.core.calibration import check_false_alarm_rate
from patchbank.data.images import Aspect, check_image_size
from patchbank.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Shared by all methods; checked when made, saved word for word with the detector."""

    backbone: str = "efficientnet_lite2"
    """Name of an embedded backbone, or the path of an ONNX file."""
    layers: tuple[str, ...] | None = None
    """Outputs of the backbone, shallow to deep; None for its own choice."""
    mean: tuple[float, float, float] | None = None
    """Of each colour, as a share of the full range, for ONNX files that do not say; with `std`."""
    std: tuple[float, float, float] | None = None
    """Standard deviation of each colour, likewise."""
    image_size: int | tuple[int, int] = 448
    """Height and width that the network sees, or the side of a square of their area."""
    scales: tuple[float, ...] = (1.0, 0.5)
    """Sizes relative to `image_size` at which features are taken; the first gives the grid."""
    aspect: Aspect = "keep"
    """``keep`` the photograph's shape, or ``squash`` it into a square."""
    largest_enlargement: float = 1.25
    """Small photographs are enlarged at most so many times (but to 224 pixels at least)."""
    smoothing: float = 4.0
    """Sigma of the map's Gaussian, in pixels of a 224 x 224 input; scaled with the input."""
    false_alarm_rate: float = 0.01
    """Share of good images that may be called anomalous, in (0, 1)."""
    seed: int = 0
    """Of everything random."""

    def __post_init__(self) -> None:
        _set(self, "backbone", os.fspath(self.backbone))
        _set(self, "layers", _tuple_or_none("layers", self.layers, str))
        _set(self, "mean", _tuple_or_none("mean", self.mean, (int, float), 3))
        _set(self, "std", _tuple_or_none("std", self.std, (int, float), 3))
        _set(self, "image_size", check_image_size(self.image_size))
        _set(self, "scales", _tuple_or_none("scales", self.scales, (int, float)))
        if not self.scales or not all(0.1 <= scale <= 1 for scale in self.scales):
            raise ParameterError(f"scales: expected numbers from 0.1 to 1, got {self.scales}")
        if (self.mean is None) != (self.std is None):
            raise ParameterError("mean, std: expected both or none of them, got one")
        require_choice("aspect", self.aspect, ("keep", "squash"))
        if isinstance(self.image_size, tuple) and self.aspect == "squash":
            raise ParameterError(
                "aspect: expected 'keep' where image_size gives height and width (they say it "
                "all), got 'squash'"
            )
        require_number("largest_enlargement", self.largest_enlargement)
        if not 1 <= self.largest_enlargement <= 100:
            raise ParameterError(
                f"largest_enlargement: expected 1 to 100, got {self.largest_enlargement}"
            )
        require_number("smoothing", self.smoothing)
        require_number("false_alarm_rate", self.false_alarm_rate)
        if not 0 <= self.smoothing <= 100:
            raise ParameterError(f"smoothing: expected 0 to 100 pixels, got {self.smoothing}")
        check_false_alarm_rate(self.false_alarm_rate)
        require_whole("seed", self.seed, 0)

    @property
    def normalisation(
        self,
    ) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
        """Mean and standard deviation, where they are given."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Build from parsed JSON or TOML.

        Raises:
            ParameterError: a key that is not a setting, or a value that is out of range.
        """
        known = [f.name for f in fields(cls)]
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"settings are {', '.join(known)}"
                raise ParameterError(f"expected a setting of {cls.__name__}, got {key!r}; {hint}")
        return cls(**given)

    def to_mapping(self) -> dict[str, Any]:
        """All settings, as JSON can hold them."""
        return asdict(self)

    def with_changes(self, **changes: Any) -> Self:
        """The same settings but for those given; an unknown one is a ParameterError."""
        type(self).from_mapping({**self.to_mapping(), **changes})
        return replace(self, **changes)


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ParameterError unless `value` is one of `choices`."""
    if value not in choices:
        raise ParameterError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def require_whole(name: str, value: object, low: int) -> None:
    """Raise ParameterError unless `value` is a whole number from `low` up."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ParameterError(f"{name}: expected a whole number, {low} or more, got {value!r}")


def require_number(name: str, value: object) -> None:
    """Raise ParameterError unless `value` is a number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ParameterError(f"{name}: expected a number, got {value!r}")


def require_share(name: str, value: float) -> None:
    """Raise ParameterError unless `value` lies in (0, 1]."""
    require_number(name, value)
    if not 0 < value <= 1:
        raise ParameterError(f"{name}: expected more than 0 and at most 1, got {value}")


def _tuple_or_none(
    name: str, value: Any, kind: type | tuple[type, ...], length: int | None = None
) -> tuple[Any, ...] | None:
    if value is None:
        return None
    entries = tuple(value) if isinstance(value, (list, tuple)) else ()
    if (
        not entries
        or not all(isinstance(e, kind) for e in entries)
        or len(entries) != (length or len(entries))
    ):
        rule = f"{length} numbers" if length else "a list of names"
        raise ParameterError(f"{name}: expected {rule}, got {value!r}")
    return entries


def _set(settings: Settings, name: str, value: object) -> None:
    object.__setattr__(settings, name, value)  # once, in __post_init__: JSON lists become tuples
