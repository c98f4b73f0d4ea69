"""Rates and shares in percent, for all that is printed."""

from __future__ import annotations

import math

import numpy as np

SMALLEST = 1e-9
"""Rate below which only this limit is printed."""


def percent(rate: float) -> str:
    """A rate in percent, with three digits and without an exponent.

    >>> percent(0.05), percent(0.015), percent(1 / 32), percent(8.7e-8)
    ('5 %', '1.5 %', '3.12 %', '0.0000087 %')
    >>> percent(1e-320)
    'less than 0.0000001 %'
    """
    if 0 < rate < SMALLEST:
        return f"less than {percent(SMALLEST)}"
    return f"{np.format_float_positional(float(f'{100 * rate:.3g}'), trim='-')} %"


def percent_at_most(rate: float) -> str:
    """A bound in percent, rounded up to a tenth; a small one to two digits.

    >>> percent_at_most(3 / 32), percent_at_most(0.25), percent_at_most(0.00123)
    ('9.4 %', '25 %', '0.13 %')
    """
    if not rate > 0:
        return "0 %"
    step = 10.0 ** min(-1, math.floor(math.log10(100 * rate)) - 1)
    return f"{math.ceil(100 * rate / step - 1e-9) * step:.10g} %"


def percent_to_a_tenth(share: float) -> str:
    """A share in percent with one decimal place, for columns of a table.

    >>> percent_to_a_tenth(4 / 9), percent_to_a_tenth(1)
    ('44.4 %', '100.0 %')
    """
    return f"{100 * share:.1f} %"
