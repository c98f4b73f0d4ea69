"""Write the page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchbank.comparison import words
from patchbank.comparison.comparison import Comparison, Pair
from patchbank.comparison.scatter import scatter
from patchbank.images.folders import few
from patchbank.images.masks import read_mask
from patchbank.images.source import image_source
from patchbank.report import Picture, draw_inspection, draw_photograph, render, write_page
from patchbank.types import Mask

MOST_SHOWN = 24
"""Photographs with pictures on the page, of all changed verdicts together."""
MOST_NAMED = 500
"""Photographs of one change that are named."""


@dataclass(frozen=True, slots=True)
class Change:
    """A changed verdict with its pictures: that of A, and that of B if both were inspected."""

    pair: Pair
    pictures: tuple[tuple[str, Picture], ...]
    """Title and picture; the picture is an overlay where there is an inspection."""


@dataclass(frozen=True, slots=True)
class Section:
    """Changed verdicts of one kind."""

    title: str
    n: int
    shown: tuple[Change, ...]
    others: tuple[str, ...]
    """Lines about those without pictures."""
    n_unnamed: int
    """Number of those that are not even named."""


def write_comparison(found: Comparison, folder: Path) -> Path:
    """Write one self-contained page into a folder, which is made if it is not there.

    -> the path of the page.  A photograph that is not there any more has the reason in its place.

    Raises:
        DataError: the page cannot be written.
    """
    errors = few([one.error for one in found.unread], "photograph")
    page = render(
        "patchbank.comparison",
        found=found,
        words=words,
        scatter=scatter(found.pairs),
        sections=_sections(found),
        unread=errors if found.unread else "",
    )
    return write_page(folder, page)


def _sections(found: Comparison) -> list[Section]:
    """Changed verdicts by what they mean, those that cost most first."""
    groups: list[tuple[str, tuple[Pair, ...]]] = (
        [
            ("Defects lost: A finds them, B does not", found.lost),
            ("New false alarms: good photographs that B flags", found.new_false_alarms),
            ("Defects found: A misses them, B does not", found.found),
            ("False alarms gone: good photographs that A flags", found.gone_false_alarms),
        ]
        if found.has_labels
        else [
            ("Anomalous for A, good for B", found.newly_passed),
            ("Good for A, anomalous for B", found.newly_flagged),
        ]
    )
    index = {id(pair): number for number, pair in enumerate(found.pairs)}
    sections = []
    left = MOST_SHOWN
    for title, pairs in groups:
        if not pairs:
            continue
        drawn = [pair for pair in pairs if _can_be_drawn(found, index[id(pair)])][:left]
        left -= len(drawn)
        chosen = {id(pair) for pair in drawn}
        others = [words.change(pair) for pair in pairs if id(pair) not in chosen]
        sections.append(
            Section(
                title,
                len(pairs),
                tuple(_change(found, index[id(pair)]) for pair in drawn),
                tuple(others[:MOST_NAMED]),
                max(0, len(others) - MOST_NAMED),
            )
        )
    return sections


def _can_be_drawn(found: Comparison, number: int) -> bool:
    """Whether a photograph has inspections; without any at all, results are compared."""
    return number in found.inspections or not found.inspections


def _change(found: Comparison, number: int) -> Change:
    pair = found.pairs[number]
    both = found.inspections.get(number)
    if both is None:
        return Change(pair, (("photograph", draw_photograph("", image_source(Path(pair.image)))),))

    def defect() -> Mask | None:
        mask, (width, height) = found.masks.get(number), both[0].size
        return None if mask is None else read_mask(mask, (height, width))

    pictures: Sequence[Picture] = [draw_inspection("", one, defect=defect) for one in both]
    return Change(pair, tuple(zip(("A", "B"), pictures, strict=True)))
