"""Results as a dataset of FiftyOne: verdicts, regions, heat maps and masks of photographs.

FiftyOne imports the folder as a ``fiftyone.types.FiftyOneDataset``.  Nothing of FiftyOne is needed
here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image as pillow

from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.overlay import heat_unit, png_bytes
from patchbank.errors import DataError
from patchbank.integrations.fiftyone_schema import COLUMNS, dataset_document
from patchbank.integrations.photographs import path_of, printable_row, utf8_name
from patchbank.runtime.atomic_file import PREFIX, SUFFIX, make_folders, replace_file, sync_folder
from patchbank.runtime.printable import json_text

AT_THRESHOLD = 128
"""Value of heat maps at the pixel threshold; 0 is a normal patch, 255 twice the threshold."""
HEAT_MAP, MASK = "heat_map", "mask"
START = '{"samples": ['


@dataclass(frozen=True, slots=True)
class MapPictures:
    """The anomaly map of a photograph as PNG files of its size, 8 bits a pixel."""

    heat_map: bytes
    """0 for a normal patch, `AT_THRESHOLD` at the pixel threshold, 255 from twice of it."""
    mask: bytes
    """255 above the pixel threshold, 0 elsewhere."""


def map_pictures(inspection: Inspection) -> MapPictures:
    """Draw the pictures of the anomaly map, faster in the function given to `inspect_with`."""
    anomaly_map = inspection.anomaly_map
    heat = (anomaly_map - inspection.normal_map_value) * (AT_THRESHOLD / heat_unit(inspection))
    heat = np.rint(np.clip(heat, 0, 255)).astype(np.uint8)
    mask = np.where(anomaly_map > inspection.pixel_threshold, 255, 0).astype(np.uint8)
    return MapPictures(png_bytes(pillow.fromarray(heat)), png_bytes(pillow.fromarray(mask)))


class DatasetFolder:
    """Writes a sample for each outcome; made by `dataset_folder`."""

    def __init__(self, folder: Path, samples: TextIO, detector_sha256: str) -> None:
        self._folder, self._samples = folder, samples
        self._detector = detector_sha256
        self._n_samples = 0

    def address(self, image: str | os.PathLike[str]) -> str:
        """The path by which FiftyOne finds a photograph.

        Raises:
            DataError: it is not UTF-8.
        """
        return utf8_name(os.path.abspath(image))

    def add(
        self, outcome: Inspection | FailedInspection, pictures: MapPictures | None = None
    ) -> None:
        """Write the sample of one photograph.

        Args:
            outcome: of the photograph.
            pictures: of its map; None draws them here.

        Raises:
            DataError: the photograph is no file, as `address`, or the sample cannot be written.
        """
        path = self.address(path_of(outcome))
        sample = _sample(outcome, path, self._detector)
        self._n_samples += 1
        try:
            if isinstance(outcome, Inspection):
                made = map_pictures(outcome) if pictures is None else pictures
                sample[HEAT_MAP] = self._heat_map(made.heat_map, path)
                sample[MASK] = self._mask(made.mask, path)
            self._samples.write(f"{',' if self._n_samples > 1 else START}\n{json_text(sample)}")
        except OSError as error:
            raise _not_written(self._folder, error) from None

    def end(self) -> None:
        """Write what follows the last sample, and what the samples consist of.

        Raises:
            OSError: it cannot be written.
        """
        self._samples.write("\n]}\n" if self._n_samples else f"{START}]}}\n")
        self._samples.flush()
        os.fsync(self._samples.fileno())
        self._samples.close()  # the folder of an open file cannot be renamed on Windows
        document = json_text(dataset_document(), indent=2)
        replace_file(self._folder / "metadata.json", document.encode())

    def _heat_map(self, content: bytes, path: str) -> dict[str, Any]:
        picture = self._picture(HEAT_MAP, content)
        return {**_label("Heatmap", path, HEAT_MAP), "map_path": picture, "range": [0.0, 255.0]}

    def _mask(self, content: bytes, path: str) -> dict[str, Any]:
        return {**_label("Segmentation", path, MASK), "mask_path": self._picture(MASK, content)}

    def _picture(self, name: str, content: bytes) -> str:
        """Write a picture, and return its path in the folder."""
        path = f"fields/{name}/{self._n_samples:06}.png"
        (self._folder / path).write_bytes(content)
        return path


@contextmanager
def dataset_folder(
    folder: str | os.PathLike[str], *, detector_sha256: str = ""
) -> Iterator[DatasetFolder]:
    """Open a dataset, whose folder is there when all samples are written.

    Args:
        folder: that does not exist yet, or is empty: what FiftyOne has imported from it before
            still needs its pictures.
        detector_sha256: of the detector, a field of each sample.

    Raises:
        DataError: there is something, or the folder cannot be written.
    """
    target = Path(os.path.realpath(folder))
    temporary = target.with_name(f"{PREFIX}{os.urandom(8).hex()}{SUFFIX}")
    try:
        with _new_folder(target, temporary) as samples:
            writer = DatasetFolder(temporary, samples, detector_sha256)
            yield writer
            try:
                writer.end()
                if target.exists():
                    target.rmdir()
                temporary.rename(target)
                sync_folder(target.parent)
            except OSError as error:
                raise _not_written(target, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_dataset(
    folder: str | os.PathLike[str],
    outcomes: Iterable[Inspection | FailedInspection],
    *,
    detector_sha256: str = "",
) -> None:
    """Write a sample for each photograph; arguments are as of `dataset_folder`.

    A photograph that could not be inspected has a sample without a score, which says why.

    Raises:
        DataError: as `dataset_folder` and `DatasetFolder.add`; there is no folder then.
    """
    with dataset_folder(folder, detector_sha256=detector_sha256) as dataset:
        for outcome in outcomes:
            dataset.add(outcome)


def _new_folder(target: Path, temporary: Path) -> TextIO:
    """Make a folder for the time of writing.  -> its file of samples."""
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DataError(
                f"{target}: expected a folder for a dataset that is new or empty, got another; "
                "give a new one"
            )
        for name in (HEAT_MAP, MASK):
            make_folders(temporary / "fields" / name)
        return (temporary / "samples.json").open("w", encoding="utf-8")
    except OSError as error:
        raise _not_written(target, error) from None


def _sample(
    outcome: Inspection | FailedInspection, path: str, detector_sha256: str
) -> dict[str, Any]:
    row = printable_row(outcome, detector_sha256)
    columns = {name: row[name] for name in COLUMNS}
    verdict = {**_label("Classification", path, "verdict"), "label": row["verdict"]}
    regions = None
    if isinstance(outcome, Inspection):
        # So the confidence of "anomalous" is 1 - p for each photograph, whatever its verdict.
        p_value = outcome.p_value
        verdict["confidence"] = 1 - p_value if outcome.is_anomalous else p_value
        regions = {"_cls": "Detections", "detections": list(_detections(outcome, path))}
    return {
        "filepath": path,
        "tags": [],
        "_media_type": "image",
        "_rand": int(_digest(path, "rand")[:8], 16) / 2**32,
        "verdict": verdict,
        **columns,
        "regions": regions,
    }


def _detections(inspection: Inspection, path: str) -> Iterator[dict[str, Any]]:
    """The box of each region: [left, top, width, height] by the sides of the photograph."""
    width, height = inspection.size
    for number, region in enumerate(inspection.regions):
        yield {
            **_label("Detection", path, f"region {number}"),
            "attributes": {},
            "label": "anomaly",
            "bounding_box": [
                region.left / width,
                region.top / height,
                region.width / width,
                region.height / height,
            ],
            "score": region.score,
            "area": region.area,
        }


def _label(kind: str, path: str, name: str) -> dict[str, Any]:
    """Keys that all labels have; the number is the same whenever they are written."""
    return {"_id": {"$oid": _digest(path, name)[:24]}, "_cls": kind, "tags": []}


def _digest(path: str, name: str) -> str:
    return hashlib.sha256(f"{path}\0{name}".encode()).hexdigest()


def _not_written(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder}: expected to write a dataset, got: {error.strerror}")
