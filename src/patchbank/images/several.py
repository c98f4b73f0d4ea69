"""Several images: a folder, a stack, a list or an iterator, and whether all are there already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set, ValuesView
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from patchbank.errors import ImageTypeError
from patchbank.images.arrays import RGB_LAST, ArrayLayout, is_array, stacked
from patchbank.images.folders import list_images
from patchbank.images.source import (
    ACCEPTED,
    ImageInput,
    ImageSource,
    image_source,
    is_one_image,
    n_pixels,
    shown_type,
)
from patchbank.runtime.threads import map_in_order

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SeveralImages:
    """Images to process in order."""

    inputs: Iterable[ImageInput]
    are_at_hand: bool
    """Whether they may be read ahead: those of an iterator may not, because the next photograph of
    a camera may exist only after the verdict on this one, and in the same memory."""
    layout: ArrayLayout = RGB_LAST

    @property
    def sources(self) -> Iterator[ImageSource]:
        """The source of each image, made when it is asked for."""
        return (image_source(image, layout=self.layout) for image in self.inputs)

    def results(self, work: Callable[[ImageSource], Result]) -> Iterator[Result]:
        """Results of `work` on each image, in order; errors are raised.

        Images at hand are processed on all cores.  Those of an iterator are processed one by one in
        this thread, each before the next is asked for; the backbone uses several cores for each.

        The loops close their iterator at once when an error leaves them.  An iterator in a variable
        would stay open, with its threads: the error refers to this frame, the future to the error.
        """
        if not self.are_at_hand:
            for source in self.sources:
                yield work(source)
            return
        for _, future in map_in_order(work, self.sources, n_pixels):
            yield future.result()


def several_images(images: Any, layout: ArrayLayout = RGB_LAST) -> SeveralImages:
    """Take a folder, a stack, one image, a collection of images or an iterator of them.

    Args:
        images: lists, tuples, sets and the values of a dictionary are at hand; any other iterable
            is asked for an image when the one before it is done.
        layout: of arrays and tensors.

    Raises:
        ImageTypeError: it is none of these.
        DataError: no such folder, or no image in it.
    """
    if isinstance(images, (str, os.PathLike)):
        return SeveralImages(list_images(images), True)
    if isinstance(images, np.ndarray) and images.ndim == 1 and images.dtype.kind in "OU":
        images = images.tolist()  # paths, say
    stack = stacked(images)
    if stack is not None:
        return SeveralImages(stack, True, layout)
    if is_one_image(images):
        return SeveralImages([images], True, layout)
    if not is_iterable_of_images(images):
        raise ImageTypeError(
            f"images: expected {ACCEPTED}; or a folder, a list, an iterator or a stack of images, "
            f"got {shown_type(images)}"
        )
    are_at_hand = isinstance(images, (list, tuple, Set, ValuesView))
    return SeveralImages(images, are_at_hand, layout)


def is_iterable_of_images(images: object) -> bool:
    """Whether it can be iterated; keys of a mapping and rows of a foreign array are no images."""
    if isinstance(images, Mapping) or (
        hasattr(type(images), "__array__") and getattr(images, "ndim", 0) != 1
    ):
        return False
    try:
        iter(images)  # type: ignore[call-overload]
    except TypeError:
        return False
    return True


def taken_over(images: Any, layout: ArrayLayout = RGB_LAST) -> Any:
    """Images to learn from: arrays become sources, and those of an iterator are copied.

    Paths and nested lists stay what they are.  A camera fills the same memory again.

    Raises:
        ImageTypeError: it is neither one image nor several.
    """
    if isinstance(images, (str, os.PathLike)):
        return images
    several = several_images(images, layout)
    take = _array_as_source if several.are_at_hand else _taken
    return [take(image, layout) for image in several.inputs]


def _array_as_source(image: Any, layout: ArrayLayout) -> Any:
    return image_source(image, layout=layout) if is_array(image) else image


def _taken(image: Any, layout: ArrayLayout) -> Any:
    """The image with its contents, which its giver may change or close afterwards."""
    if isinstance(image, (str, os.PathLike)) or not is_one_image(image):
        return image
    source = image_source(image, layout=layout)
    if isinstance(source.content, np.ndarray):
        return replace(source, content=source.content.copy())
    return source
