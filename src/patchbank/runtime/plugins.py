"""Tables that installed packages extend by entry points.

A package declares an entry point in the group of the table; it is imported when its entry is asked
for by name, or when all entries are.  A package that is broken is named with the reason and left
out; it never keeps the others from working.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from patchbank.errors import PatchbankError, PluginWarning
from patchbank.runtime.printable import one_line

Entry = TypeVar("Entry")


class PluginTable(Mapping[str, Entry], Generic[Entry]):
    """Built-in entries by name, then those of installed packages.

    Reading a built-in entry looks for no package.  Iterating imports all packages of the group, and
    warns about those that cannot be used; reading one of these raises `error`.

    Args:
        group: of the entry points.
        title: what an entry is, for messages.
        built_in: entries that no package can replace.
        reserved: further names that no package can have.
        check: (name, object of the entry point) -> the entry; raises TypeError if it is none.
        error: raised for an entry that cannot be used.
    """

    def __init__(
        self,
        *,
        group: str,
        title: str,
        built_in: Mapping[str, Entry],
        check: Callable[[str, object], Entry],
        error: type[PatchbankError],
        reserved: Collection[str] = (),
    ) -> None:
        self._group, self._title = group, title
        self._built_in, self._reserved = built_in, {*built_in, *reserved}
        self._check, self._error = check, error
        self._entries: dict[str, Entry] = {}
        self._reasons: dict[EntryPoint, str] = {}
        self._warned: set[str] = set()
        self._loading = threading.RLock()  # re-entrant: a package may read the table

    def declared_names(self) -> tuple[str, ...]:
        """Names of built-in entries, then those that packages declare; nothing is imported."""
        return (*self._built_in, *self._declared)

    def package_of(self, name: str) -> str | None:
        """Name and version of the package that an entry comes from; None for a built-in entry."""
        return None if name in self._built_in else _package(self._declared[name])

    def __getitem__(self, name: str) -> Entry:
        if name in self._built_in:
            return self._built_in[name]
        entry_point = self._declared[name]
        reason = self._load(entry_point)
        if reason:
            raise self._error(reason)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        for entry_point in self._entry_points:
            reason = self._load(entry_point)
            if not reason:
                yield entry_point.name
            elif reason not in self._warned:
                self._warned.add(reason)
                warnings.warn(reason, PluginWarning, stacklevel=2)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @cached_property
    def _entry_points(self) -> list[EntryPoint]:
        """All entry points of the group, each once, in the same order on every machine."""
        found = entry_points(group=self._group)
        ordered = sorted(found, key=lambda point: (point.name, _package(point), point.value))
        return list(dict.fromkeys(ordered))

    @cached_property
    def _declared(self) -> dict[str, EntryPoint]:
        """Entry points by name, without names of built-in entries; of equal names the first."""
        declared: dict[str, EntryPoint] = {}
        for entry_point in self._entry_points:
            if entry_point.name not in self._reserved:
                declared.setdefault(entry_point.name, entry_point)
        return declared

    def _load(self, entry_point: EntryPoint) -> str:
        """Import an entry; the reason why it cannot be used, or an empty string."""
        if entry_point not in self._reasons:
            with self._loading:
                if entry_point not in self._reasons:
                    self._reasons[entry_point] = self._import(entry_point)
        return self._reasons[entry_point]

    def _import(self, entry_point: EntryPoint) -> str:
        name, subject = entry_point.name, f"{_package(entry_point)}: its {self._title}"
        if name in self._reserved:
            return f"{subject} {name!r} cannot be used: the name belongs to patchbank"
        first = self._declared[name]
        if first != entry_point:
            return f"{subject} {name!r} cannot be used: {_package(first)} has the same name"
        try:
            self._entries[name] = self._check(name, entry_point.load())
        except (Exception, SystemExit) as error:  # the package may raise anything
            reason = one_line(f"{type(error).__name__}: {error}")
            return f"{subject} {name!r} cannot be used: {reason}"
        return ""


def _package(entry_point: EntryPoint) -> str:
    """Name and version of the package of an entry point."""
    package = entry_point.dist
    return f"{package.name} {package.version}" if package else "a package without a name"
