"""Numbers that are rounded to integers, so that errors of rounding do not decide which."""

from __future__ import annotations

ERROR = 2.0**-20
"""Relative error above that of a few operations in float32."""


def settled(number: float) -> float:
    """The multiple of a half that a number would be but for the rounding of what it is made of.

    It is rounded further on, and half a unit decides: with this, as well as with numbers of 32
    bits, which some runtimes compute exported graphs in, the decision is the same.

    >>> settled(7.499999999999999), settled(7.4999)
    (7.5, 7.4999)
    """
    half = round(2 * number) / 2
    return half if abs(number - half) <= abs(number) * ERROR else number
