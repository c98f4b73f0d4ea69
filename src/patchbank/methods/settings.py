"""Settings that every method has: the way of an image up to its features, and the alarm rate."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, get_args

from typing_extensions import Self

from patchbank.core.scores.calibration import check_false_alarm_rate
from patchbank.core.scores.image_score import ImageScore
from patchbank.core.spatial.resampling import Border, Interpolation
from patchbank.errors import ParameterError
from patchbank.images.augment import Augmentation, Flips, copies
from patchbank.images.resize import Resampling, Resize, check_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Shared by all methods; checked when made, saved word for word with the detector."""

    backbone: str = "efficientnet_lite2"
    """Name of an embedded backbone, of a timm model with its tag, or the path of an ONNX file."""
    weights: str | None = None
    """File of weights for a timm model, safetensors or a state dict; None fetches those of its
    tag."""
    layers: tuple[str, ...] | None = None
    """Outputs of the backbone, shallow to deep; None for its own choice."""
    mean: tuple[float, float, float] | None = None
    """Of each colour, as a share of the full range, for files that do not say; with `std`."""
    std: tuple[float, float, float] | None = None
    """Standard deviation of each colour, likewise."""
    image_size: int | tuple[int, int] = 448
    """Height and width to which photographs are resized, or a side; see `resize`."""
    resize: Resize = "area"
    """What a side is: the root of the ``area``, the ``short_side``, or both sides (``squash``)."""
    resampling: Resampling = "bilinear"
    """Filter that resizes photographs: ``bilinear``, ``bicubic`` or ``lanczos``, anti-aliased."""
    crop: int | tuple[int, int] | None = None
    """Height and width of the middle of the resized photograph that is looked at; None for all."""
    scales: tuple[float, ...] = (1.0, 0.5)
    """Sizes relative to `image_size` at which features are taken; the first gives the grid."""
    max_upscale: float = 1.25
    """Small photographs are enlarged at most so many times (but to 224 pixels at least)."""
    rotations: int = 1
    """Learn each good photograph in so many orientations, evenly over the full circle: Algorithm 1
    of the GraphCore paper.  This and the next three are combined."""
    flips: Flips = "none"
    """Learn mirrored copies too: ``horizontal`` (left to right), ``vertical``, ``both``."""
    translations: int = 0
    """Learn copies shifted by 4 % in so many directions, evenly over the full circle."""
    zooms: tuple[float, ...] = ()
    """Learn copies nearer (factors above 1) or farther (below 1), from 0.5 to 2."""
    smoothing: float = 4.0
    """Sigma of the map's Gaussian, in pixels of a 224 x 224 input; scaled with the input."""
    map_interpolation: Interpolation = "bilinear"
    """How the patch grid is enlarged to a map: ``bilinear``, or ``nearest`` as in anomalib."""
    map_border: Border = "reflect"
    """How the Gaussian goes on beyond the border: ``reflect``, or ``mirror`` as in anomalib."""
    normalise_score: bool = False
    """Tell each image's score also in [0, 1] with the threshold at 0.5, as anomalib does."""
    false_alarm_rate: float = 0.01
    """Share of good images that may be called anomalous, in (0, 1)."""
    seed: int = 0
    """Of everything random."""

    def __post_init__(self) -> None:
        _set(self, "backbone", os.fspath(self.backbone))
        _set(self, "layers", _tuple_or_none("layers", self.layers, str))
        _set(self, "mean", _tuple_or_none("mean", self.mean, (int, float), 3))
        _set(self, "std", _tuple_or_none("std", self.std, (int, float), 3))
        _set(self, "image_size", check_size("image_size", self.image_size))
        _set(self, "scales", _tuple_or_none("scales", self.scales, (int, float)))
        if not self.scales or not all(0.1 <= scale <= 1 for scale in self.scales):
            raise ParameterError(f"scales: expected numbers from 0.1 to 1, got {self.scales}")
        if (self.mean is None) != (self.std is None):
            raise ParameterError("mean, std: expected both or none of them, got one")
        self._check_geometry()
        require_number("max_upscale", self.max_upscale)
        if not 1 <= self.max_upscale <= 100:
            raise ParameterError(f"max_upscale: expected 1 to 100, got {self.max_upscale}")
        self._check_augmentation()
        require_number("smoothing", self.smoothing)
        require_number("false_alarm_rate", self.false_alarm_rate)
        if not 0 <= self.smoothing <= 100:
            raise ParameterError(f"smoothing: expected 0 to 100 pixels, got {self.smoothing}")
        check_false_alarm_rate(self.false_alarm_rate)
        require_whole("seed", self.seed, 0)

    def _check_augmentation(self) -> None:
        require_whole("rotations", self.rotations, 1)
        require_choice("flips", self.flips, get_args(Flips))
        require_whole("translations", self.translations, 0)
        zooms = tuple(self.zooms) if isinstance(self.zooms, (list, tuple)) else (self.zooms,)
        if not all(isinstance(z, (int, float)) and 0.5 <= z <= 2 and z != 1 for z in zooms):
            raise ParameterError(f"zooms: expected factors from 0.5 to 2 but 1, got {self.zooms!r}")
        _set(self, "zooms", tuple(float(zoom) for zoom in zooms))

    def _check_geometry(self) -> None:
        if self.weights is not None:
            _set(self, "weights", os.fspath(self.weights))
        require_choice("resize", self.resize, ("area", "short_side", "squash"))
        require_choice("resampling", self.resampling, ("bilinear", "bicubic", "lanczos"))
        require_choice("map_interpolation", self.map_interpolation, ("bilinear", "nearest"))
        require_choice("map_border", self.map_border, ("reflect", "mirror"))
        if not isinstance(self.normalise_score, bool):
            raise ParameterError(
                f"normalise_score: expected true or false, got {self.normalise_score!r}"
            )
        if isinstance(self.image_size, tuple) and self.resize != "area":
            raise ParameterError(
                "resize: expected 'area' where image_size gives height and width (they say it "
                f"all), got {self.resize!r}"
            )
        if self.crop is not None:
            _set(self, "crop", check_size("crop", self.crop))

    @property
    def copies(self) -> tuple[Augmentation, ...]:
        """What is learned of each good photograph: itself, then its augmented copies."""
        return copies(self.rotations, self.flips, self.translations, self.zooms)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSettings(Settings):
    """Of methods that score every patch: the grid of patches, and from patches to an image."""

    IMAGE_SCORES: ClassVar[tuple[str, ...]] = ("max", "smooth_max", "top_fraction")
    """Those that the method knows."""

    patch_size: int = 3
    """Side of the neighbourhood that a patch sees, odd: 1, 3, 5, ..."""
    patch_stride: int = 2
    """Steps of the feature grid between patches."""
    alignment: Interpolation = "bilinear"
    """How deeper layers are brought to the first one's grid: ``bilinear`` or ``nearest``."""
    image_score: ImageScore = "top_fraction"
    """``max``, ``smooth_max`` (3 x 3 mean) or ``top_fraction``; where there is a bank also
    ``reweighted`` (equation 7 of PatchCore) and ``hcw`` (its own re-weighting)."""
    top_fraction: float = 0.01
    """Share of an image's patches, the worst ones, whose mean is its score."""

    def __post_init__(self) -> None:
        # slots make a new class, which the argument-free super() would not find
        super(PatchSettings, self).__post_init__()
        for name in ("patch_size", "patch_stride"):
            require_whole(name, getattr(self, name), 1)
        if self.patch_size % 2 == 0:
            raise ParameterError(f"patch_size: expected an odd number, got {self.patch_size}")
        require_choice("alignment", self.alignment, get_args(Interpolation))
        require_choice("image_score", self.image_score, self.IMAGE_SCORES)
        require_share("top_fraction", self.top_fraction)


def preset_with(
    preset: Mapping[str, Any], changes: Mapping[str, Any], ruled_out: Collection[str] = ()
) -> dict[str, Any]:
    """A preset with changes, without what they rule out: of `ruled_out`, and of the geometry.

    >>> preset_with({"resize": "squash", "image_size": 256}, {"image_size": (96, 128)})
    {'image_size': (96, 128)}
    """
    dropped = {*ruled_out}
    if isinstance(changes.get("image_size"), (tuple, list)):
        dropped.add("resize")
    return {key: value for key, value in preset.items() if key not in dropped} | dict(changes)


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
