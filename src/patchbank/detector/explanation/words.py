"""Explanations in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchbank.core.spatial.box import Box

if TYPE_CHECKING:
    from patchbank.detector.explanation.explained import Explanation, GoodPatch, OddSpot


def box_words(box: Box) -> str:
    """A rectangle of pixels, height before width.

    >>> box_words(Box(12, 0, 8, 16))
    'rows 12 to 19, columns 0 to 15'
    """
    bottom, right = box.top + box.height - 1, box.left + box.width - 1
    return f"rows {box.top} to {bottom}, columns {box.left} to {right}"


def times_words(distance: float, usual: float | None, *, is_distance: bool = True) -> str:
    """A distance against the usual one, as a person would say it.

    Args:
        distance: of an odd spot.
        usual: that of the oddest spot of a good photograph; None where it is not known.
        is_distance: whether both are distances to good patches, and not other scores.

    >>> times_words(6.2, 2.0)
    '3.1 times as far from anything good as the oddest spot of a good photograph usually is'
    >>> times_words(1.0, 2.0)
    'no farther from anything good than the oddest spot of a good photograph usually is'
    >>> times_words(3.0, 2.0, is_distance=False)
    '1.5 times the score that the oddest spot of a good photograph usually has'
    """
    spot = "the oddest spot of a good photograph usually"
    if usual is None:
        what = "distance from anything good" if is_distance else "score"
        return f"a {what} of {distance:.4g}; what is usual is not known"
    if not is_distance:
        if distance <= usual or usual <= 0:
            return f"{'no' if distance <= usual else 'a'} higher score than {spot} has"
        return f"{distance / usual:.1f} times the score that {spot} has"
    if distance <= usual:
        return f"no farther from anything good than {spot} is"
    if usual <= 0:
        return f"farther from anything good than {spot} is"
    return f"{distance / usual:.1f} times as far from anything good as {spot} is"


def odd_words(spot: OddSpot) -> str:
    """One line about an odd spot."""
    name = "patch" if spot.region is None else f"region {spot.region + 1}"
    said = times_words(spot.distance, spot.usual, is_distance=spot.is_distance)
    against = "" if spot.usual is None else f" ({spot.distance:.4g} against {spot.usual:.4g})"
    return f"{name} ({box_words(spot.box)}): {said}{against}"


def good_words(patch: GoodPatch) -> str:
    """One line about a good patch."""
    where = "where in it is not known" if patch.box is None else box_words(patch.box)
    row = "" if patch.row is None else f", row {patch.row}"
    if patch.distance is None:
        return f"{patch.photograph}: {where} ({patch.part})"
    usual = ""
    if patch.usual is not None:
        usual = f"; no learned patch is farther than {patch.usual:.4g} from it"
    found = f"distance {patch.distance:.4g} ({patch.part}{row})"
    return f"nearest in {patch.photograph}: {where}, {found}{usual}"


def conclusion_words(explanation: Explanation) -> str:
    """One line about a photograph as a whole."""
    of = explanation
    verdict = "anomalous" if of.is_anomalous else "good"
    scored = (
        f"{verdict}, score {of.score:.4g}, threshold {of.threshold:.4g}; good "
        f"photographs usually score {of.usual_score:.4g}"
    )
    if of.n_regions > len(of.spots):
        return f"{scored}; {len(of.spots)} of {of.n_regions} regions are explained"
    if of.n_regions or not of.spots:
        return scored
    return f"{scored}; no region is above the pixel threshold: its score is made of these patches"
