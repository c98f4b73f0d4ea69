"""The verbs of a detector that inspect photographs: one, several, or as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO, TypeAlias, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.choices import ChannelAxis, ColourOrder
from patchbank.detector.inspecting import inspect_photograph, outcome_of
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.packing import DetectorParts
from patchbank.errors import ImageError
from patchbank.images.arrays import ArrayLayout
from patchbank.images.several import several_images
from patchbank.images.source import ImageInput, ImageSource, image_source, is_one_image, path_of

Result = TypeVar("Result")
Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
ManyInputs: TypeAlias = str | os.PathLike[str] | Pixels | Iterable[ImageInput]
"""A folder, a stack (N, H, W, C), or a list or an iterator of images."""


class Inspector:
    """The base of `Detector` with all that inspects."""

    __slots__ = ()

    def _parts(self) -> DetectorParts:
        """The parts of the detector."""
        raise NotImplementedError

    @property
    def sha256(self) -> str:
        """SHA-256 of the content without its history in hexadecimal digits."""
        raise NotImplementedError

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is also an iterable of str
        self,
        images: str | os.PathLike[str] | Pixels | bytes | BinaryIO | pillow.Image | ImageSource,
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Inspection: ...

    @overload
    def predict(
        self,
        images: Iterable[ImageInput],
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Iterator[Inspection]: ...

    def predict(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Inspection | Iterator[Inspection]:
        """Inspect one photograph; `predict_each` inspects several.

        Args:
            images: a path, which is always that of one photograph; the bytes of an image file; a
                file object in binary mode; a Pillow image; or an array of uint8 or uint16: (H, W),
                (H, W, 1), (H, W, 3), or (H, W, 4) with alpha.  A list or an iterator of these is
                passed on to `predict_each`.
            keep_image: whether the inspection keeps pixels and map; see `inspect`.
            colour_order: of arrays: ``rgb``, or ``bgr`` as OpenCV reads them.
            channels: the axis of arrays and tensors that they are: ``last``, (H, W, C), or
                ``first``, (C, H, W).  None is ``last`` for arrays; tensors of torch must say it.

        Returns:
            An Inspection of one image; an iterator of them for a list or an iterator.

        Raises:
            ImageTypeError: it is no image, or an array of other numbers; also a TypeError.
            ShapeError: an array has other axes; a stack is for `predict_each`.
            ImageError: the image cannot be read; a folder is for `predict_each`.
        """
        layout = ArrayLayout(colour_order, channels)
        if not is_one_image(images):
            several = several_images(images, layout)
            return several.results(partial(self._inspect, keep_image=keep_image))
        if isinstance(images, (str, os.PathLike)) and path_of(images).is_dir():
            raise ImageError(
                f"{images}: expected one photograph, got a folder; "
                "predict_each inspects the photographs in it"
            )
        source = image_source(cast(ImageInput, images), layout=layout)
        return self._inspect(source, keep_image=keep_image)

    def predict_each(
        self,
        images: ManyInputs,
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Iterator[Inspection]:
        """Inspect photographs, and yield their inspections in order.

        A folder, a list or a stack is read ahead, and inspected on all cores.  An iterator is asked
        for a photograph after the caller asked for its inspection, so a camera is never ahead.

        Args:
            images: a folder, which stands for the photographs below it; a list or an iterator of
                images, as `predict` takes one; or a stack of arrays, (N, H, W, C).
            keep_image: whether inspections keep pixels and map; see `inspect`.
            colour_order: of arrays; see `predict`.
            channels: of arrays and tensors; see `predict`.

        Raises:
            ImageTypeError: it is none of these; raised before the first inspection.
            DataError: no such folder, or no image in it; likewise.
            ImageError, ShapeError: an image cannot be read; `inspect` goes on to the next.
        """
        several = several_images(images, ArrayLayout(colour_order, channels))
        return several.results(partial(self._inspect, keep_image=keep_image))

    def inspect(
        self,
        images: ManyInputs,
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Iterator[Inspection | FailedInspection]:
        """Inspect photographs in order; one that cannot be read gives a FailedInspection.

        Args:
            images: as `predict_each` takes them, and in the same way.
            keep_image: whether each inspection keeps the pixels and the anomaly map, 7 bytes a
                pixel.  Without, that of an array keeps a copy of its pixels, 3 bytes a pixel;
                `Inspection.overlay` reads a file again, and refuses one that changed.
                `inspect_with` draws overlays at no such cost.
            colour_order: of arrays; see `predict`.
            channels: of arrays and tensors; see `predict`.

        Raises:
            ImageTypeError: `images` is neither one image nor several.
            DataError: no such folder, or no image in it.
        """
        several = several_images(images, ArrayLayout(colour_order, channels))
        return several.results(partial(self._outcome, keep_image=keep_image))

    def inspect_with(
        self,
        images: ManyInputs,
        work: Callable[[Inspection], Result],
        *,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Iterator[tuple[Inspection, Result] | FailedInspection]:
        """Inspect photographs in order, and do more with each while its pixels are in memory.

        So an overlay is drawn from the pixels that were inspected, on all cores, and memory does
        not grow with the number of photographs.

        Args:
            images: as `predict_each` takes them, and in the same way.
            work: called with an inspection that has pixels and map, in the thread that inspected
                it; its errors are raised.
            colour_order: of arrays; see `predict`.
            channels: of arrays and tensors; see `predict`.

        Yields:
            The inspection without its pixels, and what `work` returned; or a FailedInspection.

        Raises:
            ImageTypeError: `images` is neither one image nor several.
            DataError: no such folder, or no image in it.
        """

        def worked(source: ImageSource) -> tuple[Inspection, Result] | FailedInspection:
            outcome = self._outcome(source, keep_image=True, keep_maps=True)
            if isinstance(outcome, FailedInspection):
                return outcome
            return outcome.without_pixels(), work(outcome)

        return several_images(images, ArrayLayout(colour_order, channels)).results(worked)

    def _outcome(self, source: ImageSource, **keep: bool) -> Inspection | FailedInspection:
        return outcome_of(partial(self._inspect, source, **keep), source.name)

    def _inspect(self, source: ImageSource, **keep: bool) -> Inspection:
        return inspect_photograph(self._parts(), source, **keep)


def parts_of_inspector(detector: Inspector) -> DetectorParts:
    """The parts of a detector that a file holds."""
    return detector._parts()
