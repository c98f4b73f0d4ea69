"""Photographs that belong together, and are left out together when the threshold is found.

Groups follow from what a user says (an expression on names, a column of a table, labels), from
subfolders, and from the photographs themselves: copies, and series (`training.series`).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from patchbank.core.scores.series import FEWEST_PHOTOGRAPHS
from patchbank.errors import DataError, ParameterError
from patchbank.images.folders import few
from patchbank.images.source import ImageSource
from patchbank.methods import numbered_groups
from patchbank.methods.base import FeatureMaps
from patchbank.training.left_out import PhotographGroup
from patchbank.training.photographs import Contents
from patchbank.training.series import PhotographPatches, Series, drawn_from
from patchbank.types import Indices

Groups: TypeAlias = str | Sequence[Hashable]
"""``auto``, ``none``, ``subfolders``, ``series``, an expression on names, or the group of each
photograph."""
AUTO, NONE, SUBFOLDERS, SERIES = "auto", "none", "subfolders", "series"
MOST_SUBFOLDERS_OF_KINDS = 5
"""Subfolders that may be kinds or cameras, of which new photographs come too; more are days, lots
or parts, of which there will be others."""
FEW_GROUPS = 6
"""Groups below which a line says that there are few."""
ONE_AT_A_TIME = 'groups="none" (--groups none) leaves out each photograph alone'


@dataclass(frozen=True, slots=True)
class Labels:
    """Groups that are known before a photograph is read."""

    labels: tuple[Hashable | None, ...]
    """(n,) label of the group of each photograph; None for one that is a group of its own."""
    reason: str | None = None
    """Why photographs of one label belong together, in words; None without labels."""
    is_asked: bool = False
    """Whether the user asked for these groups, so that too few of them are an error."""
    finds_copies: bool = True
    finds_series: bool = False
    are_series_asked: bool = False
    """Whether the user asked for series, also where photographs were drawn from a sequence."""
    lines: tuple[str, ...] = ()

    def only(self, is_kept: Sequence[bool]) -> Labels:
        """The labels of some of the photographs."""
        pairs = zip(self.labels, is_kept, strict=True)
        return replace(self, labels=tuple(label for label, kept in pairs if kept))

    def check(self) -> Labels:
        """Check that there are groups to leave out.

        Raises:
            DataError: the user asked for groups, and there is one only.
        """
        if self.is_asked and len(self.labels) > 1 and self.numbers.max() == 0:
            raise DataError(
                f"groups: expected at least 2, to leave one out and compare it with the others, "
                f"got 1 of all {len(self.labels)} photographs ({self.labels[0]}); give other "
                f'groups, or groups="auto" (--groups auto)'
            )
        return self

    @property
    def numbers(self) -> Indices:
        """(n,) number of the group of each photograph."""
        known: dict[Hashable, int] = {}
        own = [(None, number) for number in range(len(self.labels))]
        return np.array(
            [
                known.setdefault(own[number] if label is None else (True, label), len(known))
                for number, label in enumerate(self.labels)
            ],
            dtype=np.intp,
        )


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups in which photographs are left out."""

    numbers: Indices | None
    """(n,) number of the group of each photograph; None where each is left out alone."""
    lines: tuple[str, ...] = ()
    """Lines about the groups that were found, and how to change them."""
    shown: tuple[PhotographGroup, ...] = ()
    """Groups of more than one photograph, with their reasons."""


