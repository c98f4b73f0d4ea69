"""Learned photographs that are still in a folder under their names, for crops of full size."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchbank.core.spatial.box import Box
from patchbank.detector.explanation.pictures import DecodedPicture, LearnedPictures, PictureSource
from patchbank.errors import DataError, ImageError, ShapeError
from patchbank.images.digest import pixel_digest
from patchbank.images.source import ImageSource, image_source


class PhotographsAtHand:
    """The learned photographs below a folder, and the small pictures of those that are not there.

    A photograph of another content, though of the same name, is not used.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        digests: NDArray[np.uint8] | None,
        pictures: LearnedPictures | None,
        bit_depth: int | None,
    ) -> None:
        """Find the photographs of a detector.

        Args:
            folder: in which they lie, at any depth.
            names: of the photographs.
            digests: (n, 8) of their pixels; None where the detector file has none.
            pictures: small ones, in the detector file.
            bit_depth: that they are read with.

        Raises:
            DataError: none of them is there, or there are no digests.
        """
        if digests is None:
            raise DataError(
                "photographs: expected a detector file that knows the content of its photographs, "
                "got one of an older version; leave --photographs out, or fit anew"
            )
        self._digests: NDArray[np.uint8] = digests
        self._pictures, self._bit_depth = pictures, bit_depth
        self._paths = _paths_by_name(folder, names)
        if not any(self._paths):
            raise DataError(
                f"photographs: expected a folder with the learned photographs, got {folder}, in "
                f"which none of {len(self._paths)} is ({names[0]}, ...)"
            )

    @property
    def n_missing(self) -> int:
        """Photographs of which no file has the name."""
        return sum(not paths for paths in self._paths)

    def picture(self, photograph: int) -> DecodedPicture | None:
        """The photograph itself, or its small picture; None where there is neither.

        Raises:
            ImageError: the small picture cannot be decoded.
        """
        for path in self._paths[photograph]:
            try:
                image = image_source(path).read(self._bit_depth)
            except (ImageError, ShapeError):
                continue
            if pixel_digest(image) == self._digests[photograph].tobytes():
                return DecodedPicture(image, Box(0, 0, image.shape[0], image.shape[1]))
        return None if self._pictures is None else self._pictures.picture(photograph)


class NewPhotographs:
    """Photographs that were learned last and are at hand, and small pictures of those before."""

    def __init__(
        self, sources: Sequence[ImageSource], n_before: int, pictures: PictureSource | None
    ) -> None:
        """Name the photographs.

        Args:
            sources: those that were learned last, in order.
            n_before: number of those before.
            pictures: of those before; None where there are none.
        """
        self._sources, self._n_before, self._pictures = sources, n_before, pictures

    def picture(self, photograph: int) -> DecodedPicture | None:
        """The photograph itself where it is new, else its small picture; None without one.

        Raises:
            ImageError: it cannot be read any more, or its small picture cannot be decoded.
        """
        number = photograph - self._n_before
        if number < 0:
            return None if self._pictures is None else self._pictures.picture(photograph)
        image = self._sources[number].read()
        return DecodedPicture(image, Box(0, 0, image.shape[0], image.shape[1]))


def _paths_by_name(folder: Path, names: Sequence[str]) -> list[list[Path]]:
    """Files below a folder whose paths end with each name, in the order of the names."""
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for below, _, found in os.walk(folder):
        for name in sorted(found):
            files[name].append(Path(below) / name)
    return [
        [path for path in files[Path(name).name] if f"/{path.as_posix()}".endswith(f"/{name}")]
        for name in names
    ]
