"""Words for a verification, on the command line and on its page."""

from __future__ import annotations

from patchbank.export.precision import EXACT
from patchbank.export.verification import Pair, Verification, word


def sentence(found: Verification) -> str:
    """Whether the graph gives what the detector gives."""
    if found.is_passed:
        return (
            f"{found.exported} in {found.runtime} gives what the detector gives on "
            f"{photographs(len(found.pairs))}{_to_tolerance(found)}"
        )
    return f"{found.exported} in {found.runtime} does not give what the detector gives: " + (
        found.failure
    )


def facts(found: Verification) -> list[str]:
    """Lines with the differences."""
    if not found.pairs:
        return []
    largest_map = max(pair.map_difference for pair in found.pairs)
    least = min(pair.map_correlation for pair in found.pairs)
    lines = [
        f"scores differ by {size(found.largest_difference)} at most, by "
        f"{size(found.typical_difference)} typically, as shares of the score",
        f"maps differ by {size(largest_map)} of their highest value at most; correlation "
        f"{least:.7f} at least",
        f"verdicts: {found.n_other_verdicts} differ; {found.n_near_threshold} so near the "
        "threshold that rounding may decide",
    ]
    if len(found.pairs) > 1:
        lines.append(f"order of the scores: {found.n_swapped} pairs of neighbours are swapped")
    return lines


def _to_tolerance(found: Verification) -> str:
    """Words for what a graph that rounds may change; none where that is next to nothing."""
    if found.tolerance == EXACT:
        return ""
    return (
        f", to the tolerance of {found.precision}: scores to {size(found.tolerance.score)}, maps "
        f"to {size(found.tolerance.map)}, verdicts but for scores within "
        f"{size(found.tolerance.near_threshold)} of the threshold"
    )


def pair(one: Pair) -> str:
    """A line about one photograph."""
    return (
        f"{one.image}: score {one.score:.6g} ({word(one.is_anomalous)}), exported "
        f"{one.exported_score:.6g} ({word(one.exported_is_anomalous)}); map differs by "
        f"{size(one.map_difference)}"
    )


def size(share: float) -> str:
    """A difference.

    >>> size(0.0), size(1.234e-7)
    ('0', '1.2e-07')
    """
    return f"{share:.2g}"


def photographs(n: int) -> str:
    """A number of photographs."""
    return f"{n:,} photograph{'' if n == 1 else 's'}"
