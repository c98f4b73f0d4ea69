"""Rates in percent, as everything that is printed has them."""

import pytest

from patchbank.runtime.percent import percent, percent_at_most, percent_to_a_tenth


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0 %"),
        (0.01, "1 %"),
        (1 / 3, "33.3 %"),
        (1, "100 %"),
        (0.000725, "0.0725 %"),
        (2.5e-9, "0.00000025 %"),
        (2e-12, "less than 0.0000001 %"),
        (1e-320, "less than 0.0000001 %"),
    ],
)
def test_a_rate_is_written_without_an_exponent(rate, text):
    assert percent(rate) == text


def test_a_bound_is_never_rounded_down():
    assert percent_at_most(0.0901) == "9.1 %"
    assert percent_at_most(1) == "100 %"


def test_a_column_has_one_decimal_place():
    assert [percent_to_a_tenth(share) for share in (0, 0.125, 1)] == ["0.0 %", "12.5 %", "100.0 %"]