@dataclass(slots=True)
class GroupSearch:
    """Gathers what groups follow from while the photographs are read, and decides once."""

    sources: Sequence[ImageSource]
    labels: Labels
    contents: Contents = field(default_factory=Contents)
    has_others: bool = False
    """Whether others were learned before, so that all of these can be left out together."""
    _patches: PhotographPatches = field(default_factory=PhotographPatches)
    _grouping: Grouping | None = None
    _copies: Indices | None = None

    @property
    def is_open(self) -> bool:
        """Whether photographs are still to be read for it."""
        return self._grouping is None

    def reopen(self) -> None:
        """Begin anew with other features of the same photographs; their copies stay known."""
        self._patches, self._grouping = PhotographPatches(), None

    def add(self, maps: FeatureMaps) -> None:
        """Keep what series follow from, of the next photograph."""
        if self.takes_patches:
            self._patches.add(maps)

    def join(self, patches: PhotographPatches) -> None:
        """Keep what was kept of the next photographs elsewhere."""
        self._patches.patches += patches.patches

    @property
    def takes_patches(self) -> bool:
        """Whether patches of the photographs are kept."""
        return self.is_open and self._may_find_series

    @property
    def _may_find_series(self) -> bool:
        return self.labels.finds_series and len(self.sources) >= FEWEST_PHOTOGRAPHS

    def grouping(self) -> Grouping:
        """The groups, after all photographs were read.

        Raises:
            DataError: the groups that a user asked for are copies of each other.
        """
        if self._grouping is None:
            self._grouping = self._decide()
        return self._grouping

    def _decide(self) -> Grouping:
        n, labels = len(self.sources), self.labels
        alone = np.arange(n)
        if n == 1:
            return Grouping(None)
        kinds: list[tuple[str, Indices]] = []
        if labels.reason:
            kinds.append((labels.reason, labels.numbers))
        if self._copies is None:
            self._copies = self.contents.copies() if labels.finds_copies else alone
        copies = self._copies
        kinds.append(("copies of each other", copies))
        series, series_lines = self._series(copies)
        if series is not None:
            kinds.append((f"neighbours in the order {series.order}", series.groups))
        numbers = joined(*(groups for _, groups in kinds))
        lines = [*labels.lines, *self.contents.near_copies_line(copies), *series_lines]
        if numbers.max() == 0 and not self.has_others:
            return self._one_group(kinds, lines)
        if numbers.max() == n - 1:
            return Grouping(None, tuple(lines))
        n_groups = int(numbers.max()) + 1
        if (
            n_groups < FEW_GROUPS and not self.has_others and (labels.reason or series)
        ):  # few photographs have a line
            lines.append(
                f"{n_groups} groups of photographs are few to leave out in turn: the threshold "
                f"is provisional; give photographs of more groups, or {ONE_AT_A_TIME}"
            )
        return Grouping(numbers, tuple(lines), tuple(_shown(numbers, kinds)))

    def _series(self, copies: Indices) -> tuple[Series | None, list[str]]:
        """The series that are left out in blocks, if any, and lines about them."""
        n, is_asked = len(self.sources), self.labels.are_series_asked
        series = None
        if self._may_find_series:
            series = self._patches.find_series(self.sources, copies)
        if series is None:
            if not is_asked:
                return None, []
            enough = f"; {FEWEST_PHOTOGRAPHS} would be enough to look for one"
            line = f"no series was found among {n} photographs, so each is left out alone"
            return None, [line + enough * (n < FEWEST_PHOTOGRAPHS)]
        length = None if is_asked else drawn_from(self.sources)
        if length is None:
            return series, [_series_line(series)]
        return None, [
            f"photographs resemble their neighbours in the order {series.order}, but by their "
            f"numbers they were drawn at random from a longer sequence ({n} of {length:,}), so "
            "each is left out alone; where new photographs will be of other series, give "
            f'groups="{SERIES}" (--groups {SERIES})'
        ]

    def _one_group(self, kinds: Sequence[tuple[str, Indices]], lines: Sequence[str]) -> Grouping:
        """Nothing can be left out of all kinds of groups joined.

        It is an error where groups were asked for.  Otherwise groups of one kind are left out, that
        of the largest groups, or where even those are all photographs, each photograph alone.
        """
        n = len(self.sources)
        reasons = " or ".join(reason for reason, groups in kinds if groups.max() < n - 1)
        if self.labels.is_asked:
            raise DataError(
                f"groups: expected at least 2, got 1 of all {n} photographs, which are {reasons}; "
                f"give other photographs, or {ONE_AT_A_TIME}"
            )
        usable = [(reason, groups) for reason, groups in kinds if 0 < groups.max() < n - 1]
        if usable:
            reason, groups = min(usable, key=lambda kind: int(kind[1].max()))
            line = (
                f"all {n} photographs would belong together ({reasons}), so only those {reason} "
                "are left out together: the threshold is provisional; give each photograph once"
            )
            return Grouping(groups, (*lines, line), tuple(_shown(groups, [(reason, groups)])))
        return Grouping(
            None,
            (
                f"all {n} photographs belong together ({reasons}), so they are left out one at a "
                "time: the threshold is provisional, and likely to be too low; give photographs "
                "of other parts",
            ),
        )


