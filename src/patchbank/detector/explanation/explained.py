"""An explanation: odd spots of a photograph, and the good patches nearest to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from patchbank.core.spatial.box import Box
from patchbank.detector.explanation.pictures import PictureSource
from patchbank.detector.explanation.words import box_words, times_words
from patchbank.images.pixel_map import PixelMap


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodPatch:
    """A good patch of a learned photograph."""

    photograph: str
    """Name of the photograph."""
    number: int = field(repr=False)
    """Number of the photograph among those that were learned."""
    box: Box | None
    """Where it lies there, in pixels of that photograph; None where this is not known."""
    part: str
    """Part of the model in which it was found, such as one of several banks."""
    row: int | None
    """Row of the bank; None for a method without a bank."""
    distance: float | None
    """Distance to the odd patch, in units of its bank; None where it was not compared with it."""
    usual: float | None
    """Distance to that bank that no learned patch exceeds; None where it is not known."""
    around: PixelMap | None = field(repr=False)
    """From cells around its centre to pixels of the photograph."""

    @property
    def text(self) -> str:
        """One line for people."""
        where = "where in it is not known" if self.box is None else box_words(self.box)
        if self.distance is None:
            return f"{self.photograph}: {where} ({self.part})"
        row = "" if self.row is None else f", row {self.row}"
        usual = ""
        if self.usual is not None:
            usual = f"; no learned patch is farther than {self.usual:.4g} from it"
        found = f"distance {self.distance:.4g} ({self.part}{row})"
        return f"nearest in {self.photograph}: {where}, {found}{usual}"

    def to_json(self) -> dict[str, Any]:
        """Keys in the JSON lines of `patchbank predict`."""
        return {
            "photograph": self.photograph,
            "box": None if self.box is None else box_json(self.box),
            "part": self.part,
            "row": self.row,
            "distance": self.distance,
            "usual_distance": self.usual,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OddPatch:
    """A patch of the photograph, as one member of the detector compared it."""

    member: int
    """Number of the member."""
    method: str
    """Method of that member."""
    box: Box
    """Where the patch lies, in pixels of the photograph."""
    score: float
    """Patch score, in the units of the method."""
    nearest: tuple[GoodPatch, ...]
    """Good patches: those of the first bank, nearest first, then those of the next."""
    remark: str
    """Line of a method without nearest patches; empty for the others."""
    around: PixelMap = field(repr=False)
    """From cells around its centre to pixels of the photograph."""
    patch_cells: int = field(repr=False)
    """Side of the patch in cells."""
    shown_cells: float = field(repr=False)
    """Side in cells of what a picture shows around it."""

    def to_json(self) -> dict[str, Any]:
        """Keys in the JSON lines of `patchbank predict`."""
        return {
            "member": self.member,
            "method": self.method,
            "box": box_json(self.box),
            "score": self.score,
            "remark": self.remark,
            "nearest": [each.to_json() for each in self.nearest],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OddSpot:
    """A region of the photograph, or without regions a patch that its score is made of."""

    region: int | None
    """Number of the region in `Inspection.regions`, from 0; None without regions."""
    box: Box
    """Where it lies, in pixels of the photograph."""
    distance: float
    """Distance of its oddest patch to what was learned: the patch score, by the spread of the map;
    the mean over the members."""
    usual: float | None
    """The same for the oddest patch of a good photograph: the median over those that were learned,
    each when it is left out; None where it is not known."""
    patches: tuple[OddPatch, ...]
    """The oddest patch for each member of the detector."""

    @property
    def times(self) -> float | None:
        """Distance by the usual one."""
        return None if not self.usual else self.distance / self.usual

    @property
    def is_distance(self) -> bool:
        """Whether it is a distance to good patches, and not another score."""
        return all(patch.nearest for patch in self.patches)

    @property
    def text(self) -> str:
        """One line for people."""
        name = "patch" if self.region is None else f"region {self.region + 1}"
        said = times_words(self.distance, self.usual, is_distance=self.is_distance)
        against = "" if self.usual is None else f" ({self.distance:.4g} against {self.usual:.4g})"
        return f"{name} ({box_words(self.box)}): {said}{against}"

    def to_json(self) -> dict[str, Any]:
        """Keys in the JSON lines of `patchbank predict`."""
        return {
            "region": self.region,
            "box": box_json(self.box),
            "distance": self.distance,
            "usual_distance": self.usual,
            "text": self.text,
            "patches": [patch.to_json() for patch in self.patches],
        }


@dataclass(frozen=True, slots=True)
class SimilarPhotograph:
    """A learned photograph that is similar as a whole."""

    photograph: str
    """Name of the photograph."""
    number: int = field(repr=False)
    distance: float
    """Distance of the pooled features of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a photograph has its score: its odd spots, and the good spots nearest to each."""

    image: str
    """Name of the photograph, as `Inspection.image`."""
    is_anomalous: bool
    """The verdict."""
    score: float
    threshold: float
    usual_score: float
    """Median score of the learned photographs, each when it is left out."""
    spots: tuple[OddSpot, ...]
    """The regions, worst first, of which the first 20 are explained; without regions up to three
    patches that the score is made of."""
    similar: tuple[SimilarPhotograph, ...] = ()
    """The most similar photographs, where a method compares whole photographs first."""
    n_regions: int = 0
    """Number of all regions."""
    pictures: PictureSource | None = field(default=None, repr=False, compare=False)
    """Pictures of learned photographs: those that the detector file has, or better ones."""

    @property
    def text(self) -> str:
        """One line about the photograph as a whole, without its name."""
        scored = (
            f"{'anomalous' if self.is_anomalous else 'good'}, score {self.score:.4g}, threshold "
            f"{self.threshold:.4g}; good photographs usually score {self.usual_score:.4g}"
        )
        if self.n_regions > len(self.spots):
            return f"{scored}; {len(self.spots)} of {self.n_regions} regions are explained"
        if self.n_regions or not self.spots:
            return scored
        return (
            f"{scored}; no region is above the pixel threshold: its score is made of these patches"
        )

    @property
    def lines(self) -> list[str]:
        """All of it in words, one line for the photograph, each spot and each good patch."""
        return [f"{self.image}: {self.text}", *self._lines_of_spots()]

    def to_json(self) -> dict[str, Any]:
        """The key `explanation` in the JSON lines of `patchbank predict`."""
        return {
            "text": self.text,
            "usual_score": self.usual_score,
            "spots": [spot.to_json() for spot in self.spots],
            "similar": [
                {"photograph": each.photograph, "distance": each.distance} for each in self.similar
            ],
        }

    def _lines_of_spots(self) -> Iterator[str]:
        for spot in self.spots:
            yield spot.text
            for patch in spot.patches:
                yield from (f"  {each.text}" for each in patch.nearest)
                if patch.remark:
                    yield f"  {patch.remark}"


def box_json(box: Box) -> dict[str, int]:
    """A rectangle with the keys of a region."""
    return {"left": box.left, "top": box.top, "width": box.width, "height": box.height}
