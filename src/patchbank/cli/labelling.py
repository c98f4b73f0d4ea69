"""Files for labelling tools that `patchbank predict` writes, as far as they were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchbank.detector.inspection import FailedInspection, Inspection

if TYPE_CHECKING:
    from patchbank.integrations.fiftyone import DatasetFolder, MapPictures
    from patchbank.integrations.label_studio import TaskFile


@dataclass(frozen=True, slots=True)
class LabellingFiles:
    """The files that are being written."""

    tasks: TaskFile | None = None
    dataset: DatasetFolder | None = None

    def check(self, photographs: Iterable[Path]) -> None:
        """Check before the work that the tools will find each photograph.

        Raises:
            DataError: they will not.
        """
        for photograph in photographs:
            if self.tasks is not None:
                self.tasks.address(photograph)
            if self.dataset is not None:
                self.dataset.address(photograph)

    def add(self, outcome: Inspection | FailedInspection, maps: MapPictures | None) -> None:
        """Write what is known of one photograph.

        Raises:
            DataError: it cannot be written.
        """
        if self.tasks is not None:
            self.tasks.add(outcome)
        if self.dataset is not None:
            self.dataset.add(outcome, maps)


@contextmanager
def labelling_files(
    *,
    label_studio: Path | None,
    url_prefix: str | None,
    fiftyone: Path | None,
    detector_sha256: str,
) -> Iterator[LabellingFiles]:
    """Open the files, which are there when all photographs were inspected.

    Args:
        label_studio: file of tasks.
        url_prefix: beginning of the addresses in tasks.
        fiftyone: folder of a dataset.
        detector_sha256: of the detector; that of a router is in its outcomes.

    Raises:
        DataError: they cannot be written.
    """
    tasks, dataset = None, None
    with ExitStack() as stack:
        if label_studio is not None:
            from patchbank.integrations.label_studio import task_file

            tasks = stack.enter_context(
                task_file(label_studio, detector_sha256=detector_sha256, url_prefix=url_prefix)
            )
        if fiftyone is not None:
            from patchbank.integrations.fiftyone import dataset_folder

            dataset = stack.enter_context(dataset_folder(fiftyone, detector_sha256=detector_sha256))
        yield LabellingFiles(tasks, dataset)