def labels_of(
    asked: Groups, sources: Sequence[ImageSource], column: Sequence[str | None] | None = None
) -> Labels:
    """Find the groups that a user asked for, or that folders and tables say.

    Args:
        asked: as `Recipe.fit` takes it.
        sources: the photographs.
        column: (n,) the group of each photograph in a table; None for one without.

    Raises:
        ParameterError: it is no expression, or there is not one label for each photograph.
        DataError: names that the expression does not match, or a single group.
    """
    n = len(sources)
    nothing = Labels((None,) * n)
    if not isinstance(asked, str):
        return _given(asked, n).check()
    if asked == NONE:
        return replace(nothing, finds_copies=False)
    if asked == SUBFOLDERS:
        folders = tuple(_folders(asked, sources))
        return Labels(folders, "in one subfolder", is_asked=True).check()
    if asked == SERIES:
        return replace(nothing, finds_series=True, are_series_asked=True)
    if asked != AUTO:
        return Labels(_by_name(asked, sources), "alike in name", is_asked=True).check()
    if column is not None and any(column):
        in_table = tuple(label or None for label in column)
        return Labels(in_table, "of one group in the table", is_asked=True).check()
    return _automatic(sources, nothing)


def joined(*groupings: Indices) -> Indices:
    """Join groups that share a photograph in any grouping.  (n,), ... -> (n,) numbers.

    >>> joined(np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])).tolist()
    [0, 0, 0, 1, 2]
    """
    parents = list(range(len(groupings[0])))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for groups in groupings:
        firsts: dict[int, int] = {}
        for number, group in enumerate(groups.tolist()):
            parents[root(number)] = root(firsts.setdefault(group, number))
    roots = np.array([root(number) for number in range(len(parents))], dtype=np.intp)
    return numbered_groups(roots, len(roots))


def _given(asked: Sequence[Hashable], n: int) -> Labels:
    if not isinstance(asked, Iterable):
        raise ParameterError(
            f"groups: expected {AUTO}, {NONE}, {SUBFOLDERS}, {SERIES}, a regular expression or a "
            f"label for each photograph, got {type(asked).__name__}"
        )
    labels = tuple(asked)
    if len(labels) != n:
        raise ParameterError(
            f"groups: expected one label for each of {n} photographs, got {len(labels)}"
        )
    for label in labels:
        try:
            hash(label)
        except TypeError:
            raise ParameterError(
                f"groups: expected texts or numbers, got {type(label).__name__}"
            ) from None
    return Labels(labels, "of one group as given", is_asked=True)


