"""The demonstration: real electroluminescence photographs of solar cells, from a PyPI package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from patchbank.datasets import GOOD, Dataset, Sample
from patchbank.errors import DataError

N_FIT, N_TEST = 200, 150
SEED = 0
FUNCTIONAL, DEFECTIVE = 0.0, 1.0  # probability of a defect, as labelled by experts


def solar_cells(*, draw_defects: bool = False) -> tuple[list[Path], Dataset]:
    """List photographs of mono-crystalline cells: 200 functional ones to fit, 300 to test.

    They come from the package elpv-dataset (Buerhop-Lutz et al., 2018; Deitsch et al., 2019), CC
    BY-NC-SA.  Functional cells are drawn at random, since those of one module resemble each other.
    The defective ones are the first of the package; later ones are mostly thin finger
    interruptions, and a random draw is harder: docs/results.md has both figures.

    Args:
        draw_defects: draw the defective cells too.

    Returns:
        Paths to fit on, and a data set of 150 other functional and 150 defective cells.

    Raises:
        DataError: the package is not installed.
    """
    rng = np.random.default_rng(SEED)
    good, defect = _cells(FUNCTIONAL), _cells(DEFECTIVE)
    good_order = rng.permutation(len(good))
    defect_order = rng.permutation(len(defect)) if draw_defects else np.arange(len(defect))
    fit = [good[i] for i in good_order[:N_FIT]]
    test = [Sample(good[i], GOOD) for i in good_order[N_FIT : N_FIT + N_TEST]]
    test += [Sample(defect[i], "defective") for i in defect_order[:N_TEST]]
    name = "solar cells, defects drawn" if draw_defects else "solar cells, first defects"
    return fit, Dataset(name, tuple(test))


def functional_cells() -> list[Path]:
    """List the photographs of all functional mono-crystalline cells, 588.

    Raises:
        DataError: the package is not installed.
    """
    return _cells(FUNCTIONAL)


def _cells(probability: float) -> list[Path]:
    """Mono-crystalline cells of one probability of a defect."""
    folder = _package_folder()
    lines = (folder / "labels.csv").read_text(encoding="utf-8").splitlines()
    cells = [line.split() for line in lines]
    return [folder / name for name, p, kind in cells if kind == "mono" and float(p) == probability]


def _package_folder() -> Path:
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "expected the package elpv-dataset with the photographs, got none installed; "
            "pip install 'patchbank[demo]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"
