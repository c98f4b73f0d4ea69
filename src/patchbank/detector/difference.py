"""Differences of a photograph from the learned ones as a whole, and lines about many of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from patchbank.images.folders import few

DifferenceKind: TypeAlias = Literal[
    "size",
    "mode",
    "colour",
    "bit_depth",
    "compression",
    "brightness",
    "sharpness",
    "part",
    "position",
    "pages",
]
"""Traits that differ; ``part``: the whole photograph is far from the learned ones; ``position``:
no part was found to be turned to its canonical position, or its position is not sure; ``pages``:
the file has further frames or pages, which are not inspected."""
KINDS: tuple[DifferenceKind, ...] = get_args(DifferenceKind)
NAMED = 3
"""Photographs that one line names at most."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a photograph differs from the learned ones as a whole.

    It is a note: the score does not depend on it, and the verdict only where no part was found.
    """

    kind: DifferenceKind
    """A word that programs can rely on."""
    text: str
    """A sentence for people: the difference, and what was learned."""

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, str]:
        """The object in the line that `patchbank predict --json` writes."""
        return {"kind": self.kind, "text": self.text}


Differences: TypeAlias = tuple[Difference, ...]


@dataclass(slots=True)
class DifferenceCount:
    """The differences of several photographs: one line for each kind, whatever their number."""

    n_photographs: int = 0
    _found: dict[DifferenceKind, list[tuple[str, str]]] = field(default_factory=dict)
    """Name and text of the photographs of a kind that lines name."""
    _counts: dict[DifferenceKind, int] = field(default_factory=dict)
    _texts: dict[DifferenceKind, set[str]] = field(default_factory=dict)
    """At most two texts of each kind."""

    def add(self, name: str, differences: Sequence[Difference]) -> list[str]:
        """Count a photograph, and return the texts of kinds that no earlier one had.

        Args:
            name: of the photograph.
            differences: of the photograph, none or several.
        """
        self.n_photographs += 1
        new = []
        for difference in differences:
            kind = difference.kind
            if kind not in self._counts:
                new.append(difference.text)
            self._counts[kind] = self._counts.get(kind, 0) + 1
            named = self._found.setdefault(kind, [])
            if len(named) < NAMED:
                named.append((name, difference.text))
            texts = self._texts.setdefault(kind, set())
            if len(texts) < 2:
                texts.add(difference.text)
        return new

    def lines(self, least_share: float = 0.0) -> list[str]:
        """Lines about all photographs; about a single one, its name and all its differences.

        Args:
            least_share: share of the photographs that a kind needs for a line.
        """
        kinds = [
            kind
            for kind in KINDS
            if kind in self._counts and self._counts[kind] > least_share * self.n_photographs
        ]
        if self.n_photographs == 1 and kinds:
            name = self._found[kinds[0]][0][0]
            return [f"{name}: {'; '.join(self._found[kind][0][1] for kind in kinds)}"]
        return [self._line(kind) for kind in kinds]

    def _line(self, kind: DifferenceKind) -> str:
        count, named = self._counts[kind], self._found[kind]
        text = named[0][1]
        which = f"{count:,} of {self.n_photographs:,} photographs"
        is_same = len(self._texts[kind]) == 1
        if count == self.n_photographs and is_same:
            return f"{which}: {text}"
        names = few([name for name, _ in named] + [""] * (count - len(named)), "photograph", NAMED)
        return f"{which} ({names}){'' if is_same else ', the first'}: {text}"
