"""Student's t-distribution: tail probability and quantile.

`scipy.special` has both, but its import takes longer than a photograph needs from start to verdict.
"""

from __future__ import annotations

import math

LARGEST_STEPS = 10_000
"""Terms of the continued fraction, which needs about the square root of the degrees of freedom."""
TINY = 1e-300


def upper_tail(t: float, dof: float) -> float:
    """Probability that a variable with `dof` degrees of freedom is larger than `t`.

    It is half the regularised incomplete beta function I_x(dof / 2, 1 / 2) at x = dof / (dof + t^2)
    for t >= 0 (Abramowitz and Stegun, 26.7.1 and 26.5.27).

    >>> round(upper_tail(6.313751514675, 1), 12)
    0.05
    """
    if t < 0:
        return 1 - upper_tail(-t, dof)
    if math.isinf(t):
        return 0.0
    # Both shares are computed, because one minus the other would lose the digits of a small one.
    square = t * t
    below, above = dof / (dof + square), 1 / (1 + dof / square) if square else 0.0
    return 0.5 * _incomplete_beta(dof / 2, 0.5, below, above)


def upper_quantile(probability: float, dof: float) -> float:
    """The t whose upper tail has this probability.

    Args:
        probability: in (0, 1).
        dof: degrees of freedom, more than 0.

    >>> round(upper_quantile(0.05, 1), 9)
    6.313751515
    """
    if probability > 0.5:
        return -upper_quantile(1 - probability, dof)
    low, high = 0.0, 1.0
    while upper_tail(high, dof) > probability and high < 1e150:
        low, high = high, 2 * high
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            return high
        if upper_tail(middle, dof) > probability:
            low = middle
        else:
            high = middle


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Regularised incomplete beta function I_x(a, b), with y = 1 - x."""
    if x <= 0:
        return 0.0
    if y <= 0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log(y)
    front = math.exp(log_front)
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(a, b, x) / a
    return 1 - front * _continued_fraction(b, a, y) / b


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function by the method of Lentz.

    The fraction is equation 8.17.22 of the NIST Digital Library of Mathematical Functions.
    """
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, LARGEST_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / _not_zero(1 + even * d), _not_zero(1 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _not_zero(1 + odd * d), _not_zero(1 + odd / c)
        change = d * c
        value *= change
        if abs(change - 1) < 1e-15:
            break
    return value


def _not_zero(number: float) -> float:
    return number if abs(number) > TINY else TINY
