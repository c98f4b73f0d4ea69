"""Small pictures of learned photographs, and where parts lie in these: for explanations alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from patchbank.core.spatial.box import Box
from patchbank.images.pixel_map import PixelMap
from patchbank.images.small_pictures import SmallPicture
from patchbank.images.source import read_image
from patchbank.types import Image, Indices


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A small picture of a part of a photograph."""

    image: Image
    """(h, w, 3)."""
    box: Box
    """The part that it shows, in pixels of the photograph."""

    @property
    def from_photograph(self) -> PixelMap:
        """From pixels of the photograph to those of the picture."""
        box, (height, width) = self.box, self.image.shape[:2]
        down, across = height / box.height, width / box.width
        return PixelMap.scaling((down, across), (-box.top * down, -box.left * across))


class PictureSource(Protocol):
    """Pictures of learned photographs."""

    def picture(self, photograph: int) -> DecodedPicture | None:
        """The picture of a photograph, by its number; None if there is none.

        Raises:
            ImageError: it cannot be decoded.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LearnedPictures:
    """Encoded pictures of some of the learned photographs; each is decoded when it is asked for."""

    photographs: NDArray[np.int32]
    """(p,) number of the photograph that each shows, ascending."""
    boxes: NDArray[np.int32]
    """(p, 4) top, left, height and width of the part that each shows, in its pixels."""
    ends: NDArray[np.int64]
    """(p,) where each ends in `content`."""
    content: NDArray[np.uint8]
    """(bytes,) WebP or JPEG files, one after the other."""

    @classmethod
    def of(cls, pictures: Sequence[tuple[int, SmallPicture]]) -> LearnedPictures | None:
        """Join pictures of photographs by their number; None if there is none."""
        if not pictures:
            return None
        shown = sorted(pictures, key=lambda pair: pair[0])
        return cls(
            np.array([number for number, _ in shown], dtype=np.int32),
            np.array([each.box for _, each in shown], dtype=np.int32),
            np.cumsum([len(each.content) for _, each in shown], dtype=np.int64),
            np.frombuffer(b"".join(each.content for _, each in shown), dtype=np.uint8),
        )

    def picture(self, photograph: int) -> DecodedPicture | None:
        """The picture of a photograph; None if none was kept.

        Raises:
            ImageError: it cannot be decoded.
        """
        at = int(np.searchsorted(self.photographs, photograph))
        if at == len(self.photographs) or self.photographs[at] != photograph:
            return None
        image = read_image(self._encoded(at).tobytes(), f"picture of photograph {photograph}")
        return DecodedPicture(image, Box(*self.boxes[at].tolist()))

    def after(self, before: LearnedPictures | None, n_before: int) -> LearnedPictures:
        """The pictures of photographs before, and these, whose numbers follow on those.

        Args:
            before: pictures of the photographs before; None if there are none.
            n_before: photographs before.
        """
        numbers = (self.photographs + n_before).astype(np.int32)
        if before is None:
            return replace(self, photographs=numbers)
        return LearnedPictures(
            np.concatenate([before.photographs, numbers]),
            np.concatenate([before.boxes, self.boxes]),
            np.concatenate([before.ends, self.ends + len(before.content)]),
            np.concatenate([before.content, self.content]),
        )

    def most_useful(self, sources: Indices, n_bytes: float) -> LearnedPictures | None:
        """The pictures of the photographs that most of a model comes from.

        Args:
            sources: (n,) how much comes from each photograph; those of which nothing comes go.
            n_bytes: of all that stay, at most.
        """
        sizes = np.diff(self.ends, prepend=0)
        counts = sources[self.photographs]
        order = np.lexsort((self.photographs, -counts))
        order = order[counts[order] > 0]
        kept = np.sort(order[np.cumsum(sizes[order]) <= n_bytes])
        if len(kept) == len(self.photographs):
            return self
        if not len(kept):
            return None
        return LearnedPictures(
            self.photographs[kept],
            self.boxes[kept],
            np.cumsum(sizes[kept], dtype=np.int64),
            np.concatenate([self._encoded(at) for at in kept.tolist()]),
        )

    def _encoded(self, at: int) -> NDArray[np.uint8]:
        begin = 0 if at == 0 else int(self.ends[at - 1])
        return self.content[begin : int(self.ends[at])]


@dataclass(frozen=True, slots=True, eq=False)
class LearnedPhotographs:
    """Pictures and poses of learned photographs, which explanations need."""

    pictures: LearnedPictures | None = None
    poses: NDArray[np.float64] | None = None
    """(n, 4) axis (down, right) and centre (down, right) of the part in each photograph; None
    where parts are not turned to a canonical position."""

    def to_json(self) -> dict[str, int] | None:
        """Facts for the JSON of `patchbank info`; None where there are no pictures."""
        if self.pictures is None:
            return None
        return {"count": len(self.pictures.photographs), "bytes": len(self.pictures.content)}
