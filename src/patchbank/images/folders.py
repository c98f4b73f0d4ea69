"""Find the images of a folder, and the good ones among them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from patchbank.errors import DataError
from patchbank.images.formats import SUFFIXES
from patchbank.images.source import ImageInput, image_source, is_file_object, is_one_image

GOOD_NAMES = frozenset({"good", "ok", "normal"})


def find_images(folder: Path) -> list[Path]:
    """Find all images below a folder, in the order of their paths.

    Files of other kinds and hidden files are skipped.

    Raises:
        DataError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder or an image, got nothing of that name")
    found: list[Path] = []
    visited = set()
    for parent, folders, names in os.walk(folder, onerror=_cannot_list, followlinks=True):
        resolved = os.path.realpath(parent)
        if resolved in visited:  # a symbolic link back
            folders.clear()
            continue
        visited.add(resolved)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent, name)
            for name in names
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{folder}: expected at least one image ({kinds}), got none")
    return sorted(found)


def _cannot_list(error: OSError) -> None:
    raise DataError(f"{error.filename}: expected a readable folder, got: {error.strerror}")


def list_images(source: ImageInput | Iterable[ImageInput]) -> list[ImageInput]:
    """List the images of a folder, of one image, or of an iterable of such.

    The contents of file objects are read, so that they may be closed or moved on afterwards.

    Raises:
        DataError: a folder that is not there or has no image in it.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return [path] if path.is_file() else list(find_images(path))
    if is_file_object(source):
        return [image_source(cast(Any, source))]
    if is_one_image(source):
        return [cast(ImageInput, source)]
    return [image for one in cast(Iterable[ImageInput], source) for image in list_images(one)]


def good_images(source: ImageInput | Iterable[ImageInput]) -> list[ImageInput]:
    """List the good images of a source; of a data set in MVTec layout those of ``train/good``.

    Raises:
        DataError: there is none, or a folder holds good images *and* others.
    """
    if isinstance(source, (str, os.PathLike)) and Path(source).is_dir():
        return list(find_images(_good_folder(Path(source))))
    return list_images(source)


def _good_folder(folder: Path) -> Path:
    if (folder / "train" / "good").is_dir():
        return folder / "train" / "good"
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    good = [p for p in inside if p.name.lower() in GOOD_NAMES]
    if good and len(inside) > len(good):
        others = ", ".join(p.name for p in inside if p not in good)
        raise DataError(
            f"{folder}: expected good images only, got {good[0].name} together with {others}; "
            f"give {good[0]}"
        )
    return folder
