"""Rules that a setting's value keeps to.

A rule checks and normalises a value, reads it as it is written on a command line, describes itself
in words for messages, help and docs, and gives examples of right and wrong values, from which the
contract test is made.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, get_args

from patchbank.errors import ParameterError

NONE = "none"
"""How None is written on a command line."""


class Rule(ABC):
    """What the values of a setting have in common."""

    @abstractmethod
    def describe(self) -> str:
        """The rule in words that follow "expected"."""

    @abstractmethod
    def normalised(self, value: Any) -> Any:
        """The value in the one form that is kept; ValueError where the rule does not allow it."""

    @abstractmethod
    def valid_values(self) -> tuple[Any, ...]:
        """Examples that the rule allows, its limits among them."""

    @abstractmethod
    def invalid_values(self) -> tuple[Any, ...]:
        """Examples that the rule refuses, those just beyond its limits among them."""

    @property
    @abstractmethod
    def metavar(self) -> str:
        """Placeholder of the value in the help of a command."""

    @property
    def written(self) -> str:
        """The rule in words for those who write the value on a command line."""
        return self.describe()

    def convert(self, text: str) -> Any:
        """The value that `text` stands for; ValueError where it stands for none."""
        return text

    def text(self, value: Any) -> str:
        """How a value is written on a command line; the inverse of `convert`."""
        if isinstance(value, (list, tuple)):
            return ",".join(self.text(entry) for entry in value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
            return str(int(value))
        return str(value).lower() if isinstance(value, bool) else str(value)

    def check(self, name: str, value: Any) -> Any:
        """Normalise the value of the setting `name`.

        Raises:
            ParameterError: the rule does not allow it.
        """
        try:
            return self.normalised(value)
        except (TypeError, ValueError):
            raise ParameterError(f"{name}: expected {self.describe()}, got {value!r}") from None

    def parse(self, name: str, text: str) -> Any:
        """Read the value of the setting `name` as it is written on a command line.

        Raises:
            ParameterError: the text stands for no value that the rule allows.
        """
        try:
            value = self.convert(text.strip())
        except ValueError:
            raise ParameterError(f"{name}: expected {self.written}, got {text!r}") from None
        return self.check(name, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require(is_allowed: bool) -> None:
    if not is_allowed:
        raise ValueError


@dataclass(frozen=True, slots=True)
class Integer(Rule):
    """An integer from `low` up.

    >>> Integer(1).check("n_neighbours", 0)
    Traceback (most recent call last):
    patchbank.errors.ParameterError: n_neighbours: expected an integer, 1 or more, got 0
    """

    low: int
    odd: bool = False
    """Whether only odd integers are allowed."""

    def describe(self) -> str:
        """For example "an odd integer, 1 or more"."""
        return f"an {'odd ' if self.odd else ''}integer, {self.low} or more"

    def normalised(self, value: Any) -> int:
        """The integer itself."""
        _require(isinstance(value, int) and not isinstance(value, bool) and value >= self.low)
        _require(value % 2 == 1 or not self.odd)
        return int(value)

    def convert(self, text: str) -> int:
        """Decimal digits."""
        return int(text)

    @property
    def metavar(self) -> str:
        """``N``."""
        return "N"

    def valid_values(self) -> tuple[Any, ...]:
        """The smallest, and larger ones."""
        return self.low, self.low + 2, self.low + 40

    def invalid_values(self) -> tuple[Any, ...]:
        """One below the smallest, fractions, other types; even ones where odd ones are asked."""
        even = (self.low + 1,) if self.odd else ()
        return self.low - 1, self.low + 0.5, float(self.low), str(self.low), True, [self.low], *even


@dataclass(frozen=True, slots=True)
class Number(Rule):
    """A finite number between limits.

    >>> Number(0, 1, open_low=True).describe()
    'a number, more than 0 and at most 1'
    """

    low: float
    high: float | None = None
    """None where any finite number is allowed."""
    open_low: bool = False
    """Whether `low` itself is refused."""
    open_high: bool = False
    """Whether `high` itself is refused."""
    unit: str = ""
    """What the number counts, such as ``pixels``."""

    def describe(self) -> str:
        """For example "a number from 0 to 100 pixels"."""
        unit = f" {self.unit}" if self.unit else ""
        if self.high is None:
            limits = f", more than {self.low:g}" if self.open_low else f", {self.low:g} or more"
        elif self.open_low or self.open_high:
            low = f"more than {self.low:g}" if self.open_low else f"at least {self.low:g}"
            high = f"less than {self.high:g}" if self.open_high else f"at most {self.high:g}"
            limits = f", {low} and {high}"
        else:
            limits = f" from {self.low:g} to {self.high:g}"
        return f"a number{limits}{unit}"

    def normalised(self, value: Any) -> float:
        """The number as it was given: an integer stays one."""
        _require(_is_number(value) and math.isfinite(value))
        _require(value > self.low or (value == self.low and not self.open_low))
        if self.high is not None:
            _require(value < self.high or (value == self.high and not self.open_high))
        number: float = value
        return number

    def convert(self, text: str) -> float:
        """A decimal number."""
        return float(text)

    @property
    def metavar(self) -> str:
        """``NUMBER``."""
        return "NUMBER"

    def valid_values(self) -> tuple[Any, ...]:
        """The numbers next to the limits that are allowed, and one between them."""
        high = self.low + 1e6 if self.high is None else self.high
        lowest = math.nextafter(self.low, math.inf) if self.open_low else self.low
        highest = math.nextafter(high, -math.inf) if self.open_high else high
        return lowest, self.low + (high - self.low) / 4, highest

    def invalid_values(self) -> tuple[Any, ...]:
        """Numbers beyond the limits, infinity, not-a-number, and other types."""
        beyond = [self.low if self.open_low else self.low - 1e-3]
        if self.high is not None:
            beyond.append(self.high if self.open_high else self.high + 1e-3)
        inside = str(self.valid_values()[0])
        return *beyond, math.inf, -math.inf, math.nan, True, inside, [self.valid_values()[0]]


def fraction() -> Number:
    """The rule of a fraction of a whole, in (0, 1]."""
    return Number(0, 1, open_low=True)


@dataclass(frozen=True, slots=True)
class Choice(Rule):
    """One of several words.

    >>> Choice(("area", "squash")).describe()
    'one of area, squash'
    """

    choices: tuple[str, ...]

    @classmethod
    def of(cls, literal: Any) -> Choice:
        """The words of a `Literal` type, so that they are written once."""
        return cls(get_args(literal))

    def describe(self) -> str:
        """For example "one of area, squash"."""
        return f"one of {', '.join(self.choices)}"

    def normalised(self, value: Any) -> str:
        """The word itself."""
        _require(isinstance(value, str) and value in self.choices)
        word: str = value
        return word

    @property
    def metavar(self) -> str:
        """The words, with bars between them."""
        return "|".join(self.choices)

    def valid_values(self) -> tuple[Any, ...]:
        """Every word."""
        return self.choices

    def invalid_values(self) -> tuple[Any, ...]:
        """Other words, a part of a word, and other types."""
        first = self.choices[0]
        return "no such word", "", first[:-1], first.upper(), None, 1, [first]


@dataclass(frozen=True, slots=True)
class Flag(Rule):
    """True or false."""

    def describe(self) -> str:
        """Both values."""
        return "true or false"

    def normalised(self, value: Any) -> bool:
        """The value itself."""
        _require(isinstance(value, bool))
        return bool(value)

    def convert(self, text: str) -> bool:
        """``true`` or ``false``."""
        _require(text.lower() in ("true", "false"))
        return text.lower() == "true"

    @property
    def metavar(self) -> str:
        """Both values, with a bar between them."""
        return "true|false"

    def valid_values(self) -> tuple[Any, ...]:
        """Both."""
        return True, False

    def invalid_values(self) -> tuple[Any, ...]:
        """What Python takes for true or false, and is not."""
        return 1, 0, "true", None, []


@dataclass(frozen=True, slots=True)
class Text(Rule):
    """A name or a path, kept as text."""

    kind: str = "a name"
    placeholder: str = "NAME"

    def describe(self) -> str:
        """For example "a name or a path"."""
        return self.kind

    def normalised(self, value: Any) -> str:
        """The text; that of a path object."""
        text = os.fspath(value)
        _require(isinstance(text, str) and text != "")
        return str(text)

    @property
    def metavar(self) -> str:
        """The placeholder."""
        return self.placeholder

    def valid_values(self) -> tuple[Any, ...]:
        """A name, and a path."""
        return "some_name", "some/folder/file.bin"

    def invalid_values(self) -> tuple[Any, ...]:
        """The empty text, and other types."""
        return "", 5, b"bytes", ["a"], True


@dataclass(frozen=True, slots=True)
class Names(Rule):
    """One or more names."""

    def describe(self) -> str:
        """A list."""
        return "a list of names"

    @property
    def written(self) -> str:
        """With commas."""
        return "names with commas between them"

    def normalised(self, value: Any) -> tuple[str, ...]:
        """A tuple."""
        _require(isinstance(value, (list, tuple)) and len(value) > 0)
        _require(all(isinstance(name, str) and name for name in value))
        return tuple(value)

    def convert(self, text: str) -> tuple[str, ...]:
        """Names with commas between them."""
        names = tuple(part.strip() for part in text.split(","))
        _require(all(names))
        return names

    @property
    def metavar(self) -> str:
        """``NAME,NAME``."""
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

    def describe(self) -> str:
        """Three."""
        return "3 numbers (red, green, blue)"

    @property
    def written(self) -> str:
        """With commas."""
        return "three numbers with commas between them"

    def normalised(self, value: Any) -> tuple[float, float, float]:
        """A tuple."""
        _require(isinstance(value, (list, tuple)) and len(value) == 3)
        _require(all(_is_number(number) and math.isfinite(number) for number in value))
        red, green, blue = value
        return red, green, blue

    def convert(self, text: str) -> tuple[float, ...]:
        """Three numbers with commas between them."""
        numbers = tuple(float(part) for part in text.split(","))
        _require(len(numbers) == 3)
        return numbers

    @property
    def metavar(self) -> str:
        """``R,G,B``."""
        return "R,G,B"

    def valid_values(self) -> tuple[Any, ...]:
        """Of several types."""
        return (0.5, 0.25, 0.125), [0.5, 1, 0]

    def invalid_values(self) -> tuple[Any, ...]:
        """Too few, too many, other types."""
        return (0.5, 0.5), (1, 2, 3, 4), 0.5, "1,2,3", ("a", "b", "c"), (0.5, 0.5, math.nan)


@dataclass(frozen=True, slots=True)
class Numbers(Rule):
    """One or more numbers between limits.

    >>> Numbers(0.1, 1).parse("scales", "1, 0.5")
    (1.0, 0.5)
    """

    low: float
    high: float

    def describe(self) -> str:
        """For example "numbers from 0.1 to 1"."""
        return f"numbers from {self.low:g} to {self.high:g}"

    @property
    def written(self) -> str:
        """With commas."""
        return f"{self.describe()}, with commas between them"

    def normalised(self, value: Any) -> tuple[float, ...]:
        """A tuple of the numbers as they were given."""
        _require(isinstance(value, (list, tuple)) and len(value) > 0)
        _require(all(_is_number(number) and self.low <= number <= self.high for number in value))
        return tuple(value)

    def convert(self, text: str) -> tuple[float, ...]:
        """Numbers with commas between them."""
        return tuple(float(part) for part in text.split(","))

    @property
    def metavar(self) -> str:
        """``NUMBER,NUMBER``."""
        return "NUMBER,NUMBER"

    def valid_values(self) -> tuple[Any, ...]:
        """Both limits, and a number between them."""
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
        """For example "factors from 0.5 to 2, not 1"."""
        return f"factors from {self.low:g} to {self.high:g}, not 1"

    @property
    def written(self) -> str:
        """With commas or colons."""
        return f"{self.describe()}, with commas or colons between them"

    def normalised(self, value: Any) -> tuple[float, ...]:
        """A tuple of floats; one number is a tuple of one."""
        factors = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        _require(all(_is_number(f) and self.low <= f <= self.high and f != 1 for f in factors))
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
        """``FACTOR,FACTOR``."""
        return "FACTOR,FACTOR"

    def valid_values(self) -> tuple[Any, ...]:
        """None at all, one, and both limits."""
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
        """With the limits."""
        return f"a side, or height and width, of {self.low} to {self.high} pixels"

    @property
    def written(self) -> str:
        """With examples."""
        return f"a side (384) or height x width (256x512), of {self.low} to {self.high} pixels"

    def normalised(self, value: Any) -> int | tuple[int, int]:
        """An integer, or a tuple of two."""
        is_pair = isinstance(value, (list, tuple))
        sides = tuple(value) if is_pair else (value,)
        _require(len(sides) == (2 if is_pair else 1))
        for side in sides:
            _require(isinstance(side, int) and not isinstance(side, bool))
            _require(self.low <= side <= self.high)
        return (sides[0], sides[1]) if is_pair else int(sides[0])

    def convert(self, text: str) -> int | tuple[int, ...]:
        """An integer, or two with an ``x`` between them."""
        sides = tuple(int(part) for part in text.lower().split("x"))
        _require(len(sides) in (1, 2))
        return sides if len(sides) == 2 else sides[0]

    def text(self, value: Any) -> str:
        """An integer, or two with an ``x`` between them."""
        return "x".join(str(side) for side in value) if isinstance(value, tuple) else str(value)

    @property
    def metavar(self) -> str:
        """``SIDE|HxW``."""
        return "SIDE|HxW"

    def valid_values(self) -> tuple[Any, ...]:
        """Both limits, and height and width."""
        return self.low, self.high, (96, 128), [96, 128]

    def invalid_values(self) -> tuple[Any, ...]:
        """Beyond the limits, too few or too many sides, other types."""
        beyond = self.low - 1, self.high + 1, (96, self.low - 1), (self.high + 1, 96)
        return *beyond, (96,), (96, 96, 96), (), 96.0, "96", True, (96.0, 128)


@dataclass(frozen=True, slots=True)
class Optional(Rule):
    """None, or what another rule allows.

    >>> Optional(Integer(1)).parse("bank_rows", "none") is None
    True
    """

    rule: Rule

    def describe(self) -> str:
        """The other rule, and None."""
        return f"{self.rule.describe()}, or None"

    @property
    def written(self) -> str:
        """As the other rule says it, and ``none``."""
        return f"{self.rule.written}, or {NONE}"

    def normalised(self, value: Any) -> Any:
        """None, or what the other rule makes of the value."""
        return None if value is None else self.rule.normalised(value)

    def convert(self, text: str) -> Any:
        """``none`` for None."""
        return None if text.lower() == NONE else self.rule.convert(text)

    def text(self, value: Any) -> str:
        """``none`` for None."""
        return NONE if value is None else self.rule.text(value)

    @property
    def metavar(self) -> str:
        """That of the other rule."""
        return self.rule.metavar

    def valid_values(self) -> tuple[Any, ...]:
        """None, and what the other rule allows."""
        return None, *self.rule.valid_values()

    def invalid_values(self) -> tuple[Any, ...]:
        """What the other rule refuses, but None."""
        return tuple(value for value in self.rule.invalid_values() if value is not None)
