"""Rules of several values: names, numbers, sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from patchbank.settings.rules.rule import NONE, Rule, is_number, require


@dataclass(frozen=True, slots=True)
class Names(Rule):
    """One or more names."""

    def describe(self) -> str:
        """The rule in words: a list of names."""
        return "a list of names"

    @property
    def written(self) -> str:
        """The rule in words for a command line: names with commas."""
        return "names with commas between them"

    def normalised(self, value: Any) -> tuple[str, ...]:
        """A tuple."""
        require(isinstance(value, (list, tuple)) and len(value) > 0)
        require(all(isinstance(name, str) and name for name in value))
        return tuple(value)

    def convert(self, text: str) -> tuple[str, ...]:
        """Names with commas between them."""
        names = tuple(part.strip() for part in text.split(","))
        require(all(names))
        return names

    @property
    def metavar(self) -> str:
        """Placeholder ``NAME,NAME``."""
        return "NAME,NAME"

    def valid_values(self) -> tuple[Any, ...]:
        """One name, and several, as a list and as a tuple."""
        return ("one",), ["one", "two"]

    def invalid_values(self) -> tuple[Any, ...]:
        """No name, a text, other types."""
        return (), [], "one", ("one", 2), ("",), 5


@dataclass(frozen=True, slots=True)
class ThreeNumbers(Rule):
    """One finite number for each colour: red, green, blue."""

    low: float
    high: float

    def describe(self) -> str:
        """The rule in words: three numbers between the limits."""
        return f"3 numbers (red, green, blue) from {self.low:g} to {self.high:g}"

    @property
    def written(self) -> str:
        """The rule in words for a command line: three numbers with commas."""
        limits = f"from {self.low:g} to {self.high:g}"
        return f"three numbers {limits} with commas between them"

    def normalised(self, value: Any) -> tuple[float, float, float]:
        """A tuple."""
        require(isinstance(value, (list, tuple)) and len(value) == 3)
        require(all(is_number(number) and self.low <= number <= self.high for number in value))
        red, green, blue = value
        return red, green, blue

    def convert(self, text: str) -> tuple[float, ...]:
        """Three numbers with commas between them."""
        numbers = tuple(float(part) for part in text.split(","))
        require(len(numbers) == 3)
        return numbers

    @property
    def metavar(self) -> str:
        """Placeholder ``R,G,B``."""
        return "R,G,B"

    def valid_values(self) -> tuple[Any, ...]:
        """A tuple, and a list with integers."""
        return (0.5, 0.25, 0.125), [self.low, 1, self.high]

    def invalid_values(self) -> tuple[Any, ...]:
        """Too few numbers, too many numbers, numbers beyond the limits, and other types."""
        others = 0.5, "1,2,3", ("a", "b", "c")
        beyond = (0.5, 0.5, self.low - 1), (self.high + 1, 0.5, 0.5), (0.5, 10**400, 0.5)
        return (0.5, 0.5), (1, 2, 3, 4), (0.5, 0.5, math.nan), *beyond, *others


def mean_rule() -> ThreeNumbers:
    """The rule of the mean of three colours, in [0, 1] for photographs, and beyond for others."""
    return ThreeNumbers(-1000, 1000)


def std_rule() -> ThreeNumbers:
    """The rule of the standard deviation of three colours, by which the network's input is divided.

    >>> std_rule().written
    'three numbers from 1e-06 to 1000 with commas between them'
    """
    return ThreeNumbers(1e-6, 1000)


@dataclass(frozen=True, slots=True)
class Numbers(Rule):
    """One or more numbers between limits.

    >>> Numbers(0.1, 1).parse("scales", "1, 0.5")
    (1.0, 0.5)
    """

    low: float
    high: float

    def describe(self) -> str:
        """The rule in words, such as "numbers from 0.1 to 1"."""
        return f"numbers from {self.low:g} to {self.high:g}"

    @property
    def written(self) -> str:
        """The rule in words for a command line: numbers with commas."""
        return f"{self.describe()}, with commas between them"

    def normalised(self, value: Any) -> tuple[float, ...]:
        """A tuple of the numbers as they were given."""
        require(isinstance(value, (list, tuple)) and len(value) > 0)
        require(all(is_number(number) and self.low <= number <= self.high for number in value))
        return tuple(value)

    def convert(self, text: str) -> tuple[float, ...]:
        """Numbers with commas between them."""
        return tuple(float(part) for part in text.split(","))

    @property
    def metavar(self) -> str:
        """Placeholder ``NUMBER,NUMBER``."""
        return "NUMBER,NUMBER"

    def valid_values(self) -> tuple[Any, ...]:
        """The two limits, and a number between them."""
        return (self.high,), [self.low, (self.low + self.high) / 2]

    def invalid_values(self) -> tuple[Any, ...]:
        """No number, numbers beyond the limits, other types."""
        beyond = (self.low - 1e-3,), (self.high, self.high + 1e-3), (math.nan,)
        return (), *beyond, "1", ("1",), (True,), None


@dataclass(frozen=True, slots=True)
class Factors(Rule):
    """Any number of factors between limits, but not 1; kept as floats.

    >>> Factors(0.5, 2).parse("zooms", "0.9:1.1")
    (0.9, 1.1)
    """

    low: float
    high: float

    def describe(self) -> str:
        """The rule in words, such as "factors from 0.5 to 2, not 1"."""
        return f"factors from {self.low:g} to {self.high:g}, not 1"

    @property
    def written(self) -> str:
        """The rule in words for a command line: factors with commas or colons."""
        return f"{self.describe()}, with commas or colons between them"

    def normalised(self, value: Any) -> tuple[float, ...]:
        """A tuple of floats; one number is a tuple of one."""
        factors = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        require(all(is_number(f) and self.low <= f <= self.high and f != 1 for f in factors))
        return tuple(float(factor) for factor in factors)

    def convert(self, text: str) -> tuple[float, ...]:
        """Numbers with commas or colons between them; ``none`` for none at all."""
        if text.lower() == NONE:
            return ()
        return tuple(float(part) for part in text.replace(":", ",").split(","))

    def text(self, value: Any) -> str:
        """Numbers with commas between them, or ``none``."""
        return Rule.text(self, value) if value else NONE

    @property
    def metavar(self) -> str:
        """Placeholder ``FACTOR,FACTOR``."""
        return "FACTOR,FACTOR"

    def valid_values(self) -> tuple[Any, ...]:
        """No factor, one factor, and the two limits."""
        return (), (0.9,), [self.low, self.high]

    def invalid_values(self) -> tuple[Any, ...]:
        """1, factors beyond the limits, other types."""
        return (1.0,), (self.low - 1e-3,), (self.high + 1e-3,), ("0.9",), "0.9", (math.nan,), None


@dataclass(frozen=True, slots=True)
class Size(Rule):
    """A side, or height and width, in pixels.

    >>> Size().parse("image_size", "256x512")
    (256, 512)
    """

    low: int = 32
    high: int = 8192

    def describe(self) -> str:
        """The rule in words, with its limits."""
        return f"a side, or height and width, of {self.low} to {self.high} pixels"

    @property
    def written(self) -> str:
        """The rule in words for a command line, with examples."""
        return f"a side (384) or height x width (256x512), of {self.low} to {self.high} pixels"

    def normalised(self, value: Any) -> int | tuple[int, int]:
        """An integer, or a tuple of two."""
        is_pair = isinstance(value, (list, tuple))
        sides = tuple(value) if is_pair else (value,)
        require(len(sides) == (2 if is_pair else 1))
        for side in sides:
            require(isinstance(side, int) and not isinstance(side, bool))
            require(self.low <= side <= self.high)
        return (sides[0], sides[1]) if is_pair else int(sides[0])

    def convert(self, text: str) -> int | tuple[int, ...]:
        """An integer, or two with an ``x`` between them."""
        sides = tuple(int(part) for part in text.lower().split("x"))
        require(len(sides) in (1, 2))
        return sides if len(sides) == 2 else sides[0]

    def text(self, value: Any) -> str:
        """An integer, or two with an ``x`` between them."""
        return "x".join(str(side) for side in value) if isinstance(value, tuple) else str(value)

    @property
    def metavar(self) -> str:
        """Placeholder ``SIDE|HxW``."""
        return "SIDE|HxW"

    def valid_values(self) -> tuple[Any, ...]:
        """The two limits, and a pair of height and width."""
        return self.low, self.high, (96, 128), [96, 128]

    def invalid_values(self) -> tuple[Any, ...]:
        """Sides beyond the limits, too few or too many sides, other types."""
        beyond = self.low - 1, self.high + 1, (96, self.low - 1), (self.high + 1, 96)
        return *beyond, (96,), (96, 96, 96), (), 96.0, "96", True, (96.0, 128)
