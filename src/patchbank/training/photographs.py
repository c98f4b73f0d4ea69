"""Photographs that are learned from: which cannot be read, which show nothing, which are alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.explanation.pictures import LearnedPictures
from patchbank.errors import DataError, ImageError, ShapeError
from patchbank.images.bit_depth import FULL, usual_depth
from patchbank.images.copies import Fingerprint, near_copies
from patchbank.images.digest import DIGEST_BYTES
from patchbank.images.folders import few
from patchbank.images.opening import Header
from patchbank.images.roi import RegionOfInterest
from patchbank.images.small_pictures import PictureScale, SmallPicture
from patchbank.images.source import ImageSource, n_pixels
from patchbank.images.traits import Traits
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.training.left_out import LeftOutPhotographs
from patchbank.types import Image, Indices

NAMED = 10
"""Photographs that one line names at most."""
NEARLY_BLACK = 15
"""Largest value of a photograph that is called nearly black."""


TRANSPARENT = "(transparent pixels count as black)"
ROUNDING = 0.05
"""Share of the highest score that rounding makes of zero, at most."""


@dataclass(slots=True)
class Remarks:
    """Lines about the photographs of a fit, for its caller to show."""

    lines: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """Errors of photographs that were left out."""
    decisions: list[str] = field(default_factory=list)
    """Lines about settings that the photographs decided: no warnings."""
    shown: LeftOutPhotographs | None = None
    """Receives the photographs that the report of the fit shows, if one is wanted."""

    def show(self, progress: Progress) -> None:
        """Show all lines as notes."""
        for line in [*self.decisions, *self.unread, *self.lines]:
            progress.note(line)


@dataclass(frozen=True, slots=True)
class Content:
    """Facts of the pixels of a photograph."""

    largest: int
    is_constant: bool
    traits: Traits
    fingerprint: Fingerprint
    picture: SmallPicture | None = None
    """Picture that may travel in the detector file; None unless pictures are kept."""

    @classmethod
    def of(cls, image: Image, traits: Traits, picture: SmallPicture | None = None) -> Content:
        """Compute the facts of an image, and keep its traits and its picture."""
        pixels = np.ascontiguousarray(image)
        row = pixels[0]
        is_constant = bool((row == row[0]).all() and (pixels == row[0]).all())
        return cls(int(pixels.max()), is_constant, traits, Fingerprint.of(pixels), picture)

    @property
    def digest(self) -> bytes:
        """Digest of the pixels; see `images.digest`."""
        return self.fingerprint.digest


def read_with_content(
    source: ImageSource,
    roi: RegionOfInterest | None = None,
    pictures: PictureScale | None = None,
) -> tuple[Image, Content]:
    """Read a photograph once for its image and its facts.

    Args:
        source: of the photograph.
        roi: region of interest, in the box around which light and focus are measured.
        pictures: size of its small picture; None for none.

    Raises:
        ImageError, ShapeError: it cannot be read.
    """
    image, facts = source.read_with_facts()
    box = None if roi is None else roi.on((image.shape[0], image.shape[1])).box
    picture = None if pictures is None else pictures.picture(image, box)
    return image, Content.of(image, Traits.of(replace(source, facts=facts), image, box), picture)


@dataclass(slots=True)
class Contents:
    """The facts of all photographs, gathered while they are read."""

    names: list[str] = field(default_factory=list)
    contents: list[Content] = field(default_factory=list)
    pictures: PictureScale | None = None
    """Size of the small pictures that are made; None for none."""

    def add(self, source: ImageSource, content: Content) -> None:
        """Add a photograph; one that has no file is named by its number."""
        is_file = isinstance(source.content, Path)
        self.names.append(source.name if is_file else f"{source.name} {len(self.names)}")
        self.contents.append(content)

    @property
    def digests(self) -> NDArray[np.uint8]:
        """(n, 8) digest of the pixels of each photograph."""
        joined = b"".join(content.digest for content in self.contents)
        return np.frombuffer(joined, np.uint8).reshape(len(self.contents), DIGEST_BYTES)

    @property
    def small_pictures(self) -> LearnedPictures | None:
        """Small pictures of all photographs; None where none were made."""
        pairs = enumerate(content.picture for content in self.contents)
        return LearnedPictures.of([(number, one) for number, one in pairs if one is not None])

    @property
    def traits(self) -> list[Traits]:
        """Traits of each photograph."""
        return [content.traits for content in self.contents]

    def check(self) -> None:
        """Check that there is a difference to learn from.

        Raises:
            DataError: several photographs are all the same.
        """
        count = len(self.contents)
        if count < 2 or len({content.digest for content in self.contents}) > 1:
            return
        first = self.contents[0]
        what = (
            f"all black {TRANSPARENT}"
            if not first.largest
            else "of one colour"
            if first.is_constant
            else ""
        )
        shown = f" and {what}" if what else ""
        raise DataError(
            f"expected photographs that differ, got {count} that are the same to the pixel{shown} "
            f"({_listed(self.names)}); give other photographs of good parts: from these no "
            "threshold follows"
        )

    def exact_copies(self) -> Indices:
        """Number the photographs so that those that are the same to the pixel are equal.  (n,)."""
        numbers: dict[bytes, int] = {}
        found = [numbers.setdefault(each.digest, len(numbers)) for each in self.contents]
        return np.array(found, dtype=np.intp)

    def copies(self) -> Indices:
        """Number the photographs so that copies, exact and near ones, are equal.  (n,)."""
        numbers = np.arange(len(self.contents))
        for group in near_copies([each.fingerprint for each in self.contents]):
            numbers[group] = group[0]
        return np.asarray(np.unique(numbers, return_inverse=True)[1], dtype=np.intp)

    def near_copies_line(self, copies: Indices) -> list[str]:
        """A line that names the near copies among given `copies`, without the exact ones."""
        exact, known, near = self.exact_copies(), set[int](), []
        for number, copy in enumerate(copies.tolist()):
            is_first_of_pixels = int(np.argmax(exact == exact[number])) == number
            if copy in known and is_first_of_pixels:
                near.append(self.names[number])
            known.add(copy)
        if not near:
            return []
        verb = "is" if len(near) == 1 else "are"
        return [
            f"{len(near)} of {len(copies)} photographs {verb} nearly the same as another one "
            f"(shifted, brighter, saved again), and left out with it: {_listed(near)}"
        ]

    def check_threshold(self, calibration: Calibration) -> None:
        """Check that the threshold is the score of a photograph that differs from all others.

        One that is learned twice is still known when it is left out without the other one, and
        scores next to nothing.

        Raises:
            DataError: the threshold is that of such a photograph, which is zero but for rounding;
                or no photograph differs from the others, as where a crop shows the same of all.
        """
        count = len(self.contents)
        scores, threshold = calibration.image_scores, calibration.threshold
        groups = calibration.groups
        left_out_with = np.arange(count) if groups is None else groups
        copies = self.exact_copies().tolist()
        seen = Counter(copy for copy, _ in {*zip(copies, left_out_with.tolist(), strict=False)})
        single = sum(seen[copy] == 1 for copy in copies)
        if count == 1:
            if not scores.any():
                raise DataError(
                    "threshold: expected more than 0, got 0: other views of the one photograph "
                    f"({self.names[0]}) are no different from it; give more photographs"
                )
            return
        origin = calibration.score_origin
        highest = float(scores.max()) - origin
        is_zero = threshold - origin < highest * ROUNDING
        if single == 0 or (is_zero and single < np.count_nonzero(scores >= threshold)):
            raise DataError(
                f"threshold: expected more than 0, got 0 but for rounding: {count - single} of "
                f"{count} photographs are the same as another one, so that any new one would be "
                "called anomalous; give each photograph once, or leave copies out together "
                '(groups="auto", --groups auto)'
            )
        if not highest > 0:
            raise DataError(
                f"threshold: expected more than 0, got 0: none of {count} photographs differs from "
                "the others in what is scored, so that any new one would be called anomalous; give "
                "other photographs, or a larger crop or image_size"
            )

    def remarks(self, *, are_grouped: bool) -> list[str]:
        """A line for each kind of photograph that is likely to be a mistake.

        Args:
            are_grouped: whether photographs that are the same are left out together.
        """
        pairs = list(zip(self.names, self.contents, strict=True))
        seen: set[bytes] = set()
        again = []
        for name, content in pairs:
            if content.digest in seen:
                again.append(name)
            seen.add(content.digest)
        together = ", and left out with it" if are_grouped else ""
        kinds = {
            f"all black {TRANSPARENT}": [name for name, content in pairs if content.largest == 0],
            f"nearly black (no value above {NEARLY_BLACK} of 255)": [
                name for name, content in pairs if 0 < content.largest <= NEARLY_BLACK
            ],
            "of one colour": [
                name for name, content in pairs if content.largest and content.is_constant
            ],
            f"the same as another one, to the pixel{together}": again,
        }
        return [
            f"{len(names)} of {len(pairs)} photographs {'is' if len(names) == 1 else 'are'} "
            f"{kind}: {_listed(names)}"
            for kind, names in kinds.items()
            if names
        ]


def with_bit_depth(
    sources: Sequence[ImageSource], bit_depth: int | None, remarks: Remarks, progress: Progress
) -> tuple[list[ImageSource], int | None]:
    """Photographs that are read with the bit depth that they need, and the bit depth.

    It follows from the largest value of all those of 16 bits a channel, which are read once more
    for it; None where there is none of them.

    Args:
        sources: the photographs.
        bit_depth: as it was given; None where it was not.
        remarks: receives a line if upper bits are not in use, and one about further pages.
        progress: shows the photographs that are read.
    """
    headers = [source.header for source in sources]
    remarks.lines += further_pages(sources, headers)
    if bit_depth is None:
        deep = [s for s, header in zip(sources, headers, strict=True) if header.is_deep]
        largest = _largest_value(deep, progress) if deep else None
        if largest is None:
            return list(sources), None
        bit_depth = usual_depth(largest)
        if bit_depth < FULL:
            remarks.lines.append(
                f"{len(deep)} of {len(sources)} photographs with 16 bits a channel and values of "
                f"up to {largest:,}: they are read as {bit_depth} bits; if that is wrong, give "
                "bit_depth (--bit-depth)"
            )
    return [replace(source, bit_depth=bit_depth) for source in sources], bit_depth


def further_pages(sources: Sequence[ImageSource], headers: Sequence[Header]) -> list[str]:
    """A line that names the photographs of which more than the first page is there, if any."""
    several = [
        source.name for source, header in zip(sources, headers, strict=True) if header.has_more
    ]
    if not several:
        return []
    return [
        f"{len(several)} of {len(sources)} photographs with several frames or pages, of which "
        f"the first is read: {_listed(several)}"
    ]


def readable(
    sources: Sequence[ImageSource], remarks: Remarks, progress: Progress
) -> list[ImageSource]:
    """The photographs that can be read; each other one becomes a line of the remarks.

    Raises:
        DataError: there is none.
    """
    kept, errors = tried(sources, progress)
    if errors and not kept:
        raise unreadable(errors, len(sources))
    remarks.unread += [str(error) for error in errors]
    return kept


def tried(
    sources: Sequence[ImageSource], progress: Progress
) -> tuple[list[ImageSource], list[Exception]]:
    """The photographs that can be read, and the errors of the others; each is decoded."""
    kept: list[ImageSource] = []
    errors: list[Exception] = []
    with progress.task("checking photographs", len(sources)) as advance:
        for source, image in map_in_order(ImageSource.read, sources, n_pixels):
            try:
                image.result()
                kept.append(source)
            except (ImageError, ShapeError) as error:
                errors.append(error)
            advance(1)
    return kept, errors


def unreadable(
    errors: Sequence[Exception],
    count: int,
    advice: str = "repair them, or leave them out (skip_unreadable, --skip-unreadable)",
) -> Exception:
    """One error that names all photographs that cannot be read.

    Args:
        errors: at least one.
        count: of all photographs.
        advice: for the user.
    """
    if len(errors) == 1:
        return errors[0]
    shown = "; ".join(str(error) for error in errors[:NAMED])
    more = f"; and {len(errors) - NAMED} more" if len(errors) > NAMED else ""
    return ImageError(
        f"expected {count} photographs that can be read, got {len(errors)} that cannot; {advice}: "
        f"{shown}{more}"
    )


def _largest_value(deep: Sequence[ImageSource], progress: Progress) -> int | None:
    largest = None
    with progress.task("reading values of 16 bits", len(deep)) as advance:
        for _, found in map_in_order(_value_or_none, deep, n_pixels):
            value = found.result()
            if value is not None:
                largest = value if largest is None else max(largest, value)
            advance(1)
    return largest


def _value_or_none(source: ImageSource) -> int | None:
    try:
        return source.largest_deep_value
    except ImageError:  # `read` raises it again
        return None


def _listed(names: Sequence[str]) -> str:
    return few(names, "photograph", NAMED)
