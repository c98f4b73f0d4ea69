"""Photographs that `patchbank predict` inspects, and the overlay pictures that it writes."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchbank.cli.path_lists import Given
from patchbank.cli.sorting import ANOMALOUS, GOOD
from patchbank.errors import DataError
from patchbank.images.folders import find_images, not_read_line
from patchbank.runtime.atomic_file import make_folders, replace_file

PNG_HEAD = 33  # bytes of the signature and of the first chunk
_TEXT = b"tEXtSoftware\0Patchbank overlay"
MARK = struct.pack(">I", len(_TEXT) - 4) + _TEXT + struct.pack(">I", zlib.crc32(_TEXT))
"""A text chunk of a PNG file, which marks overlays."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Photographs to inspect."""

    images: tuple[tuple[Path, Path], ...]
    """Each photograph with the path under which it was given, or below which it was found."""
    not_read: int
    """Number of files of the folders whose kind is not read."""
    lines: tuple[str, ...]
    """Lines about what is skipped."""


def list_photographs(
    paths: Sequence[Given], out: Path | None = None, sort_into: Path | None = None
) -> Listed:
    """List photographs and those of folders.

    Args:
        paths: photographs and folders.  One that a list names and that is not there is kept: it is
            then not readable, and the others are inspected all the same.
        out: folder of the overlays; those of an earlier run, below one of `paths`, are skipped.
        sort_into: folder of sorted copies; those of an earlier run are skipped, too.

    Raises:
        DataError: a path is not there, or a folder has no photograph.
    """
    images: list[tuple[Path, Path]] = []
    lines: list[str] = []
    not_read = 0
    overlays = None if out is None else _real(out)
    for path, is_listed in paths:
        is_folder = os.path.isdir(path)  # also where a name is too long
        if not is_folder and (is_listed or path.exists() or path.is_symlink()):
            images.append((path, path))
            continue
        found = find_images(path)
        lines += [f"note: {path}: {line}" for line in found.mask_notes("inspected")]
        if found.not_read:
            lines.append(f"{path}: {not_read_line(found.not_read)}")
        not_read += len(found.not_read)
        shown = [image for image in found.images if not _is_overlay(image, overlays)]
        kept = _without_copies(shown, path, sort_into)
        if len(kept) < len(shown):
            lines.append(f"note: {path}: {len(shown) - len(kept)} sorted copies are not inspected")
        if not kept:
            raise DataError(f"{path}: expected at least one photograph, got results only")
        images += [(image, path) for image in kept]
    return Listed(tuple(images), not_read, tuple(lines))


def marked(png: bytes) -> bytes:
    """A PNG file with a remark that it is an overlay."""
    return png[:PNG_HEAD] + MARK + png[PNG_HEAD:]


def _real(path: Path) -> Path:
    """The path without links.  Unlike `Path.resolve`, it takes links that lead to themselves."""
    return Path(os.path.realpath(path))


def _is_overlay(image: Path, out: Path | None) -> bool:
    """Whether an image lies below a folder of overlays, and is one."""
    if out is None or image.suffix != ".png" or out not in _real(image).parents:
        return False
    return is_overlay_file(image)


def is_overlay_file(path: Path) -> bool:
    """Whether a file is an overlay, by its mark."""
    try:
        with path.open("rb") as file:
            return file.read(PNG_HEAD + len(MARK))[PNG_HEAD:] == MARK
    except OSError:
        return False


def _without_copies(images: Sequence[Path], given: Path, sort_into: Path | None) -> Sequence[Path]:
    """The photographs that are not in ``OK`` or ``NG``, unless one of these was given."""
    if sort_into is None:
        return images
    copies = {_real(sort_into / verdict) for verdict in (GOOD, ANOMALOUS)}
    resolved = _real(given)
    if not copies.isdisjoint((resolved, *resolved.parents)):
        return images
    return [image for image in images if copies.isdisjoint(_real(image).parents)]


class PathsBelow:
    """Paths of photographs below a folder of results: as in the folders that were given.

    Photographs of several given folders are kept separate by the names of these, or by as much of
    their paths as differs.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._names = _names_of_folders(dict.fromkeys(folders))

    def of(self, image: Path, given: Path) -> Path:
        """The path of a photograph, which is `given` or was found below it."""
        if image == given:
            return Path(image.name)
        return self._names.get(given, Path()) / image.relative_to(given)


class Pictures:
    """Paths of the overlays below `folder`, none of them twice, and none that of a photograph."""

    def __init__(
        self,
        folder: Path,
        images: Iterable[Path] = (),
        *,
        keeps_others: bool = False,
        option: str = "--out",
    ) -> None:
        """Name the folder.

        Args:
            folder: of the overlays.
            images: photographs that no overlay may replace.
            keeps_others: whether no other file that lies there is replaced either, unless it is an
                overlay: it may be a photograph of which nothing is known yet.
            option: that names the folder.
        """
        self.folder = folder
        self._used: set[Path] = set()
        self._numbers: dict[Path, int] = {}  # of the last picture of that name
        self._photographs: set[Path] = set()
        self._keeps_others = keeps_others
        self._option = option
        self.spare(images)

    def spare(self, images: Iterable[Path]) -> None:
        """Name more photographs that no overlay may replace."""
        self._photographs |= {_real(image) for image in images}

    def path_for(self, inside: Path) -> Path:
        """The path of the overlay of a photograph, whose path is given by `PathsBelow`."""
        path = self.folder / inside.with_suffix(".png")
        if path in self._used:
            path = self.folder / inside.with_name(f"{inside.name}.png")
        while path in self._used:
            number = self._numbers[inside] = self._numbers.get(inside, 1) + 1
            path = self.folder / inside.with_name(f"{inside.stem}-{number}.png")
        is_other = self._keeps_others and path.is_file() and not is_overlay_file(path)
        if is_other or _real(path) in self._photographs:
            raise DataError(
                f"{path}: expected a path for an overlay, got a photograph to inspect; "
                f"give {self._option} another folder"
            )
        self._used.add(path)
        return path


def write_picture(content: bytes, path: Path) -> None:
    """Write a PNG file as an overlay, in a folder that is made if it is not there.

    Raises:
        DataError: it cannot be written.
    """
    try:
        make_folders(path.parent)
    except OSError as error:
        raise DataError(
            f"{path.parent}: expected a folder for pictures, got: {error.strerror}"
        ) from error
    try:
        replace_file(path, marked(content), sync=False)
    except OSError as error:
        raise DataError(f"{path}: expected to write a picture, got: {error.strerror}") from None


def _names_of_folders(given: Iterable[Path]) -> dict[Path, Path]:
    """Folders by which the overlays of several given folders are kept separate.

    The part of the path that the folders have in common is left out.
    """
    absolute = {path: os.path.abspath(path) for path in given}
    if len(set(absolute.values())) < 2:
        return {}
    try:
        common = os.path.commonpath([os.path.dirname(path) for path in absolute.values()])
    except ValueError:  # on different drives
        return {path: Path(full).relative_to(Path(full).anchor) for path, full in absolute.items()}
    return {path: Path(os.path.relpath(full, common)) for path, full in absolute.items()}
