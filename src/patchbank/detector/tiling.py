"""Inspection of a photograph at its own resolution, tile by tile.

The network sees one tile at a time, so that memory does not grow with the photograph.  Patches of
all tiles make one grid, which is scored, drawn and calibrated as that of one large photograph.

Tiles begin at whole cells of every grid of the network.  At each scale the network sees a tile with
`MARGIN_CELLS` around it: all that is in the receptive field of its outermost patches, for the
embedded backbones (`benchmarks/quality/tiles.md` has what other margins leave).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from patchbank.backbones import FeatureExtractor
from patchbank.choices import Resampling
from patchbank.core.rounding import settled
from patchbank.core.scores.image_score import grid_score, mean_of_largest
from patchbank.core.spatial.box import Box
from patchbank.core.spatial.tiles import Span, Tile, common_unit, parts_of
from patchbank.detector.preprocessing import SEEN_WHOLE_PX, ImageGeometry, grid_step
from patchbank.errors import ParameterError
from patchbank.images.resize import resized
from patchbank.images.roi import InspectedPart
from patchbank.methods import FittedMethod, Method, PatchScores, TileScorer
from patchbank.methods.base import FeatureMaps
from patchbank.runtime.threads import parallel_ranges
from patchbank.settings import InputSettings, MapSettings, PatchSettings, Settings, part_of
from patchbank.types import Array, Image

TILE_PX = 768
"""Side of the part of the network's input that a tile has for itself, at most."""
MARGIN_CELLS = 12
"""Cells of the deepest layer that it sees around that part, at each scale."""
WHOLE = Fraction(1)
LARGEST_UNIT_PX = 256
"""Pixels after which the cells of all scales begin together, at most."""
INTERPOLATED_CELLS = 2
"""Cells around a patch, beyond its neighbourhood, between which a coarser layer is interpolated."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tiles of a photograph, and how the network sees each of them."""

    extractor: FeatureExtractor
    settings: Settings
    geometry: ImageGeometry
    """Geometry of the whole photograph."""
    size: tuple[int, int]
    """(H, W) of the inspected part in pixels, continued to multiples of the unit."""
    unit: int
    tiles: tuple[tuple[Span, Span], ...]
    """Rows and columns of each tile, in pixels of the inspected part; row by row.  Those without a
    cell of the region of interest are left out."""
    margin_px: int

    @classmethod
    def of(
        cls,
        extractor: FeatureExtractor,
        settings: Settings,
        photograph: tuple[int, int],
        part: InspectedPart | None = None,
        *,
        tile_px: int = TILE_PX,
        margin_px: int | None = None,
    ) -> Tiling:
        """Lay out the tiles of a photograph of (H, W) pixels.

        Args:
            extractor: of the features.
            settings: of the input.
            photograph: (H, W) in pixels.
            part: the region of interest in photographs of this size; None where all is inspected.
            tile_px: see `TILE_PX`.
            margin_px: pixels of the network's input around it; None for `MARGIN_CELLS`.

        Raises:
            ParameterError: the crop is larger than the photograph; or as `grid_unit`.
        """
        unit, cell = grid_unit(extractor, settings), _cell_px(extractor, settings)
        box = _inspected(settings, photograph) if part is None else part.box
        scale = _scales(settings)[0]
        size = _up(box.height, unit), _up(box.width, unit)
        largest = max(int(tile_px / scale) // unit, 1) * unit
        rows, columns = (parts_of(side, largest, unit) for side in size)
        grid = -int(-box.height // cell), -int(-box.width // cell)
        stride, covered = _strides(extractor)[0], tuple(round(n * cell) for n in grid)
        cells = None
        if part is not None:
            patch_stride = part_of(settings, PatchSettings).patch_stride
            cells = part.cells(grid, patch_stride, (covered[0], covered[1]))
        geometry = ImageGeometry(
            photograph,
            box,
            (grid[0] * stride, grid[1] * stride),
            grid,
            part_of(settings, MapSettings),
            part,
            cells,
            covered=(covered[0], covered[1]),
        )
        tiles = [
            (down, across)
            for down in rows
            for across in columns
            if cells is None
            or cells[down.scaled(1 / cell).as_slice, across.scaled(1 / cell).as_slice].any()
        ]
        margin = MARGIN_CELLS * max(_strides(extractor)) if margin_px is None else margin_px
        return cls(extractor, settings, geometry, size, unit, tuple(tiles), margin)

    @property
    def tile_size(self) -> tuple[int, int]:
        """(H, W) in pixels of the photograph that the network sees of a tile, at most."""
        margin = 2 * _up(self.margin_px / _scales(self.settings)[0], self.unit)
        rows, columns = ([span.length for span in side] for side in zip(*self.tiles, strict=True))
        return min(max(rows) + margin, self.size[0]), min(max(columns) + margin, self.size[1])

    def tile(self, number: int) -> Tile:
        """Where the feature maps of a tile lie in the feature grid of the photograph."""
        cells, grid = 1 / _cell_px(self.extractor, self.settings), self.geometry.feature_grid
        rows, columns = (span.scaled(cells) for span in self.covered(number))
        own = [span.scaled(cells) for span in self.tiles[number]]
        own_rows, own_columns = (
            Span(span.begin, min(span.end, side)) for span, side in zip(own, grid, strict=True)
        )
        return Tile(grid, rows, columns, own_rows, own_columns, number == 0)

    def features(self, image: Image, number: int) -> FeatureMaps:
        """Feature maps of one tile of an image (H, W, 3), for each layer and scale.

        They cover the tile and what its patches are embedded of around it.

        Raises:
            ParameterError: the backbone has other cells than its strides say.
        """
        part, maps = self.geometry.crop_box.of(image), list[Array]()
        for scale in _scales(self.settings):
            down, across = self.seen(number, scale)
            size = down.scaled(scale).length, across.scaled(scale).length
            window = _resized(_window(part, down, across), size, self.settings.resampling)
            for planes, stride in zip(
                self.extractor(window), _strides(self.extractor), strict=True
            ):
                cells = scale / stride
                seen = down.scaled(cells), across.scaled(cells)
                if tuple(planes.shape[1:]) != (seen[0].length, seen[1].length):
                    raise _other_cells(self.extractor, size, planes)
                rows, columns = (
                    span.scaled(cells).within(whole)
                    for span, whole in zip(self.covered(number), seen, strict=True)
                )
                own = planes[:, rows, columns]
                maps.append(np.ascontiguousarray(own) if isinstance(own, np.ndarray) else own)
        return maps

    def seen(self, number: int, scale: Fraction = WHOLE) -> tuple[Span, Span]:
        """Rows and columns of the pixels that the network sees of a tile at a scale."""
        around = self._around(number, _up(self.margin_px / scale, self.unit))
        rows, columns = map(_hull, around, self.covered(number))
        return rows, columns

    def covered(self, number: int) -> tuple[Span, Span]:
        """Rows and columns of the pixels that the feature maps of a tile cover."""
        neighbourhood = part_of(self.settings, PatchSettings).patch_size // 2
        coarsest = max(_strides(self.extractor)) / min(_scales(self.settings))
        return self._around(number, _up((neighbourhood + INTERPOLATED_CELLS) * coarsest, self.unit))

    def _around(self, number: int, margin: int) -> tuple[Span, Span]:
        rows, columns = self.tiles[number]
        return rows.widened(margin, self.size[0]), columns.widened(margin, self.size[1])


def score_tiles(
    extractor: FeatureExtractor,
    settings: Settings,
    model: FittedMethod,
    image: Image,
    part: InspectedPart | None = None,
) -> tuple[PatchScores, ImageGeometry]:
    """Score a photograph tile by tile, on all cores that are idle.

    Args:
        extractor: of the features.
        settings: of the input.
        model: that scores them.
        image: (H, W, 3).
        part: the region of interest in images of this size; None where all of it is inspected.

    Raises:
        ParameterError: as `Tiling.of`, or the model does not score tiles.
        ShapeError: a feature is not finite.
    """
    if not isinstance(model, TileScorer):
        raise ParameterError("tiles: expected a method that scores tiles, got another")
    tiling = Tiling.of(extractor, settings, (image.shape[0], image.shape[1]), part)
    stride, geometry = part_of(settings, PatchSettings).patch_stride, tiling.geometry
    grid = np.zeros(tiling.tile(0).patch_grid(stride), dtype=np.float32)

    def score(begin: int, end: int) -> None:
        for number in range(begin, end):
            tile = tiling.tile(number)
            maps = tiling.features(image, number)
            grid[tile.own_patches(stride)] = model.score_tile(maps, tile, geometry.cells)

    parallel_ranges(score, len(tiling.tiles), 1)
    scores = PatchScores(grid, 0.0, stride)
    return photograph_scores(extractor, settings, scores, geometry), geometry


def n_averaged(extractor: FeatureExtractor, settings: Settings, n_patches: float) -> int:
    """Patches that the image score of a photograph averages: one where it is the largest score.

    Args:
        extractor: backbone of the member.
        settings: of the member.
        n_patches: of the photograph that count.
    """
    if getattr(settings, "image_score", "max") != "top_fraction":
        return 1
    fraction: float = getattr(settings, "top_fraction", 0.0)
    if settings.tiles:
        n_patches = _patches_seen(extractor, part_of(settings, PatchSettings))
    return max(1, round(settled(fraction * n_patches)))


def _patches_seen(extractor: FeatureExtractor, patches: PatchSettings) -> float:
    """Patches in a square as large as a photograph that is seen whole."""
    pitch_px = _strides(extractor)[0] * patches.patch_stride
    return SEEN_WHOLE_PX[0] * SEEN_WHOLE_PX[1] / pitch_px**2


def photograph_scores(
    extractor: FeatureExtractor, settings: Settings, scores: PatchScores, geometry: ImageGeometry
) -> PatchScores:
    """Scores of a photograph with the image score that follows from the patches of all its tiles.

    The fraction of `top_fraction` is one of the patches in a square as large as a photograph that
    is seen whole, so that a small defect in a large photograph counts as much as in a small one.
    """
    patches = part_of(settings, PatchSettings)
    kind = patches.image_score
    if kind == "top_fraction":
        counted = geometry.counted(scores)
        score = mean_of_largest(counted, n_averaged(extractor, settings, len(counted)))
    else:
        stride = scores.stride
        cells = None if geometry.cells is None else geometry.cells[::stride, ::stride]
        score = grid_score(scores.patch_scores, kind, patches.top_fraction, cells)
    return replace(scores, image_score=score)


def check_tiles(members: Sequence[tuple[Method, InputSettings]]) -> None:
    """Check that methods work with photographs in tiles, if their settings ask for these.

    Raises:
        ParameterError: one compares patches with others of their photograph, or with a position.
    """
    for method, settings in members:
        if settings.tiles and not method.scores_tiles:
            raise ParameterError(
                "tiles: expected a method that scores each patch by itself, such as patchcore, got "
                f"{method.name}; leave tiles out, or use patchcore"
            )


def grid_unit(extractor: FeatureExtractor, settings: Settings) -> int:
    """Pixels of the photograph after which the cells of all layers and scales begin together.

    Raises:
        ParameterError: they are too many, or the backbone takes one size only.
    """
    info = extractor.info
    if info.input_size is not None:
        height, width = info.input_size
        raise ParameterError(
            f"tiles: expected a backbone that takes any size, got {info.name}, which takes "
            f"{height}x{width} only; use another backbone, or no tiles"
        )
    patch_px = _cell_px(extractor, settings) * part_of(settings, PatchSettings).patch_stride
    unit = common_unit(_scales(settings), grid_step(extractor), patch_px)
    if unit > LARGEST_UNIT_PX:
        scales = ",".join(f"{scale:g}" for scale in settings.scales)
        raise ParameterError(
            f"tiles: expected scales and a patch_stride whose cells begin together every "
            f"{LARGEST_UNIT_PX} pixels at most, got {unit} ({scales} and {float(patch_px):g} "
            "pixels); use scales such as 1, 0.75, 0.5, 0.25 and a patch_stride of 1, 2 or 4"
        )
    return unit


def _scales(settings: InputSettings) -> list[Fraction]:
    return [Fraction(scale).limit_denominator(1000) for scale in settings.scales]


def _strides(extractor: FeatureExtractor) -> list[int]:
    """Pixels of the network's input in a cell of each layer."""
    return [extractor.info.available_layers[layer].stride for layer in extractor.layers]


def _cell_px(extractor: FeatureExtractor, settings: InputSettings) -> Fraction:
    """Pixels of the photograph in a cell of the first layer at the first scale."""
    return _strides(extractor)[0] / _scales(settings)[0]


def _up(pixels: float | Fraction, unit: int) -> int:
    """The smallest multiple of a unit that is not less."""
    return -int(-pixels // unit) * unit


def _hull(one: Span, other: Span) -> Span:
    return Span(min(one.begin, other.begin), max(one.end, other.end))


def _inspected(settings: InputSettings, photograph: tuple[int, int]) -> Box:
    """The centre crop of a photograph, or all of it."""
    if settings.crop is None:
        return Box(0, 0, *photograph)
    height, width = settings.crop if isinstance(settings.crop, tuple) else (settings.crop,) * 2
    if height > photograph[0] or width > photograph[1]:
        raise ParameterError(
            f"crop: expected at most {photograph[0]} x {photograph[1]} (height x width of the "
            f"photograph, which keeps its size with tiles), got {height} x {width}"
        )
    return Box((photograph[0] - height) // 2, (photograph[1] - width) // 2, height, width)


def _window(part: Image, down: Span, across: Span) -> Image:
    """Pixels of an image; beyond its lower and right border, where a unit is begun, mirrored."""
    window = part[down.begin : down.end, across.begin : across.end]
    beyond = down.length - window.shape[0], across.length - window.shape[1]
    if not any(beyond):
        return np.ascontiguousarray(window)
    return np.pad(window, ((0, beyond[0]), (0, beyond[1]), (0, 0)), mode="symmetric")


def _resized(window: Image, size: tuple[int, int], resampling: Resampling) -> Image:
    """Resize to (H, W), the width first.

    Pillow chooses the order by the shape and rounds in between, so that windows of other shapes
    would differ by a grey level where they overlap.
    """
    return resized(resized(window, (window.shape[0], size[1]), resampling), size, resampling)


def _other_cells(
    extractor: FeatureExtractor, size: tuple[int, int], planes: Array
) -> ParameterError:
    found = f"{planes.shape[1]} x {planes.shape[2]} of {size[0]} x {size[1]} pixels"
    return ParameterError(
        "tiles: expected a backbone whose feature maps are its input divided by their stride, got "
        f"{extractor.info.name} with {found}; use another backbone, or no tiles"
    )
