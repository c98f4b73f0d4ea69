"""The work on one block of photographs, in this process or in one of a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from patchbank.bulk.inputs import Block
from patchbank.bulk.results import part_of
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import ImageError
from patchbank.images.source import ImageSource, n_pixels
from patchbank.images.urls import fetched, is_url
from patchbank.runtime.threads import map_in_order


@dataclass(frozen=True, slots=True)
class BlockWork:
    """Inspects the photographs of blocks."""

    detector: Detector

    def __call__(self, block: Block) -> bytes:
        """The Parquet file with a row for each photograph of the block, in their order."""
        outcomes = map_in_order(
            partial(self._outcome, folder=block.folder),
            block.names,
            partial(_n_pixels, folder=block.folder),
        )
        found = [outcome.result() for _, outcome in outcomes]
        return part_of(found, block.first_row, self.detector.sha256)

    def _outcome(self, name: str | None, folder: str) -> Inspection | FailedInspection:
        if not name:
            error = "photograph: expected a path or a URL, got an empty cell"
            return FailedInspection("", error, ImageError)
        source = fetched(name) if is_url(name) else ImageSource(name, _path(name, folder))
        (outcome,) = self.detector.inspect(iter([source]))
        return outcome


def _n_pixels(name: str | None, folder: str) -> int:
    """Pixels of a photograph that is a file; those of a URL are not known before it is fetched."""
    return 0 if not name or is_url(name) else n_pixels(_path(name, folder))


def _path(name: str, folder: str) -> Path:
    return Path(os.path.join(folder, name))
