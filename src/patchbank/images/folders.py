"""Find the photographs of a folder, and separate them from masks and from files of other kinds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from patchbank.errors import DataError
from patchbank.images.formats import SUFFIXES
from patchbank.images.kinds import is_photograph
from patchbank.images.mask_files import MaskFolder, mask_files, mask_folder
from patchbank.images.names import is_left_behind, is_sure_of_masks
from patchbank.images.source import ImageInput, image_source, is_file_object, is_one_image, path_of
from patchbank.runtime.logs import LOGGER

NAMED_AT_MOST = 5  # files named in one line


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Files below a folder that show something, each kind in the order of their paths."""

    folder: Path
    images: tuple[Path, ...]
    """Photographs."""
    masks: tuple[Path, ...]
    """Masks, by their names or folders, and by what they show."""
    not_read: tuple[Path, ...]
    """Files whose kind is not read: films, raw files, documents."""
    mask_folders: tuple[Path, ...]
    """Folders of which every picture is a mask."""
    doubtful: tuple[Path, ...]
    """Folders that are named like masks, but hold photographs, which are among `images`."""

    def mask_notes(self, verb: str) -> list[str]:
        """A line about the masks, which are not ``inspected`` or not ``learned``; none without."""
        if not self.masks:
            return []
        folders = sorted({os.path.relpath(path.parent, self.folder) for path in self.masks})
        where = few([name for name in folders if name != "."] or [self.masks[0].name], "folder")
        count = "1 mask is" if len(self.masks) == 1 else f"{len(self.masks)} masks are"
        return [f"{count} not {verb} ({where})"]

    def settled(self) -> FoundImages:
        """Decide about the doubtful folders: of masks, if their names are sure.

        Raises:
            DataError: a name is not sure.
        """
        for folder in self.doubtful:
            if not is_sure_of_masks(folder.name):
                raise DataError(
                    f"{folder}: expected masks in a folder of this name, got photographs; "
                    "rename it, or give the folders of photographs by their own names"
                )
        masks = {path for path in self.images if _is_below(path, self.doubtful)}
        return replace(
            self,
            images=tuple(path for path in self.images if path not in masks),
            masks=tuple(sorted({*self.masks, *masks})),
            mask_folders=tuple(sorted((*self.mask_folders, *self.doubtful))),
            doubtful=(),
        )


def find_images(folder: str | os.PathLike[str]) -> FoundImages:
    """Find all photographs below a folder.

    Hidden files, unfinished downloads and folders that systems leave behind (thumbnails of a
    network drive, recycle bins) are skipped.  A file is a photograph by its ending, or, where that
    is unknown, by its first bytes.

    Raises:
        DataError: no such folder, it cannot be listed, or no photograph is in it.
    """
    found = scan_folder(Path(folder))
    if not found.images:
        raise DataError(_nothing(found))
    return found


