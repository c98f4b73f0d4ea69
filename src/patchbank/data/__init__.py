"""Photographs and data sets: finding, decoding, resizing."""

from patchbank.data.datasets import Category, Dataset, Sample, find_categories, find_dataset
from patchbank.data.folders import find_images, good_images
from patchbank.data.images import ImageInput, read_image, resized
from patchbank.data.prefetch import prefetched

__all__ = [
    "Category",
    "Dataset",
    "ImageInput",
    "Sample",
    "find_categories",
    "find_dataset",
    "find_images",
    "good_images",
    "prefetched",
    "read_image",
    "resized",
]
