"""Results as tasks of Label Studio, with predictions that its users correct.

Label Studio imports the file as it is, and needs the labelling configuration that is written next
to it.  Nothing of Label Studio is needed here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import DataError
from patchbank.integrations.photographs import path_of, printable_row, utf8_name
from patchbank.runtime.atomic_file import replace_file, replacing
from patchbank.runtime.printable import json_text, printable

LABEL_CONFIG = """\
<View>
  <Header value="$note" size="5"/>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <Choices name="verdict" toName="image" choice="single" showInline="true">
    <Choice value="good"/>
    <Choice value="anomalous"/>
  </Choices>
  <RectangleLabels name="regions" toName="image">
    <Label value="anomaly" background="#d62728"/>
  </RectangleLabels>
</View>
"""
"""The labelling configuration that tasks are made for."""
COLUMNS = ("verdict", "score", "threshold", "p_value", "product")
"""Data of a task in addition to its image and note: columns of the data manager."""


class TaskFile:
    """Writes a task for each outcome; made by `task_file`."""

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        detector_sha256: str,
        url_prefix: str | None,
        root: str | os.PathLike[str],
    ) -> None:
        self._path, self._file = path, file
        self._detector = detector_sha256
        self._prefix, self._root = url_prefix, Path(os.path.abspath(root))
        self._n_tasks = 0

    def address(self, image: str | os.PathLike[str]) -> str:
        """The address of a photograph by which Label Studio finds it.

        Raises:
            DataError: it is not below the folder that the prefix stands for; without a prefix, its
                name is not UTF-8.
        """
        if self._prefix is None:
            return utf8_name(image)
        path = Path(os.path.abspath(image))
        if not path.is_relative_to(self._root):
            raise DataError(
                f"{os.fspath(image)}: expected a photograph below {self._root}, which the URL "
                "prefix stands for, got one elsewhere; start in the folder that is served"
            )
        return self._prefix + quote(os.fsencode(path.relative_to(self._root).as_posix()))

    def add(self, outcome: Inspection | FailedInspection) -> None:
        """Write the task of one photograph.

        Raises:
            DataError: the photograph is no file, as `address`, or the task cannot be written.
        """
        address = self.address(path_of(outcome))
        task = json_text(_task(outcome, address, self._detector))
        self._write(f"{',' if self._n_tasks else '['}\n{task}")
        self._n_tasks += 1

    def end(self) -> None:
        """Write what follows the last task.

        Raises:
            DataError: it cannot be written.
        """
        self._write("\n]\n" if self._n_tasks else "[]\n")

    def _write(self, text: str) -> None:
        try:
            self._file.write(text.encode())
        except OSError as error:
            raise _not_written(self._path, error) from None


@contextmanager
def task_file(
    path: str | os.PathLike[str],
    *,
    detector_sha256: str = "",
    url_prefix: str | None = None,
    root: str | os.PathLike[str] = ".",
) -> Iterator[TaskFile]:
    """Open a file of tasks, which is there when all are written, with its configuration next to it.

    Args:
        path: of the file, such as ``tasks.json``; `config_path` is that of the configuration.
        detector_sha256: of the detector, which names the version of the model.
        url_prefix: what stands before the path of each photograph below `root`, which is encoded
            as in an address: ``/data/local-files/?d=`` or ``https://HOST/``.  None for the paths
            themselves, as they were given.
        root: the folder that the prefix stands for.

    Raises:
        DataError: a file cannot be written.
    """
    path = Path(path)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(replacing(path))
        except OSError as error:
            raise _not_written(path, error) from None
        tasks = TaskFile(path, file, detector_sha256, url_prefix, root)
        yield tasks
        tasks.end()
        try:
            replace_file(config_path(path), LABEL_CONFIG.encode())
            stack.close()
        except OSError as error:
            raise _not_written(path, error) from None


def write_tasks(
    path: str | os.PathLike[str],
    outcomes: Iterable[Inspection | FailedInspection],
    *,
    detector_sha256: str = "",
    url_prefix: str | None = None,
    root: str | os.PathLike[str] = ".",
) -> None:
    """Write a task for each photograph; arguments are as of `task_file`.

    A photograph that could not be inspected has a task without a prediction, which says why.

    Raises:
        DataError: as `task_file` and `TaskFile.add`; the file is then as it was before.
    """
    with task_file(
        path, detector_sha256=detector_sha256, url_prefix=url_prefix, root=root
    ) as tasks:
        for outcome in outcomes:
            tasks.add(outcome)


def config_path(path: str | os.PathLike[str]) -> Path:
    """The path of the labelling configuration next to a file of tasks.

    >>> config_path("tasks.json").name
    'tasks.label_config.xml'
    """
    return Path(path).with_suffix(".label_config.xml")


def _task(
    outcome: Inspection | FailedInspection, address: str, detector_sha256: str
) -> dict[str, Any]:
    row = printable_row(outcome, detector_sha256)
    columns = {name: row[name] for name in COLUMNS}
    data = {"image": address, "note": printable(_note(outcome)), **columns}
    if isinstance(outcome, FailedInspection):
        return {"data": data}
    version = f"patchbank {str(row['detector_sha256'])[:12]}".rstrip()
    prediction = {
        "model_version": version,
        # Label Studio refuses scores outside of [0, 1]; the score itself is among the data.
        "score": 1 - outcome.p_value,
        "result": [_verdict(str(row["verdict"])), *_rectangles(outcome)],
    }
    return {"data": data, "predictions": [prediction]}


def _note(outcome: Inspection | FailedInspection) -> str:
    """The line above the photograph."""
    if isinstance(outcome, FailedInspection):
        return f"not inspected: {outcome.error}"
    score = f"score {outcome.score:.4g} (threshold {outcome.threshold:.4g})"
    return "; ".join([f"{score}, p-value {outcome.p_value:.2g}", *map(str, outcome.unlike)])


def _verdict(verdict: str) -> dict[str, Any]:
    return {
        "id": "verdict",
        "from_name": "verdict",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": [verdict]},
    }


def _rectangles(inspection: Inspection) -> Iterator[dict[str, Any]]:
    """The box of each region, in percent of the width and height of the photograph."""
    width, height = inspection.size
    for number, region in enumerate(inspection.regions, start=1):
        yield {
            "id": f"region-{number}",
            "from_name": "regions",
            "to_name": "image",
            "type": "rectanglelabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "x": 100 * region.left / width,
                "y": 100 * region.top / height,
                "width": 100 * region.width / width,
                "height": 100 * region.height / height,
                "rotation": 0,
                "rectanglelabels": ["anomaly"],
            },
        }


def _not_written(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: expected to write tasks, got: {error.strerror}")
