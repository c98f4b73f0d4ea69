"""Photographs that a user excludes from a fit by their names."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from patchbank.errors import DataError
from patchbank.images.folders import few
from patchbank.images.source import ImageSource
from patchbank.runtime.arguments import of_kind

SHOWN = 10
"""Photographs that the line names at most."""


def names_to_exclude(
    given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> tuple[str, ...]:
    """One name or several, as `excluded` takes them.

    >>> names_to_exclude("dent/000.png")
    ('dent/000.png',)

    Raises:
        ParameterError: it is neither.
    """
    words = "names of photographs"
    of_kind("exclude", given, (str, os.PathLike, Iterable), words)
    names = [given] if isinstance(given, (str, os.PathLike)) else list(given)
    texts = [os.fspath(of_kind("exclude", name, (str, os.PathLike), words)) for name in names]
    return tuple(of_kind("exclude", text, str, words) for text in texts)


def excluded(
    asked: Sequence[str], sources: Sequence[ImageSource], names: Sequence[str]
) -> tuple[list[bool], list[str]]:
    """Find the photographs that names stand for.

    A name is that of a file, its path, or any end of its path; for what has no file, it is the
    name under which a fit lists it, such as ``array 3``.  A name may stand for several photographs.

    Args:
        asked: names of photographs to exclude.
        sources: the photographs.
        names: of each of them, as a fit lists it.

    Returns:
        Whether each photograph is excluded, and lines that say so.

    Raises:
        DataError: a name fits no photograph, or all photographs are excluded.
    """
    paths = [_parts(source) for source in sources]
    is_out, lines, unknown = [False] * len(sources), [], []
    for name in dict.fromkeys(asked):
        found = [i for i in range(len(sources)) if _fits(name, names[i], paths[i])]
        if not found:
            unknown.append(name)
        if len(found) > 1:
            shown = few([names[i] for i in found], "photograph", SHOWN)
            lines.append(f"exclude {name} stands for {len(found)} photographs: {shown}")
        for number in found:
            is_out[number] = True
    if unknown:
        raise DataError(_unknown(unknown, names))
    if asked and all(is_out):
        raise DataError(
            f"exclude: expected photographs that stay, got all {len(sources)} excluded; "
            "give others to learn from"
        )
    out = [name for name, excluded_one in zip(names, is_out, strict=True) if excluded_one]
    if out:
        verb = "photograph is" if len(out) == 1 else "photographs are"
        lines.insert(0, f"{len(out)} {verb} not learned, as asked: {few(out, 'photograph', SHOWN)}")
    return is_out, lines


def _parts(source: ImageSource) -> tuple[str, ...]:
    content = source.content
    return Path(os.path.abspath(content)).parts if isinstance(content, Path) else ()


def _fits(asked: str, name: str, parts: tuple[str, ...]) -> bool:
    if not parts:
        return asked == name
    given = Path(os.path.normpath(asked)).parts
    is_end = len(given) > 0 and parts[-len(given) :] == given
    return is_end or parts == Path(os.path.abspath(asked)).parts


def _unknown(unknown: Sequence[str], names: Sequence[str]) -> str:
    first = unknown[0]
    near = difflib.get_close_matches(first, names, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; they are {few(names, 'name')}"
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    return f"exclude: expected names of photographs, got {first!r}{more}, which none has{hint}"
