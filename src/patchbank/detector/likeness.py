"""Traits of the learned photographs, by which a detector says where another one differs.

The verdict on a photograph that is unlike the learned ones as a whole says little: a good part in a
photograph of another camera, or one that was compressed, scores as a defect does.  So sizes, kinds
of files, light and focus of the learned photographs are kept, and the distance of their most
ordinary patches when they were left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.usual_range import UsualRange
from patchbank.detector.difference import Difference, DifferenceKind, Differences
from patchbank.detector.member import PatchDistances
from patchbank.images.file_facts import relative_steps
from patchbank.images.formats import FORMATS
from patchbank.images.traits import Traits

LOSSY = frozenset(each.name for each in FORMATS if each.is_lossy)
TRACES = 0.15
"""Blockiness of decoded JPEGs of medium quality, at least."""
BRIGHTNESS_ORIGIN = -16.0
"""Differences between nearly black photographs count little."""
BLOCKINESS_ORIGIN = -0.1
BRIGHTNESS_MARGIN, SHARPNESS_MARGIN, BLOCKINESS_MARGIN = 1.1, 1.1, 1.25
DISTANCE_MARGIN = 1.25
WHOLE_SHARE = 0.5
"""Share of the rise of the largest distance that the rise of the ordinary one is, at least, where
another part is shown; around a defect it is less."""
SHAPE_MARGIN, SCALE_MARGIN = 1.03, 1.1
"""Factors that are no difference: of width by height, and of the geometric mean of the sides."""
STEPS_MARGIN = 1.5
"""Factor between the quantisation steps of two JPEGs that is no difference."""
UNUSUAL_MODES = {
    "P": "colours of a palette",
    "PA": "colours of a palette",
    "RGBA": "with transparency",
    "LA": "with transparency",
    "La": "with transparency",
    "RGBa": "with transparency",
    "CMYK": "CMYK",
    "LAB": "Lab",
}
"""Modes that are noted where they were not learned."""


class PhotographKind(NamedTuple):
    """Traits of a photograph that are no measurements; see `images.traits.Traits`."""

    format: str | None
    mode: str
    is_grey: bool
    bit_depth: int
    bits_in_use: int
    jpeg_quality: int | None

    @classmethod
    def of(cls, traits: Traits) -> PhotographKind:
        """The kind of one photograph."""
        return cls(*(getattr(traits, name) for name in cls._fields))


@dataclass(frozen=True, eq=False)
class Likeness:
    """Traits of the n learned photographs."""

    kinds: Mapping[PhotographKind, int]
    """Number of photographs of each kind."""
    sizes: NDArray[np.int32]
    """(n, 2) height and width."""
    brightness: NDArray[np.float64]
    """(n,)"""
    sharpness: NDArray[np.float64]
    """(n,)"""
    blockiness: NDArray[np.float64]
    """(n,)"""
    patch_distances: NDArray[np.float64]
    """(s, m, 2) `PatchDistances` of each photograph when it was left out, for each calibrated size
    of the bank, the whole one last; where there was one photograph, of m other views."""
    shares: NDArray[np.float64]
    """(n,) share of its group that each photograph is; see `LeftOutScores`."""
    uncovered: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(k,) distance of usual patches to some of the photographs, each without its group; empty
    where it is not known.  See `methods.memory_bank.coverage`."""

    @classmethod
    def of(
        cls,
        traits: Sequence[Traits],
        patch_distances: NDArray[np.float64],
        shares: NDArray[np.float64],
        uncovered: NDArray[np.float64] | None = None,
    ) -> Likeness:
        """Gather the traits of the learned photographs."""

        def all_of(name: str) -> NDArray[np.float64]:
            return np.array([getattr(each, name) for each in traits], dtype=np.float64)

        return cls(
            kinds=Counter(PhotographKind.of(each) for each in traits),
            sizes=np.array([(each.height, each.width) for each in traits], dtype=np.int32),
            brightness=all_of("brightness"),
            sharpness=all_of("sharpness"),
            blockiness=all_of("blockiness"),
            patch_distances=patch_distances,
            shares=shares,
            uncovered=np.empty(0) if uncovered is None else uncovered,
        )

    def truncated(self, bank_rows: NDArray[np.int64], n_rows: int) -> Likeness:
        """The likeness of a detector whose bank was truncated.

        Args:
            bank_rows: (s,) sizes that were calibrated.
            n_rows: of the truncated bank.
        """
        step = int(np.searchsorted(bank_rows, n_rows, side="right")) - 1
        kept = [*np.flatnonzero(bank_rows < n_rows), step]
        return replace(self, patch_distances=self.patch_distances[kept])

    def differences(self, traits: Traits, distances: PatchDistances) -> Differences:
        """Ways in which a photograph differs beyond what was learned.

        About one good photograph in two hundred has one, where its fellows were learned.

        Args:
            traits: of the photograph.
            distances: of its patches.
        """
        found = (
            self._size(traits),
            self._mode(traits),
            self._colour(traits),
            self._bit_depth(traits),
            self._compression(traits),
            self._brightness(traits),
            self._sharpness(traits),
            self._part(distances),
        )
        return tuple(difference for difference in found if difference is not None)

    def to_json(self) -> dict[str, Any]:
        """The object `photographs` that `patchbank info --json` writes."""

        def numbers(name: str) -> dict[str, int]:
            counts: Counter[str] = Counter()
            for kind, count in self.kinds.items():
                value = getattr(kind, name)
                counts["array" if value is None else str(value)] += count
            return dict(counts.most_common())

        sizes, qualities = self._distinct_sizes, self._qualities
        return {
            "n_sizes": len(sizes),
            "smallest_size": list(sizes[0][::-1]),
            "largest_size": list(sizes[-1][::-1]),
            "formats": numbers("format"),
            "modes": numbers("mode"),
            "n_grey": sum(count for kind, count in self.kinds.items() if kind.is_grey),
            "bits_in_use": numbers("bits_in_use"),
            "jpeg_quality": [min(qualities), max(qualities)] if qualities else None,
            "brightness": [float(self.brightness.min()), float(self.brightness.max())],
            "sharpness": [float(self.sharpness.min()), float(self.sharpness.max())],
        }

    def _size(self, traits: Traits) -> Difference | None:
        size = traits.height, traits.width
        learned = self._distinct_sizes
        if size in learned:
            return None
        shape, scale = _shape_and_scale(np.array([size]))
        is_like = _is_in(self._shapes, shape[0]) and _is_in(self._scales, scale[0])
        if is_like:
            return None
        shown = f"{traits.width} x {traits.height}"
        if len(learned) == 1:
            height, width = learned[0]
            return Difference("size", f"{shown}, learned {width} x {height}")
        if not _is_in(self._shapes, shape[0]):
            text = f"{shown} (width by height {shape[0]:.2g}), learned {_span(self._shapes, '.2g')}"
            return Difference("size", text)
        (low, left), (high, right) = learned[0], learned[-1]
        return Difference("size", f"{shown}, learned {left} x {low} to {right} x {high}")

    def _mode(self, traits: Traits) -> Difference | None:
        unusual = UNUSUAL_MODES.get(traits.mode)
        learned = {kind.mode for kind in self.kinds}
        if unusual is None or unusual in {UNUSUAL_MODES.get(mode) for mode in learned}:
            return None
        return Difference("mode", f"{unusual}, learned {_listed(learned)} only")

    def _colour(self, traits: Traits) -> Difference | None:
        if traits.is_grey in {kind.is_grey for kind in self.kinds}:
            return None
        text = "grey, learned in colour" if traits.is_grey else "in colour, learned grey"
        return Difference("colour", text)

    def _bit_depth(self, traits: Traits) -> Difference | None:
        depths = sorted({kind.bit_depth for kind in self.kinds})
        in_use = [kind.bits_in_use for kind in self.kinds if kind.bit_depth == traits.bit_depth]
        if in_use and traits.bits_in_use >= min(in_use):
            return None
        used = f", {traits.bits_in_use} in use" if traits.bits_in_use < traits.bit_depth else ""
        learned = f"{min(in_use)} in use" if in_use else " and ".join(map(str, depths))
        return Difference(
            "bit_depth",
            f"{traits.bit_depth} bit{'s' if traits.bit_depth > 1 else ''} a channel{used}, "
            f"learned {learned}",
        )

    def _compression(self, traits: Traits) -> Difference | None:
        formats = {kind.format for kind in self.kinds}
        if traits.format in LOSSY and traits.format not in formats:
            # Pixels with traces were compressed before they were stored without loss: what such a
            # learned photograph shares with this one is in its pixels.
            if formats & LOSSY or not self._have_traces:
                return Difference(
                    "compression",
                    f"{_format_of(traits)}, learned {_listed(map(_format_name, formats))} only",
                )
        elif traits.jpeg_quality is not None and self._qualities:
            low, high = min(self._qualities), max(self._qualities)
            steps = relative_steps(traits.jpeg_quality)
            coarsest, finest = relative_steps(low), relative_steps(high)
            if not finest / STEPS_MARGIN <= steps <= coarsest * STEPS_MARGIN:
                learned = f"{low}" if low == high else f"{low} to {high}"
                return Difference("compression", f"{_format_of(traits)}, learned quality {learned}")
        usual = self._ranges["blockiness"]
        if traits.blockiness > usual.high:
            beyond = "more traces" if self._have_traces else "traces"
            rest = "than any learned photograph" if self._have_traces else "learned without"
            text = f"{beyond} of JPEG compression in the pixels"
            return Difference("compression", f"{text}{' ' if self._have_traces else ', '}{rest}")
        if self._have_traces and traits.blockiness < usual.low:
            return Difference("compression", "no traces of JPEG compression, learned with them")
        return None

    def _brightness(self, traits: Traits) -> Difference | None:
        return self._measured("brightness", traits.brightness, "mean", ".0f", "darker", "brighter")

    def _sharpness(self, traits: Traits) -> Difference | None:
        if traits.sharpness == 0:  # of one colour, which neither blurs nor shows anything
            return None
        return self._measured(
            "sharpness", traits.sharpness, "sharpness", ".2f", "more blurred", "sharper"
        )

    def _measured(
        self, kind: DifferenceKind, value: float, unit: str, shown: str, below: str, above: str
    ) -> Difference | None:
        usual = self._ranges[kind]
        if _is_in(usual, value):
            return None
        how = below if value < usual.low else above
        return Difference(
            kind,
            f"{how} than any learned photograph: {unit} {value:{shown}}, learned "
            f"{_span(usual, shown)}",
        )

    def _part(self, distances: PatchDistances) -> Difference | None:
        if self.ordinary is None or not distances.ordinary > self.ordinary.high:
            return None
        usual, usual_largest = np.median(self.patch_distances[-1], axis=0)
        times, times_largest = distances.ordinary / usual, distances.largest / usual_largest
        # Of a photograph with a large defect, all patches see something of it.
        if times < WHOLE_SHARE * times_largest:
            return None
        return Difference(
            "part",
            "another part or another camera: the whole photograph is far from the learned ones "
            f"({times:.1f} times as far as usual)",
        )

    @cached_property
    def _distinct_sizes(self) -> list[tuple[int, int]]:
        """Learned sizes, (height, width), from the fewest pixels to the most."""
        distinct = {(int(height), int(width)) for height, width in self.sizes}
        return sorted(distinct, key=lambda size: (size[0] * size[1], size))

    @cached_property
    def _shapes(self) -> UsualRange:
        return self._range_of_sizes(_shape_and_scale(self.sizes)[0], SHAPE_MARGIN)

    @cached_property
    def _scales(self) -> UsualRange:
        return self._range_of_sizes(_shape_and_scale(self.sizes)[1], SCALE_MARGIN)

    def _range_of_sizes(self, values: NDArray[np.float64], margin: float) -> UsualRange:
        if len(self._distinct_sizes) > 1:
            return UsualRange.of(values, self.shares, margin=margin)
        # A camera has one size, however few photographs show it.
        only = float(values[0])
        return UsualRange(only / margin, only * margin, only, only)

    @cached_property
    def _ranges(self) -> dict[str, UsualRange]:
        return {
            "brightness": UsualRange.of(
                self.brightness, self.shares, margin=BRIGHTNESS_MARGIN, origin=BRIGHTNESS_ORIGIN
            ),
            "sharpness": UsualRange.of(self.sharpness, self.shares, margin=SHARPNESS_MARGIN),
            "blockiness": UsualRange.of(
                self.blockiness, self.shares, margin=BLOCKINESS_MARGIN, origin=BLOCKINESS_ORIGIN
            ),
        }

    @cached_property
    def ordinary(self) -> UsualRange | None:
        """Range of the ordinary distance; None where the learned photographs have none."""
        if not np.median(self.patch_distances[-1], axis=0).min() > 0:
            return None
        ordinary = self.patch_distances[-1, :, 0]
        shares = self.shares
        if len(shares) != len(ordinary):  # other views of one photograph
            shares = np.full(len(ordinary), 1 / len(ordinary))
        return UsualRange.of(ordinary, shares, margin=DISTANCE_MARGIN)

    @cached_property
    def _have_traces(self) -> bool:
        return float(np.median(self.blockiness)) > TRACES

    @cached_property
    def _qualities(self) -> list[int]:
        return [kind.jpeg_quality for kind in self.kinds if kind.jpeg_quality is not None]


def _shape_and_scale(
    sizes: NDArray[np.integer],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Width by height, and the geometric mean of both, of sizes (n, 2).  -> (n,), (n,)."""
    height, width = sizes.astype(np.float64).T
    return width / height, np.sqrt(width * height)


def _is_in(usual: UsualRange, value: float) -> bool:
    return bool(usual.low <= value <= usual.high)


def _span(usual: UsualRange, shown: str) -> str:
    low, high = f"{usual.learned_low:{shown}}", f"{usual.learned_high:{shown}}"
    return low if low == high else f"{low} to {high}"


def _format_of(traits: Traits) -> str:
    name = _format_name(traits.format)
    return name if traits.jpeg_quality is None else f"{name} of quality {traits.jpeg_quality}"


def _format_name(name: str | None) -> str:
    return {None: "arrays", "WEBP": "WebP", "JPEG2000": "JPEG 2000", "PPM": "PNM"}.get(
        name, name or ""
    )


def _listed(words: Iterable[str]) -> str:
    return " and ".join(sorted(set(words)))