def scan_folder(folder: Path) -> FoundImages:
    """Sort all files below a folder by what they show; there may be none.

    Raises:
        DataError: no such folder, or it cannot be listed.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder or an image, got nothing of that name")
    images: list[Path] = []
    masks: list[Path] = []
    not_read: list[Path] = []
    mask_folders: list[Path] = []
    doubtful: list[Path] = []
    for parent, folders, names in _walk(folder):
        inside = tuple(subfolder.name for subfolder in folders)
        for subfolder in list(folders):
            kind = mask_folder(subfolder, inside, _some_photographs)
            if kind is MaskFolder.MASKS:
                folders.remove(subfolder)
                mask_folders.append(subfolder)
                masks += _photographs_below(subfolder)
            elif kind is MaskFolder.DOUBTFUL:
                doubtful.append(subfolder)
        kinds = {path: is_photograph(path) for path in (parent / name for name in names)}
        not_read += [path for path, is_read in kinds.items() if is_read is False]
        listed = [path for path, is_read in kinds.items() if is_read]
        own_masks = mask_files(listed)
        masks += own_masks
        images += [path for path in listed if path not in own_masks]
    found = (images, masks, not_read, mask_folders, doubtful)
    return FoundImages(folder, *(tuple(sorted(paths)) for paths in found))


def find_masks(folders: Sequence[Path]) -> list[tuple[Path, list[Path]]]:
    """Find the folders of masks among some that lie next to each other, each with its masks."""
    names = [folder.name for folder in folders]
    found = []
    for folder in folders:
        kind = mask_folder(folder, names, _some_photographs)
        sure = kind is MaskFolder.DOUBTFUL and is_sure_of_masks(folder.name)
        if kind is MaskFolder.MASKS or sure:
            found.append((folder, sorted(_photographs_below(folder))))
    return found


def not_read_line(paths: Sequence[Path]) -> str:
    """Count files that are not read, with their names, or of many with their endings.

    >>> not_read_line([Path("a/n.gif"), Path("z.heic")])
    '2 files not read: n.gif, z.heic'
    >>> not_read_line([*(Path(f"{i}.heic") for i in range(30)), Path("film.mov")])
    '31 files not read: 30 .heic, 1 .mov'
    """
    count = f"{len(paths)} file{'s' if len(paths) != 1 else ''} not read"
    if len(paths) <= NAMED_AT_MOST:
        return f"{count}: {', '.join(path.name for path in paths)}"
    endings = Counter(path.suffix.lower() or "without an ending" for path in paths)
    return f"{count}: {', '.join(f'{n} {ending}' for ending, n in sorted(endings.items()))}"


def few(names: Sequence[str], what: str, at_most: int = NAMED_AT_MOST) -> str:
    """List the first names for a message; with no names, say which kind there is none of.

    >>> few(["a", "b", "c", "d", "e", "f", "g"], "folder"), few([], "folder")
    ('a, b, c, d, e and 2 more', 'no folder')
    """
    shown = ", ".join(names[:at_most]) or f"no {what}"
    rest = len(names) - at_most
    return f"{shown} and {rest} more" if rest > 0 else shown


def list_images(source: ImageInput | Iterable[ImageInput]) -> list[ImageInput]:
    """List the images of a folder, of one image, or of an iterable of such.

    The contents of file objects are read, so that they may be closed or moved on afterwards.
    Files of a folder that are not read are logged as a warning.

    Raises:
        DataError: a folder that is not there or has no image in it.
    """
    if isinstance(source, (str, os.PathLike)):
        path = path_of(source)
        is_broken_link = path.is_symlink() and not path.exists()
        if path.is_file() or is_broken_link:  # reading the link names the reason
            return [path]
        found = find_images(path)
        for line in found.mask_notes("inspected"):
            LOGGER.info("%s: %s", path, line)
        if found.not_read:
            LOGGER.warning("%s: %s", path, not_read_line(found.not_read))
        return list(found.images)
    if is_file_object(source):
        return [image_source(cast(Any, source))]
    if is_one_image(source):
        return [cast(ImageInput, source)]
    return [image for one in cast(Iterable[ImageInput], source) for image in list_images(one)]


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder in path.parents for folder in folders)


def _walk(folder: Path) -> Iterator[tuple[Path, list[Path], list[str]]]:
    """Folders with the folders and the names of the files in them, however deep.

    A folder that is removed from the list is not entered; none is entered twice, so that links
    back are harmless.

    Raises:
        DataError: a folder cannot be listed.
    """
    left = [folder]
    visited: set[tuple[int, int]] = set()
    while left:
        parent = left.pop()
        try:
            state = parent.stat()
            if (state.st_dev, state.st_ino) in visited:
                continue
            visited.add((state.st_dev, state.st_ino))
            with os.scandir(parent) as entries:
                inside = [(entry.name, _is_folder(entry)) for entry in entries]
        except OSError as error:
            raise DataError(
                f"{error.filename or parent}: expected a readable folder, got: {error.strerror}"
            ) from None
        known = sorted((name, is_dir) for name, is_dir in inside if not is_left_behind(name))
        folders = [parent / name for name, is_dir in known if is_dir]
        yield parent, folders, [name for name, is_dir in known if not is_dir]
        left += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; a link that leads to itself is a broken file."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _photographs_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in _walk(folder):
        yield from (parent / name for name in names if is_photograph(parent / name))


def _some_photographs(folder: Path, count: int) -> list[Path]:
    """The first photographs below a folder."""
    return list(islice(_photographs_below(folder), count))


def _nothing(found: FoundImages) -> str:
    kinds = ", ".join(sorted(SUFFIXES))
    others = [f"{len(found.masks)} masks"] if found.masks else []
    others += [not_read_line(found.not_read)] if found.not_read else []
    return (
        f"{found.folder}: expected at least one image ({kinds}), got {', '.join(others) or 'none'}"
    )