def _automatic(sources: Sequence[ImageSource], nothing: Labels) -> Labels:
    """Groups by subfolders where there are many of them; otherwise series are searched."""
    if not all(isinstance(source.content, Path) for source in sources):
        return replace(nothing, finds_series=True)
    labels = _folders(AUTO, sources)
    sizes = Counter(labels)
    if len(sizes) == 1:
        return replace(nothing, finds_series=True)
    if len(sizes) <= MOST_SUBFOLDERS_OF_KINDS:
        line = (
            f"photographs lie in {len(sizes)} subfolders ({few(sorted(sizes), 'subfolder')}), and "
            "are not left out by them; where new photographs will be of other days, lots or parts "
            'than these, give groups="subfolders" (--groups subfolders)'
        )
        return replace(nothing, finds_series=True, lines=(line,))
    if len(sizes) == len(labels):  # each photograph has a folder of its own
        return replace(nothing, finds_series=True)
    line = (
        f"photographs are left out by subfolder, {len(sizes)} of them, as new photographs will be "
        f"of others ({few(sorted(sizes), 'subfolder')}); {ONE_AT_A_TIME}"
    )
    return Labels(tuple(labels), "in one subfolder", lines=(line,))


def _folders(asked: str, sources: Sequence[ImageSource]) -> list[str]:
    """The folder of each photograph below the one that all share."""
    return [os.path.dirname(path) or "." for path in _paths(asked, sources)]


def _by_name(expression: str, sources: Sequence[ImageSource]) -> tuple[str, ...]:
    """Label of each photograph: what an expression finds in its name, or in its path for a /."""
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ParameterError(
            f"groups: expected {AUTO}, {NONE}, {SUBFOLDERS}, {SERIES} or a regular expression, got "
            f"{expression!r}: {error}"
        ) from None
    paths = _paths(expression, sources)
    names = paths if "/" in expression else [path.rsplit("/", 1)[-1] for path in paths]
    matches = [pattern.search(name) for name in names]
    group = 1 if pattern.groups else 0
    found = [None if match is None else match[group] for match in matches]
    missed = [name for name, label in zip(names, found, strict=True) if label is None]
    if missed and all(matches):
        raise DataError(
            f"groups: expected names in which the first group of {expression!r} takes a part, got "
            f"{len(missed)} of {len(names)} that match without it: {few(missed, 'name')}; write "
            "(?:...) for what is no group"
        )
    if missed:
        raise DataError(
            f"groups: expected names that match {expression!r}, got {len(missed)} of {len(names)} "
            f"that do not: {few(missed, 'name')}; give an expression for all, or exclude them "
            "(--exclude)"
        )
    return tuple(label or "" for label in found)


def _paths(asked: str, sources: Sequence[ImageSource]) -> list[str]:
    """Path of each photograph below the folder that all share, with / between folders.

    Raises:
        ParameterError: one has no path.
    """
    paths = [source.content for source in sources if isinstance(source.content, Path)]
    if len(paths) < len(sources):
        raise ParameterError(
            f"groups: expected files for {asked!r}, got photographs without a name; give a list "
            "with the group of each photograph"
        )
    absolute = [os.path.abspath(path) for path in paths]
    try:
        shared = os.path.commonpath([os.path.dirname(path) for path in absolute])
    except ValueError:  # on different drives
        return [Path(path).as_posix() for path in absolute]
    return [Path(os.path.relpath(path, shared)).as_posix() for path in absolute]


def _series_line(series: Series) -> str:
    sizes = series.blocks.sizes
    return (
        f"photographs are a series in the order {series.order}: neighbours are alike, and are left "
        f"out in {len(sizes)} blocks of {sizes.min()} to {sizes.max()}, in which photographs score "
        f"{100 * series.blocks.rise:.0f} % higher than in blocks drawn at random; {ONE_AT_A_TIME}"
    )


def _shown(numbers: Indices, kinds: Sequence[tuple[str, Indices]]) -> list[PhotographGroup]:
    """Groups of more than one photograph, with the reasons why those belong together."""
    found = []
    for group in np.flatnonzero(np.bincount(numbers) > 1):
        members = np.flatnonzero(numbers == group)
        reasons = [
            reason for reason, groups in kinds if len(np.unique(groups[members])) < len(members)
        ]
        found.append(PhotographGroup(", ".join(reasons), tuple(members.tolist())))
    return found
