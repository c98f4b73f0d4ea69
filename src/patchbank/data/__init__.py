"""Photographs and data sets: finding, decoding, resizing."""

from patchbank.data.datasets import Category, Dataset, Sample, find_categories, find_dataset
from patchbank.data.folders import find_images, good_images
from patchbank.data.images import ImageInput, n_pixels, read_image, resized

__all__ = [
    "Category",
    "Dataset",
    "ImageInput",
    "Sample",
    "find_categories",
    "find_dataset",
    "find_images",
    "good_images",
    "n_pixels",
    "read_image",
    "resized",
]
