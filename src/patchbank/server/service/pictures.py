"""Pictures of an inspection: those that were kept, and those that are made when they are asked for.

They are made from the kept photograph by the same version of the detector, so they show what was
decided then.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image as pillow

from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.overlay import png_bytes
from patchbank.errors import PatchbankError
from patchbank.images.source import image_source
from patchbank.server.records.entries import StoredInspection
from patchbank.server.service.catalog import Catalog
from patchbank.server.service.errors import ApiError
from patchbank.server.service.keeping import PictureStore, map_png, overlay_jpeg
from patchbank.types import Image

MOST_WAITING = 8
"""Pictures that wait to be made; more are refused, so that they never take all threads."""
RETRY_MAKING_S = 2
MOST_REMEMBERED = 8
"""Explanations that are not computed again for each of their crops."""
MOST_SMALL = 300
"""Small pictures that are not made again for each who looks: a few pages, 10 to 60 kB each."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Explained:
    """The explanation of a photograph, and a picture of each of its odd spots."""

    content: dict[str, Any]
    crops: tuple[bytes, ...]
    """PNG files: the odd patch, then the nearest good ones."""
    pairs: tuple[tuple[bytes, bytes | None], ...]
    """PNG files of each odd spot: the odd patch, and the nearest good one that there is."""


class MadePictures:
    """Finds or makes the pictures of inspections, one at a time."""

    def __init__(self, catalog: Catalog, pictures: PictureStore) -> None:
        self._catalog, self._pictures = catalog, pictures
        self._making, self._explaining = threading.Lock(), threading.Lock()
        self._room = threading.BoundedSemaphore(MOST_WAITING)
        self._explained: OrderedDict[int, Explained] = OrderedDict()
        self._small: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def photograph(self, inspection: StoredInspection) -> bytes:
        """The photograph as it was received.

        Raises:
            ApiError: 404 where it was not kept, 410 where it was deleted since.
        """
        if inspection.photograph is None:
            raise ApiError(
                404,
                f"photograph: expected one that is kept, got the good one of inspection "
                f"{inspection.id}; --keep-good keeps more of them",
                code="not_kept",
            )
        content = self._pictures.read(inspection.photograph)
        if content is None:
            raise ApiError(
                410,
                f"photograph: expected one that is kept, got that of inspection {inspection.id}, "
                "which was deleted as one of the oldest; --pictures-gb keeps more of them",
            )
        return content

    def small(
        self, inspection: StoredInspection, longest_px: int, make: Callable[[bytes], bytes]
    ) -> bytes:
        """The photograph made small by a function, remembered for the next who looks.

        Raises:
            ApiError: as `photograph`, also where the small one is remembered still.
        """
        content = self.photograph(inspection)
        key = (str(inspection.photograph), longest_px)
        found = self._small.get(key)
        if found is None:
            found = self._small[key] = make(content)
            if len(self._small) > MOST_SMALL:
                self._small.popitem(last=False)
        return found

    def overlay(self, inspection: StoredInspection) -> bytes:
        """The overlay as a JPEG file.

        Raises:
            ApiError: as `photograph`, or the photograph was not inspected.
        """
        return self._kept_or_made(inspection, inspection.overlay, overlay_jpeg)

    def map(self, inspection: StoredInspection) -> bytes:
        """The anomaly map as a PNG file of 16 bits.

        Raises:
            ApiError: as `overlay`.
        """
        return self._kept_or_made(inspection, inspection.map, lambda one: map_png(one.anomaly_map))

    def explanation(self, inspection: StoredInspection) -> Explained:
        """The explanation with its crops.

        Raises:
            ApiError: as `overlay`.
        """
        found = self._explained.get(inspection.id)
        if found is not None:
            return found
        # Whoever asks for another crop meanwhile gets the same one.
        with self._place(), self._explaining:
            found = self._explained.get(inspection.id)
            if found is None:
                found = self._repeated(inspection, explained)
                self._explained[inspection.id] = found
                while len(self._explained) > MOST_REMEMBERED:
                    self._explained.popitem(last=False)
        return found

    def _kept_or_made(
        self, inspection: StoredInspection, name: str | None, make: Callable[[Inspection], bytes]
    ) -> bytes:
        if name is not None:
            content = self._pictures.read(name)
            if content is not None:
                return content
        with self._place():
            return self._repeated(inspection, make)

    def _repeated(
        self, inspection: StoredInspection, make: Callable[[Inspection], Result]
    ) -> Result:
        """The result of a function for the inspection, which is repeated."""
        if inspection.verdict == "unread":
            raise ApiError(
                404,
                f"inspection {inspection.id}: expected one with a verdict, got a photograph "
                "that could not be inspected",
                code="unread",
            )
        content = self.photograph(inspection)
        source = image_source(content, str(inspection.result["image"]))
        with self._making:
            try:
                sha256 = str(inspection.result["detector_sha256"])
                detector = self._catalog.version(inspection.product, sha256)
            except PatchbankError as error:
                raise ApiError(410, str(error)) from None
            outcome = next(iter(detector.inspect_with(iter([source]), make)))
        if isinstance(outcome, FailedInspection):
            raise ApiError(410, outcome.error)
        return outcome[1]

    @contextmanager
    def _place(self) -> Iterator[None]:
        """A place among those that wait.

        Raises:
            ApiError: 429 where there is none.
        """
        if not self._room.acquire(blocking=False):
            raise ApiError(
                429,
                f"picture: expected fewer than {MOST_WAITING} that are made at once, got more; "
                f"send it again in {RETRY_MAKING_S} seconds",
                code="busy",
                retry_s=RETRY_MAKING_S,
            )
        try:
            yield
        finally:
            self._room.release()


def explained(inspection: Inspection) -> Explained:
    """The explanation of an inspection that has its pixels, with its crops."""
    from patchbank.detector.explanation.crops import good_crops, odd_crop

    explanation, crops, pairs = inspection.explain(), [], []
    for spot in explanation.spots:
        rows = [
            [odd_crop(patch, inspection.pixels), *good_crops(explanation, patch)]
            for patch in spot.patches
        ]
        images = [[one.image for one in row if one.image is not None] for row in rows]
        crops.append(_sheet(images))
        odd, *good = next((row for row in images if len(row) > 1), images[0])
        pairs.append((_png(odd), _png(good[0]) if good else None))
    return Explained(explanation.to_json(), tuple(crops), tuple(pairs))


def _png(image: Image) -> bytes:
    return png_bytes(pillow.fromarray(image))


def _sheet(rows: list[list[Any]]) -> bytes:
    """Crops of equal size in rows, as a PNG file."""
    side = rows[0][0].shape[0]
    width = max(len(row) for row in rows)
    picture = np.full((len(rows) * side, width * side, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        for column, crop in enumerate(row):
            top, left = number * side, column * side
            picture[top : top + side, left : left + side] = crop
    return _png(picture)
