"""Rules of settings: what they say, and how values are written on a command line."""

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from patchbank.errors import ParameterError
from patchbank.settings.rules import (
    Choice,
    Factors,
    Flag,
    Integer,
    Names,
    Number,
    Numbers,
    Optional,
    Size,
    Text,
    ThreeNumbers,
    fraction,
)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Integer(2), "an integer, 2 or more"),
        (Integer(1, odd=True), "an odd integer, 1 or more"),
        (Integer(1, 99, odd=True), "an odd integer from 1 to 99"),
        (Number(0), "a number, 0 or more"),
        (Number(0, open_low=True), "a number, more than 0"),
        (Number(1, 100), "a number from 1 to 100"),
        (Number(0, 100, unit="pixels"), "a number from 0 to 100 pixels"),
        (Number(0, 1, open_low=True, open_high=True), "a number, more than 0 and less than 1"),
        (Number(0, 1, open_high=True), "a number, at least 0 and less than 1"),
        (fraction(), "a number, more than 0 and at most 1"),
        (Choice.of(Literal["a", "b"]), "one of a, b"),
        (Flag(), "true or false"),
        (Text("a path"), "a path"),
        (Names(), "a list of names"),
        (ThreeNumbers(0, 1), "3 numbers (red, green, blue) from 0 to 1"),
        (Numbers(0.1, 1), "numbers from 0.1 to 1"),
        (Factors(0.5, 2), "factors from 0.5 to 2, not 1"),
        (Size(), "a side, or height and width, of 32 to 8192 pixels"),
        (Optional(Integer(1)), "an integer, 1 or more, or None"),
    ],
)
def test_a_rule_describes_itself(rule, words):
    assert rule.describe() == words
    with pytest.raises(ParameterError) as caught:
        rule.check("knob", object)
    assert str(caught.value) == f"knob: expected {words}, got {object!r}"


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        (Integer(0), " 12 ", 12),
        (Number(0, 1), "0.25", 0.25),
        (Number(0), "3", 3.0),
        (Choice(("a", "b")), "b", "b"),
        (Flag(), "True", True),
        (Flag(), "false", False),
        (Text(), "some/file.onnx", "some/file.onnx"),
        (Names(), "layer1, layer2", ("layer1", "layer2")),
        (ThreeNumbers(0, 1), "0.5,0.25, 1", (0.5, 0.25, 1.0)),
        (Numbers(0.1, 1), "1,0.5", (1.0, 0.5)),
        (Factors(0.5, 2), "0.9:1.1", (0.9, 1.1)),
        (Factors(0.5, 2), "0.9,1.1", (0.9, 1.1)),
        (Factors(0.5, 2), "none", ()),
        (Size(), "384", 384),
        (Size(), "256X512", (256, 512)),
        (Optional(Integer(1)), "7", 7),
        (Optional(Integer(1)), "none", None),
    ],
)
def test_a_value_is_read_as_it_is_written(rule, text, value):
    found = rule.parse("knob", text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("rule", "text", "words"),
    [
        (Integer(1), "2.5", "an integer, 1 or more"),
        (Integer(1), "0", "an integer, 1 or more"),
        (Number(0, 1), "half", "a number from 0 to 1"),
        (Number(0, 1), "inf", "a number from 0 to 1"),
        (Choice(("a", "b")), "c", "one of a, b"),
        (Flag(), "1", "true or false"),
        (Text(), "", "a name"),
        (Names(), "a,,b", "names with commas between them"),
        (ThreeNumbers(0, 1), "1,2", "three numbers from 0 to 1 with commas between them"),
        (Numbers(0.1, 1), "x", "numbers from 0.1 to 1, with commas between them"),
        (Numbers(0.1, 1), "2", "numbers from 0.1 to 1"),
        (Factors(0.5, 2), "", "factors from 0.5 to 2, not 1, with commas or colons between them"),
        (Factors(0.5, 2), "1", "factors from 0.5 to 2, not 1"),
        (Size(), "big", "a side (384) or height x width (256x512), of 32 to 8192 pixels"),
        (Size(), "64x64x3", "a side (384) or height x width (256x512), of 32 to 8192 pixels"),
        (Size(), "31", "a side, or height and width, of 32 to 8192 pixels"),
        (
            Optional(Size()),
            "big",
            "a side (384) or height x width (256x512), of 32 to 8192 pixels, or none",
        ),
    ],
)
def test_a_text_that_stands_for_no_value_is_refused(rule, text, words):
    with pytest.raises(ParameterError) as caught:
        rule.parse("knob", text)
    assert str(caught.value).startswith(f"knob: expected {words}, got ")


def test_values_get_one_form():
    assert Text().check("backbone", Path("some/file.onnx")) == str(Path("some/file.onnx"))
    assert Size().check("crop", [96, 128]) == (96, 128)
    assert Names().check("layers", ["a"]) == ("a",)
    assert repr(Factors(0.5, 2).check("zooms", 2)) == "(2.0,)"
    assert repr(Numbers(0.1, 1).check("scales", [1, 0.5])) == "(1, 0.5)"
    assert Optional(Size()).check("crop", None) is None


@pytest.mark.parametrize(
    ("rule", "limit", "beyond"),
    [
        (Integer(3), 3, 2),
        (Number(1, 2), 1, math.nextafter(1, 0)),
        (Number(1, 2), 2, math.nextafter(2, 3)),
        (Number(0, 1, open_low=True), math.nextafter(0, 1), 0),
        (Number(0, 1, open_high=True), math.nextafter(1, 0), 1),
        (Size(), 32, 31),
        (Size(), 8192, 8193),
        (Numbers(0.1, 1), (0.1,), (math.nextafter(0.1, 0),)),
        (Factors(0.5, 2), (2,), (math.nextafter(2, 3),)),
    ],
)
def test_limits_are_exact(rule, limit, beyond):
    assert rule.check("knob", limit) == limit
    with pytest.raises(ParameterError, match="knob: expected"):
        rule.check("knob", beyond)


@pytest.mark.parametrize("size", [0, 31, 9000, 3.5, True, (100,), (10, 100), (1, 2, 3), "384"])
def test_impossible_sizes_are_named(size):
    with pytest.raises(ParameterError, match="image_size: expected"):
        Size().check("image_size", size)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (Number(0), 10**400),
        (Number(0, 100), -(10**400)),
        (ThreeNumbers(0, 1), (10**400, 0, 0)),
        (Factors(0.5, 2), 10**400),
    ],
    ids=["number", "limits", "colours", "factors"],
)
def test_an_integer_beyond_the_floats_is_refused_like_any_other_number(rule, value):
    with pytest.raises(ParameterError) as caught:
        rule.check("knob", value)
    assert str(caught.value) == f"knob: expected {rule.describe()}, got {repr(value)[:100]}..."


def test_an_integer_that_python_does_not_write_is_refused_too():
    with pytest.raises(ParameterError, match="knob: expected a number.*, got a value of too many"):
        Number(0).check("knob", 10**5000)


def test_a_value_of_several_lines_is_shown_in_one():
    with pytest.raises(ParameterError) as caught:
        Integer(1).check("knob", np.eye(2))
    assert str(caught.value) == (
        "knob: expected an integer, 1 or more, got array([[1., 0.], [0., 1.]])"
    )
