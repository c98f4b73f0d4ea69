"""Notes about photographs in which the part is not where, or what, a canonical position needs."""

from __future__ import annotations

from patchbank.detector.difference import Difference
from patchbank.images.placement import Placement

LEAST_LENGTH, LARGEST_LENGTH = 0.5, 1.5
"""Length of the part, by that of what is inspected of it, outside of which it is something else."""


def shows_part(placement: Placement | None) -> bool:
    """Whether the part was found in the photograph; True where none is looked for.

    What is half as long as the part, or half as long again, is no part: a speck on the ground, say.
    """
    if placement is None:
        return True
    pose, length = placement.pose, max(placement.size)
    return pose is not None and LEAST_LENGTH <= pose.length / length <= LARGEST_LENGTH


def position_difference(placement: Placement | None) -> Difference | None:
    """The note about a photograph; None where the part lies in its canonical position."""
    if placement is None:
        return None
    (height, width), pose = placement.size, placement.pose
    if pose is None:
        text = "no part: nothing differs from the ground, so the middle was inspected as it is"
    elif not shows_part(placement):
        text = (
            f"no part: what differs most from the ground has {pose.length:.0f} x {pose.width:.0f} "
            f"pixels, where {width} x {height} are inspected of a part"
        )
    elif pose.unclear is not None:
        text = f"position of the part not sure: {pose.unclear}"
    elif pose.length > width or pose.width > height:
        text = (
            f"the part is larger, {pose.length:.0f} x {pose.width:.0f} pixels, than the "
            f"{width} x {height} that are inspected"
        )
    else:
        return None
    return Difference("position", text)
