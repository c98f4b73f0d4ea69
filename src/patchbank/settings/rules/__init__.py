"""Rules that the value of a setting keeps to.

A rule checks and normalises a value, reads and writes it as text on a command line, describes
itself in words for messages, help and docs, and lists examples of allowed and refused values, from
which the contract test is made.
"""

from patchbank.settings.rules.rule import NONE, Optional, Rule
from patchbank.settings.rules.scalars import (
    SECONDS,
    SHARE,
    Choice,
    Flag,
    Integer,
    Number,
    Text,
    fraction,
)
from patchbank.settings.rules.sequences import (
    Factors,
    Names,
    Numbers,
    Size,
    ThreeNumbers,
    mean_rule,
    std_rule,
)

__all__ = [
    "NONE",
    "SECONDS",
    "SHARE",
    "Choice",
    "Factors",
    "Flag",
    "Integer",
    "Names",
    "Number",
    "Numbers",
    "Optional",
    "Rule",
    "Size",
    "Text",
    "ThreeNumbers",
    "fraction",
    "mean_rule",
    "std_rule",
]
