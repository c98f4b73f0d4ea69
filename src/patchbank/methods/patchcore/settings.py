"""All knobs of PatchCore, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from patchbank.core.neighbours import IndexKind
from patchbank.core.projection import Projection
from patchbank.core.sampling import Interpolation
from patchbank.core.scoring import ImageScore, Metric
from patchbank.errors import ParameterError
from patchbank.methods.settings import (
    Settings,
    require_choice,
    require_number,
    require_share,
    require_whole,
)

Start: TypeAlias = Literal["mean", "random", "first", "farthest", "starting_points"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCoreSettings(Settings):
    """All knobs of PatchCore; the defaults are the preset ``balanced``."""

    patch_size: int = 3
    """Side of the neighbourhood that a patch sees, odd: 1, 3, 5, ..."""
    patch_stride: int = 2
    """Steps of the feature grid between patches."""
    alignment: Interpolation = "bilinear"
    """How deeper layers are brought to the first one's grid: ``bilinear`` or ``nearest``."""
    target_dims: int | None = None
    """Pool patches to so many numbers, as the official code does; None concatenates the layers."""
    layer_dims: int | None = None
    """Numbers a layer before that pooling; None for `target_dims`."""
    selection: Literal["greedy", "random", "all"] = "greedy"
    """Which patches the bank keeps."""
    bank_limit: int = 7000
    """The most rows, where no size is asked for by one of the next three."""
    coreset: float | None = None
    """Share of the patches that the bank keeps, in (0, 1]."""
    bank_rows: int | None = None
    """Rows that the bank keeps."""
    covering_radius: float | None = None
    """Keep rows until every patch lies within this distance of one; greedy only."""
    projection: Literal["none", "gaussian", "uniform", "sparse"] = "none"
    """Select on a random projection: ``uniform`` (official) or ``sparse`` (hcw-00, anomalib)."""
    projection_dims: int | None = None
    """Dimensions of the projection; None for as many as keep distances (anomalib: eps 0.9)."""
    start: Start = "mean"
    """First pick of the greedy selection: the row nearest the ``mean``, drawn by `seed`
    (``random``), the ``first`` (hcw-00), the ``farthest`` from the mean (official, exact), or the
    farthest on average from some ``starting_points`` (official, approximate)."""
    n_starting_points: int = 10
    """Rows that are drawn as starting points."""
    n_neighbours: int = 1
    """Bank rows whose distances are averaged for a patch."""
    metric: Metric = "euclidean"
    """Distances of patches: ``euclidean``, or ``squared`` as in the official code."""
    index: IndexKind = "exact"
    """How neighbours are found; ``hnsw`` and ``ivf`` are approximate."""
    image_score: ImageScore = "top_share"
    """``max``, ``reweighted`` (equation 7), ``hcw`` (its own re-weighting), ``smooth_max`` (3 x 3
    mean), or ``top_share``."""
    top_share: float = 0.01
    """Share of an image's patches, the worst ones, whose mean is its score."""
    support: int = 9
    """Neighbours that re-weighting looks at: b of equation 7."""

    def __post_init__(self) -> None:
        # slots make a new class, which the argument-free super() would not find
        super(PatchCoreSettings, self).__post_init__()
        require_whole("patch_size", self.patch_size, 1)
        if self.patch_size % 2 == 0:
            raise ParameterError(f"patch_size: expected an odd number, got {self.patch_size}")
        for name in ("patch_stride", "bank_limit", "n_neighbours", "n_starting_points"):
            require_whole(name, getattr(self, name), 1)
        require_whole("support", self.support, 2)
        for name in ("target_dims", "layer_dims", "bank_rows", "projection_dims"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), 1)
        require_choice("selection", self.selection, ("greedy", "random", "all"))
        require_choice("start", self.start, get_args(Start))
        require_choice("projection", self.projection, ("none", *get_args(Projection)))
        require_choice("alignment", self.alignment, get_args(Interpolation))
        require_choice("metric", self.metric, get_args(Metric))
        require_choice("index", self.index, get_args(IndexKind))
        require_choice("image_score", self.image_score, get_args(ImageScore))
        require_share("top_share", self.top_share)
        if self.layer_dims is not None and self.target_dims is None:
            raise ParameterError("layer_dims: expected target_dims beside it, got none")
        if self.projection_dims is not None and self.projection == "none":
            raise ParameterError("projection_dims: expected projection beside it, got none")
        self._check_bank_size()

    def _check_bank_size(self) -> None:
        given = [name for name in _BANK_SIZES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ParameterError(f"expected one size of the bank, got {' and '.join(given)}")
        if given and self.selection == "all":
            raise ParameterError(
                f"selection: expected 'greedy' or 'random' with {given[0]}, got 'all'"
            )
        if self.coreset is not None:
            require_share("coreset", self.coreset)
        for name in ("projection", "start"):
            default = PatchCoreSettings.__dataclass_fields__[name].default
            if self.selection != "greedy" and getattr(self, name) != default:
                raise ParameterError(
                    f"{name}: expected with selection 'greedy', got {self.selection!r}"
                )
        if self.covering_radius is not None:
            require_number("covering_radius", self.covering_radius)
            if not 0 <= self.covering_radius < float("inf"):
                raise ParameterError(
                    f"covering_radius: expected 0 or more, got {self.covering_radius}"
                )
            if self.selection != "greedy" or self.start == "starting_points":
                raise ParameterError(
                    "covering_radius: expected with selection 'greedy' and a start that is a row, "
                    f"got {self.selection!r} and {self.start!r}"
                )

    def rows_to_keep(self, n: int) -> int:
        """The most rows that the bank gets of `n` patches.

        Raises:
            ParameterError: more rows are asked for than there are patches.
        """
        if self.selection == "all" or self.covering_radius is not None:
            return n
        if self.coreset is not None:
            return max(1, int(n * self.coreset))
        if self.bank_rows is None:
            return min(n, self.bank_limit)
        if self.bank_rows > n:
            raise ParameterError(
                f"bank_rows: expected at most {n} (the patches), got {self.bank_rows}"
            )
        return self.bank_rows


_WIDE_RESNET: Mapping[str, Any] = {
    "backbone": "wide_resnet50_2.tv_in1k",
    "scales": (1.0,),
    "largest_enlargement": 100,
    "patch_stride": 1,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"backbone": "efficientnet_lite0", "image_size": 320, "bank_limit": 4000},
    "balanced": {},
    "accurate": {"image_size": 576, "bank_limit": 20_000, "top_share": 0.02},
    "official": {
        **_WIDE_RESNET,
        "image_size": 256,
        "resize": "short_side",
        "crop": 224,
        "layer_dims": 1024,
        "target_dims": 1024,
        "coreset": 0.1,
        "projection": "uniform",
        "projection_dims": 128,
        "start": "starting_points",
        "metric": "squared",
        "image_score": "max",
    },
    "hcw": {
        **_WIDE_RESNET,
        "image_size": 256,
        "resize": "squash",
        "resampling": "lanczos",
        "crop": 224,
        "alignment": "nearest",
        "coreset": 0.001,
        "projection": "sparse",
        "start": "first",
        "metric": "squared",
        "image_score": "hcw",
    },
    "anomalib": {
        **_WIDE_RESNET,
        "image_size": 256,
        "resize": "squash",
        "coreset": 0.1,
        "projection": "sparse",
        "start": "random",
        "image_score": "reweighted",
        "smoothing": 3.5,  # sigma 4 at 256 x 256
        "map_interpolation": "nearest",
        "map_border": "mirror",
        "normalise_score": True,
    },
}
"""Changes to the default settings: sizes of ours, chosen from benchmarks/quality/presets.md, and
what other implementations do, see docs/methods/patchcore.md."""

_BANK_SIZES = ("coreset", "bank_rows", "covering_radius")


def changed_preset(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A preset with changes; what they rule out is left out of the preset.

    >>> changed_preset("anomalib", {"bank_rows": 500}).get("coreset") is None
    True
    """
    ruled_out: set[str] = set()
    if any(size in changes for size in (*_BANK_SIZES, "bank_limit")):
        ruled_out.update(_BANK_SIZES)
    if changes.get("selection") in ("random", "all"):
        ruled_out.update(("start", "projection", "projection_dims"))
    if changes.get("selection") == "all":
        ruled_out.update(_BANK_SIZES)
    if changes.get("projection") == "none":
        ruled_out.add("projection_dims")
    if isinstance(changes.get("image_size"), (tuple, list)):
        ruled_out.add("resize")
    kept = {key: value for key, value in PRESETS[name].items() if key not in ruled_out}
    return {**kept, **changes}
