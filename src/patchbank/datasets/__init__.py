"""Data sets to learn from and to test on, recognised by the layout of their folders."""

from patchbank.datasets.base import GOOD, Category, Dataset, Sample
from patchbank.datasets.learning import TrainingImages, good_images, training_images
from patchbank.datasets.registry import dataset_names, find_categories, find_dataset

__all__ = [
    "GOOD",
    "Category",
    "Dataset",
    "Sample",
    "TrainingImages",
    "dataset_names",
    "find_categories",
    "find_dataset",
    "good_images",
    "training_images",
]
