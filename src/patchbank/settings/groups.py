"""The groups of settings that several methods share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from patchbank.choices import (
    Border,
    Flips,
    ImageScore,
    Interpolation,
    Normalisation,
    Position,
    Resampling,
    Resize,
)
from patchbank.errors import ParameterError
from patchbank.settings.declaration import (
    AUGMENTATION,
    BACKBONE,
    GENERAL,
    MAP,
    PATCHES,
    PHOTOGRAPH,
    SCORE,
    setting,
    settings_of,
)
from patchbank.settings.record import Group
from patchbank.settings.rules import (
    SHARE,
    Choice,
    Factors,
    Flag,
    Integer,
    Names,
    Number,
    Numbers,
    Optional,
    Size,
    Text,
    fraction,
    mean_rule,
    std_rule,
)

if TYPE_CHECKING:
    from patchbank.images.augment import Augmentation

GridScore: TypeAlias = Literal["max", "smooth_max", "top_fraction"]
"""Image scores that need the grid of patch scores only."""
WITH_TILES: Mapping[str, Any] = {
    "scales": (1.0,),
    "patch_size": 1,
    "patch_stride": 1,
    "image_score": "max",
}
"""Settings that are the default with tiles: patches are as small as the network makes them, and one
of them is enough."""
SIZES = ("image_size", "resize", "max_upscale")
"""Settings that say to which size photographs are resized."""


def _kept_by_tiles(tiles: Any) -> Collection[str]:
    """Photographs that come in tiles keep their size and their position."""
    return (*SIZES, "position", "part_size") if tiles is True else ()


def _resize_is_ruled_out(image_size: Any) -> Collection[str]:
    """Height and width leave nothing for `resize` to decide."""
    return ("resize",) if isinstance(image_size, (list, tuple)) else ()


def given_with_tiles(record: type[Group], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are given, and where they ask for tiles the other defaults that go with them.

    >>> from patchbank.methods import PatchCoreSettings
    >>> given_with_tiles(PatchCoreSettings, {"tiles": True, "scales": (0.5,)})["patch_size"]
    1
    """
    if given.get("tiles") is not True:
        return dict(given)
    known = settings_of(record)
    return {name: value for name, value in WITH_TILES.items() if name in known} | dict(given)


