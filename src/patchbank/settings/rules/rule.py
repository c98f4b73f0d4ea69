"""Base of all rules, and the rule that allows None too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from patchbank.errors import ParameterError
from patchbank.runtime.printable import one_line

MAX_SHOWN = 100  # letters of a value in a message
NUMPY_KINDS = "biufU"  # truth values, numbers and texts
NONE = "none"
"""Text that stands for None on a command line."""


class Rule(ABC):
    """A condition that the values of a setting meet, and their form as text."""

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
        """Text of a value on a command line; the inverse of `convert`."""
        if isinstance(value, (list, tuple)):
            return ",".join(self.text(entry) for entry in value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
            return str(int(value))
        return str(value).lower() if isinstance(value, bool) else str(value)

    def check(self, name: str, value: Any) -> Any:
        """Normalise the value of the setting `name`; one of NumPy becomes one of Python.

        Raises:
            ParameterError: the rule does not allow it.
        """
        plain = _plain(value)
        try:
            return self.normalised(plain)
        except (TypeError, ValueError, OverflowError):
            raise ParameterError(
                f"{name}: expected {self.describe()}, got {_shown(plain)}"
            ) from None

    def parse(self, name: str, text: str) -> Any:
        """Read the value of the setting `name` as it is written on a command line.

        Raises:
            ParameterError: the text stands for no value that the rule allows.
        """
        try:
            value = self.convert(text.strip())
        except (ValueError, OverflowError):
            raise ParameterError(f"{name}: expected {self.written}, got {_shown(text)}") from None
        return self.check(name, value)


@dataclass(frozen=True, slots=True)
class Optional(Rule):
    """Rule that allows None, and the values of another rule.

    >>> from patchbank.settings.rules import Integer
    >>> Optional(Integer(1)).parse("bank_rows", "none") is None
    True
    """

    rule: Rule

    def describe(self) -> str:
        """The other rule, and None."""
        return f"{self.rule.describe()}, or None"

    @property
    def written(self) -> str:
        """The other rule in words for a command line, and ``none``."""
        return f"{self.rule.written}, or {NONE}"

    def normalised(self, value: Any) -> Any:
        """The value in the form of the other rule, or None."""
        return None if value is None else self.rule.normalised(value)

    def convert(self, text: str) -> Any:
        """Value that the text stands for in the other rule; None for ``none``."""
        return None if text.lower() == NONE else self.rule.convert(text)

    def text(self, value: Any) -> str:
        """``none`` for None, or the text of the other rule."""
        return NONE if value is None else self.rule.text(value)

    @property
    def metavar(self) -> str:
        """Placeholder of the other rule."""
        return self.rule.metavar

    def valid_values(self) -> tuple[Any, ...]:
        """Examples that the other rule allows, and None."""
        return None, *self.rule.valid_values()

    def invalid_values(self) -> tuple[Any, ...]:
        """All values that the other rule refuses, except None."""
        return tuple(value for value in self.rule.invalid_values() if value is not None)


def _plain(value: Any) -> Any:
    """Numbers, truth values and texts of NumPy as those of Python, also in a sequence.

    >>> import numpy as np
    >>> _plain(np.float32(0.5)), _plain((np.int64(96), 128)), _plain(np.array([96, 128]))
    (0.5, (96, 128), [96, 128])
    """
    if isinstance(value, (list, tuple)):
        entries = (_plain_array(entry, 0) for entry in value)
        return tuple(entries) if isinstance(value, tuple) else list(entries)
    return _plain_array(value, 1)


def _plain_array(value: Any, most_dims: int) -> Any:
    # Their module is asked for by name, as NumPy takes longer to import than all else here.
    is_array = type(value).__module__ == "numpy" and hasattr(value, "tolist")
    if not is_array or value.dtype.kind not in NUMPY_KINDS or value.ndim > most_dims:
        return value
    return value.tolist() if value.size <= MAX_SHOWN else value


def _shown(value: Any) -> str:
    """The value in one line, and the beginning of a long one."""
    try:
        text = one_line(repr(value))
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a value of too many digits"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def is_number(value: Any) -> bool:
    """Whether a value is an integer or a float, and not a truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def require(is_allowed: bool) -> None:
    """Raise ValueError unless `is_allowed`; `Rule.check` makes a message of it."""
    if not is_allowed:
        raise ValueError
