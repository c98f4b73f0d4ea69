"""Explanations in words."""

from __future__ import annotations

from patchbank.core.spatial.box import Box


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