@dataclass(frozen=True, kw_only=True)
class InputSettings(Group):
    """The way of a photograph to feature maps."""

    backbone: str = setting(
        "efficientnet_lite2",
        "Network that computes the features: one that comes with the package (see `patchbank "
        "backbones`), a timm model with its tag, a ViG, or an ONNX file.",
        rule=Text("a name or the path of an ONNX file", "NAME|FILE"),
        group=BACKBONE,
        everyday=True,
    )
    weights: str | None = setting(
        None,
        "File of weights of a timm model or a ViG, safetensors or a state dict; if not given, "
        "those of its tag are fetched.",
        rule=Optional(Text("the path of a file", "FILE")),
        group=BACKBONE,
    )
    layers: tuple[str, ...] | None = setting(
        None,
        "Layers whose outputs are the features, shallow to deep; the first sets the grid of "
        "patches. If not given, the backbone's own choice.",
        rule=Optional(Names()),
        group=BACKBONE,
    )
    mean: tuple[float, float, float] | None = setting(
        None,
        "Mean of red, green and blue in [0, 1], for backbone files that do not state it; together "
        "with std.",
        rule=Optional(mean_rule()),
        group=BACKBONE,
    )
    std: tuple[float, float, float] | None = setting(
        None,
        "Standard deviation of red, green and blue in [0, 1]; together with mean.",
        rule=Optional(std_rule()),
        group=BACKBONE,
    )
    image_size: int | tuple[int, int] = setting(
        448,
        "Size to which photographs are resized: a side, whose meaning resize sets, or height and "
        "width.",
        rule=Size(),
        group=PHOTOGRAPH,
        everyday=True,
        rules_out=_resize_is_ruled_out,
    )
    resize: Resize = setting(
        "area",
        "Meaning of a side: the square root of the area, the shorter side, or both sides (squash).",
        rule=Choice.of(Resize),
        group=PHOTOGRAPH,
    )
    resampling: Resampling = setting(
        "bilinear",
        "Filter that resizes photographs, anti-aliased.",
        rule=Choice.of(Resampling),
        group=PHOTOGRAPH,
    )
    crop: int | tuple[int, int] | None = setting(
        None,
        "Centre crop of the resized photograph that is inspected; if not given, all of it.",
        rule=Optional(Size()),
        group=PHOTOGRAPH,
    )
    tiles: bool = setting(
        False,
        "Inspect photographs at their own size, in overlapping tiles, for defects too small to be "
        "seen at image_size. Unless given, layers is then the first of the backbone's, scales 1, "
        "patch_size 1, patch_stride 1, and image_score max. Scales are relative to the "
        "photograph, smoothing and top_fraction to 448 x 448 pixels. PatchCore only.",
        rule=Flag(),
        group=PHOTOGRAPH,
        everyday=True,
        rules_out=_kept_by_tiles,
    )
    scales: tuple[float, ...] = setting(
        (1.0, 0.5),
        "Sizes, relative to image_size, at which features are computed; the first sets the grid of "
        "patches.",
        rule=Numbers(0.1, 1),
        group=PHOTOGRAPH,
    )
    max_upscale: float = setting(
        1.25,
        "Largest factor by which a small photograph is enlarged (but to 224 pixels at least).",
        rule=Number(1, 100),
        group=PHOTOGRAPH,
        formerly="largest_enlargement",
    )

    position: Position = setting(
        "as_photographed",
        "Position in which parts are inspected: as photographed; canonical: found against the "
        "ground, turned level with the heavy end to one side, and centred; auto: canonical if the "
        "photographs that are learned show one long part each, of one size, on an even ground.",
        rule=Choice.of(Position),
        group=PHOTOGRAPH,
        everyday=True,
    )
    part_size: int | tuple[int, int] | None = setting(
        None,
        "Size in pixels of the photograph of what is inspected of a part in canonical position; if "
        "not given, that of the largest part that is learned, with a margin.",
        rule=Optional(Size(8, 65_536)),
        group=PHOTOGRAPH,
    )
    bit_depth: int | None = setting(
        None,
        "Bits that are in use in photographs of 16 bits a channel, such as 12 for many cameras; if "
        "not given, as many as the largest value of those that are learned needs (8, 10, 12, 14 "
        "or 16). Others are not affected.",
        rule=Optional(Integer(8, high=16)),
        group=PHOTOGRAPH,
    )

    @property
    def normalisation(self) -> Normalisation | None:
        """Mean and standard deviation, where they are given."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)

    def check_combination(self) -> None:
        """Mean goes with std; height and width leave nothing to `resize`; parts have sizes."""
        if (self.mean is None) != (self.std is None):
            raise ParameterError("mean, std: expected both or none of them, got one")
        if isinstance(self.image_size, tuple) and self.resize != "area":
            raise ParameterError(
                "resize: expected 'area' where image_size gives height and width (nothing is left "
                f"to decide), got {self.resize!r}"
            )
        if self.part_size is not None and self.position == "as_photographed":
            raise ParameterError(
                "part_size: expected position 'canonical' or 'auto' together with it, got "
                f"{self.position!r}"
            )
        if self.tiles and self.position != "as_photographed":
            raise ParameterError(
                "position: expected 'as_photographed' with tiles, in which photographs keep their "
                f"position, got {self.position!r}"
            )
        if self.tiles:
            self._check_tiles()

    def _check_tiles(self) -> None:
        """Settings that say to which size photographs are resized have no meaning with tiles."""
        known = settings_of(type(self))
        for name in SIZES:
            value, default = getattr(self, name), known[name].default
            if value != default:
                raise ParameterError(
                    f"{name}: expected none with tiles, in which photographs keep their size, got "
                    f"{known[name].rule.text(value)}; for half of it, give scales 0.5"
                )


@dataclass(frozen=True, kw_only=True)
class AugmentationSettings(Group):
    """The augmented copies that are learned with each good photograph; all are combined."""

    rotations: int = setting(
        1,
        "Learn each photograph in this many orientations, spread evenly over the full circle.",
        rule=Integer(1, 360),
        group=AUGMENTATION,
    )
    flips: Flips = setting(
        "none",
        "Learn mirrored copies too: left to right (horizontal), top to bottom (vertical), or both.",
        rule=Choice.of(Flips),
        group=AUGMENTATION,
    )
    translations: int = setting(
        0,
        "Learn copies shifted by 4 % in this many directions, spread evenly over the full circle.",
        rule=Integer(0, 360),
        group=AUGMENTATION,
    )
    zooms: tuple[float, ...] = setting(
        (),
        "Learn copies that are enlarged (factors above 1) or reduced (below 1).",
        rule=Factors(0.5, 2),
        group=AUGMENTATION,
    )

    @property
    def copies(self) -> tuple[Augmentation, ...]:
        """The photograph itself, then its augmented copies."""
        from patchbank.images.augment import copies

        return copies(self.rotations, self.flips, self.translations, self.zooms)


@dataclass(frozen=True, kw_only=True)
class PatchSettings(Group):
    """The grid of patches, and the score of an image from the scores of its patches."""

    patch_size: int = setting(
        3,
        "Side of the neighbourhood of features that makes a patch.",
        rule=Integer(1, 99, odd=True),
        group=PATCHES,
    )
    patch_stride: int = setting(
        2,
        "Cells of the feature grid from one patch to the next.",
        rule=Integer(1, 1000),
        group=PATCHES,
    )
    alignment: Interpolation = setting(
        "bilinear",
        "Interpolation that brings deeper layers to the grid of the first.",
        rule=Choice.of(Interpolation),
        group=PATCHES,
    )
    image_score: ImageScore = setting(
        "top_fraction",
        "Score of an image: the largest patch score, the largest 3 x 3 mean (smooth_max), or the "
        "mean of the highest ones (top_fraction).",
        rule=Choice.of(GridScore),
        group=SCORE,
    )
    top_fraction: float = setting(
        0.01,
        "Fraction of an image's patch scores, the highest, whose mean is the image score "
        "top_fraction.",
        rule=fraction(),
        group=SCORE,
        formerly="top_share",
    )


@dataclass(frozen=True, kw_only=True)
class MapSettings(Group):
    """The anomaly map in pixels, from the grid of patch scores."""

    smoothing: float = setting(
        4.0,
        "Standard deviation of the Gaussian that smooths the map, in pixels of a 224 x 224 input; "
        "scaled with the input.",
        rule=Number(0, 100, unit="pixels"),
        group=MAP,
    )
    map_interpolation: Interpolation = setting(
        "bilinear",
        "Interpolation that enlarges the grid of patch scores to the map; anomalib uses nearest.",
        rule=Choice.of(Interpolation),
        group=MAP,
    )
    map_border: Border = setting(
        "reflect",
        "Continuation of the map beyond its border for the Gaussian; anomalib uses mirror.",
        rule=Choice.of(Border),
        group=MAP,
    )


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings(Group):
    """The threshold, and the form in which scores are reported."""

    normalise_score: bool = setting(
        False,
        "Report each image's score also in [0, 1] with the threshold at 0.5, as anomalib does.",
        rule=Flag(),
        group=SCORE,
    )
    false_alarm_rate: float = setting(
        0.01,
        "Share of good images that may be called anomalous; it sets the threshold.",
        rule=SHARE,
        group=SCORE,
        everyday=True,
    )


@dataclass(frozen=True, kw_only=True)
class SeedSettings(Group):
    """The seed of all random numbers."""

    seed: int = setting(0, "Random seed.", rule=Integer(0, 2**63 - 1), group=GENERAL, everyday=True)


@dataclass(frozen=True, kw_only=True)
class Settings(SeedSettings, CalibrationSettings, MapSettings, AugmentationSettings, InputSettings):
    """The settings that every method has; each method's record adds its own."""
