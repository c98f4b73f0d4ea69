"""Rules of single values: numbers, words, flags, names."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, get_args

from patchbank.settings.rules.rule import Rule, is_number, require

MOST = 10**9
"""Largest integer where nothing sets a smaller limit."""


@dataclass(frozen=True, slots=True)
class Integer(Rule):
    """An integer between limits.

    >>> Integer(1, 360).check("rotations", 0)
    Traceback (most recent call last):
    patchbank.errors.ParameterError: rotations: expected an integer from 1 to 360, got 0
    """

    low: int
    high: int = MOST
    odd: bool = False
    """Whether only odd integers are allowed."""

    def describe(self) -> str:
        """The rule in words, such as "an odd integer from 1 to 99"."""
        kind = f"an {'odd ' if self.odd else ''}integer"
        if self.high >= MOST:
            return f"{kind}, {self.low} or more"
        return f"{kind} from {self.low} to {self.high}"

    def normalised(self, value: Any) -> int:
        """The integer itself."""
        require(isinstance(value, int) and not isinstance(value, bool))
        require(self.low <= value <= self.high)
        require(value % 2 == 1 or not self.odd)
        return int(value)

    def convert(self, text: str) -> int:
        """The integer that the decimal digits stand for."""
        return int(text)

    @property
    def metavar(self) -> str:
        """Placeholder ``N``."""
        return "N"

    def valid_values(self) -> tuple[Any, ...]:
        """The limits, and an integer between them."""
        return self.low, self.low + 2, self.high

    def invalid_values(self) -> tuple[Any, ...]:
        """Integers beyond the limits, other types; even ones where odd ones are asked."""
        even = (self.low + 1,) if self.odd else ()
        others = self.low + 0.5, float(self.low), str(self.low), True, [self.low]
        return self.low - 1, self.high + 2, 10**400, *others, *even


@dataclass(frozen=True, slots=True)
class Number(Rule):
    """A finite number between limits.

    >>> Number(0, 1, open_low=True).describe()
    'a number, more than 0 and at most 1'
    """

    low: float
    high: float | None = None
    """Upper limit; None where there is none."""
    open_low: bool = False
    """Whether `low` itself is refused."""
    open_high: bool = False
    """Whether `high` itself is refused."""
    unit: str = ""
    """Unit of the number, such as ``pixels``, or how it is written."""

    def describe(self) -> str:
        """The rule in words, such as "a number from 0 to 100 pixels"."""
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
        require(is_number(value) and math.isfinite(value))
        require(value > self.low or (value == self.low and not self.open_low))
        if self.high is not None:
            require(value < self.high or (value == self.high and not self.open_high))
        number: float = value
        return number

    def convert(self, text: str) -> float:
        """The number that the decimal text stands for."""
        return float(text)

    @property
    def metavar(self) -> str:
        """Placeholder ``NUMBER``."""
        return "NUMBER"

    def valid_values(self) -> tuple[Any, ...]:
        """The numbers next to the limits that are allowed, and one between them."""
        high = self.low + 1e6 if self.high is None else self.high
        lowest = math.nextafter(self.low, math.inf) if self.open_low else self.low
        highest = math.nextafter(high, -math.inf) if self.open_high else high
        return lowest, self.low + (high - self.low) / 4, highest

    def invalid_values(self) -> tuple[Any, ...]:
        """Numbers beyond the limits or the floats, infinity, not-a-number, and other types."""
        beyond = [self.low if self.open_low else self.low - 1e-3]
        if self.high is not None:
            beyond.append(self.high if self.open_high else self.high + 1e-3)
        inside = str(self.valid_values()[0])
        return (
            *beyond,
            10**400,
            math.inf,
            -math.inf,
            math.nan,
            True,
            inside,
            [self.valid_values()[0]],
        )


SHARE = Number(0, 1, open_low=True, open_high=True, unit="(0.05 for 5 %)")
"""Rule of a share, such as a false-alarm rate, which some would write in percent."""
SECONDS = Number(0, 86_400, unit="seconds")
"""Rule of a time limit: a day at most."""


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
        """The rule in words, such as "one of area, squash"."""
        return f"one of {', '.join(self.choices)}"

    def normalised(self, value: Any) -> str:
        """The word itself."""
        require(isinstance(value, str) and value in self.choices)
        word: str = value
        return word

    @property
    def metavar(self) -> str:
        """The words, with bars between them."""
        return "|".join(self.choices)

    def valid_values(self) -> tuple[Any, ...]:
        """All words of the choice."""
        return self.choices

    def invalid_values(self) -> tuple[Any, ...]:
        """Other words, a part of a word, and other types."""
        first = self.choices[0]
        return "no such word", "", first[:-1], first.upper(), None, 1, [first]


@dataclass(frozen=True, slots=True)
class Flag(Rule):
    """True or false."""

    def describe(self) -> str:
        """The two values in words."""
        return "true or false"

    def normalised(self, value: Any) -> bool:
        """The value itself."""
        require(isinstance(value, bool))
        return bool(value)

    def convert(self, text: str) -> bool:
        """The value that ``true`` or ``false`` stands for."""
        require(text.lower() in ("true", "false"))
        return text.lower() == "true"

    @property
    def metavar(self) -> str:
        """The two values, with a bar between them."""
        return "true|false"

    def valid_values(self) -> tuple[Any, ...]:
        """The two values True and False."""
        return True, False

    def invalid_values(self) -> tuple[Any, ...]:
        """Values that Python treats as true or false without being either."""
        return 1, 0, "true", None, []


@dataclass(frozen=True, slots=True)
class Text(Rule):
    """A name or a path, kept as text."""

    kind: str = "a name"
    placeholder: str = "NAME"

    def describe(self) -> str:
        """The rule in words, such as "a name or a path"."""
        return self.kind

    def normalised(self, value: Any) -> str:
        """The text itself, or the text of a path object."""
        text = os.fspath(value)
        require(isinstance(text, str) and text != "")
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
