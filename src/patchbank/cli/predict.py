"""Run `patchbank predict`: a line, a row, a JSON line, an overlay and a copy for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from patchbank.cli import output
from patchbank.cli.csv_file import csv_file
from patchbank.cli.path_lists import Given, StandardInput, batches
from patchbank.cli.pictures import Listed, PathsBelow, Pictures, list_photographs, write_picture
from patchbank.cli.progress import ConsoleProgress
from patchbank.cli.sorting import Sorter, total_bytes
from patchbank.cli.targets import check_folder
from patchbank.detector.detector import Detector
from patchbank.detector.difference import DifferenceCount
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.overlay import draw_overlay, png_bytes
from patchbank.errors import DataError, ImageError
from patchbank.runtime.printable import json_text


@dataclass(slots=True)
class Count:
    """Number of images by their outcome."""

    is_live: bool = field(default=False, kw_only=True, compare=False)
    """Whether images may arrive for a long time, so that notes are printed at once."""
    good: int = 0
    anomalous: int = 0
    unread: int = 0
    unsorted: int = 0
    """Images that were inspected, but whose photographs could not be copied."""
    unlike: DifferenceCount = field(default_factory=DifferenceCount, compare=False)
    """Differences from the learned photographs as a whole."""

    @property
    def total(self) -> int:
        """Number of all images."""
        return self.good + self.anomalous + self.unread


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Results that are wanted in addition to the line for each photograph."""

    overlays: Path | None = None
    """Folder of the pictures."""
    to_json: str | None = None
    """File of JSON lines, or ``-`` for standard output."""
    csv: Path | None = None
    """File of a table."""
    sort_into: Path | None = None
    """Folder into which copies of the photographs are sorted."""
    only_anomalous: bool = False
    """Whether good photographs are counted, and leave nothing else."""
    stamp: Mapping[str, str] = field(default_factory=dict)
    """Keys of each JSON line that name the detector and the program."""


def inspect_paths(
    detector: Detector, paths: Sequence[Given | StandardInput], outputs: Outputs
) -> Count:
    """Inspect images and folders, write what was asked for, and count the outcomes."""
    is_live = any(isinstance(path, StandardInput) for path in paths)
    count = Count(is_live=is_live)
    pictures = None
    if outputs.overlays is not None:
        pictures = Pictures(outputs.overlays, keeps_others=is_live)
    with ExitStack() as stack:
        add_record: AddRecord | None = None
        for batch in batches(paths):
            listed = list_photographs(batch, outputs.overlays, outputs.sort_into)
            photographs = [image for image, _ in listed.images]
            if outputs.sort_into is not None:
                check_folder("--sort-into", outputs.sort_into, n_bytes=total_bytes(photographs))
            if pictures is not None:
                pictures.spare(photographs)
            if add_record is None:
                add_record = _records(outputs, count, stack)
            _inspect_batch(detector, listed, outputs, count, add_record, pictures)
    if count.total == 0:  # whoever makes the list has failed: that must not pass for all good
        raise DataError("PATH: expected photographs, got an empty list")
    if not is_live or count.total > 1:
        output.notes(count.unlike.lines())
    if outputs.to_json != "-":
        output.totals(count.good, count.anomalous, count.unread)
    return count


def _inspect_batch(
    detector: Detector,
    listed: Listed,
    outputs: Outputs,
    count: Count,
    add_record: AddRecord,
    pictures: Pictures | None,
) -> None:
    images = listed.images
    paths_below = PathsBelow(given for image, given in images if image != given)
    count.unread += listed.not_read
    below = [paths_below.of(image, given) for image, given in images]
    # All of them before the work: a name that a photograph has would end it in the middle.
    targets = [None if pictures is None else pictures.path_for(inside) for inside in below]
    with ConsoleProgress().task("inspecting", len(images)) as advance:
        for line in listed.lines:
            output.note(line)
        # In the head of the loop, so that an error which leaves it ends the inspection at once.
        for inside, target, (outcome, picture) in zip(
            below,
            targets,
            _outcomes(detector, [image for image, _ in images], outputs),
            strict=True,
        ):
            _tally(count, outcome)
            if _is_wanted(outcome, outputs):
                add_record(outcome, inside)
                if target is not None and picture is not None:
                    write_picture(picture, target)
            advance(1)


def _is_wanted(outcome: Inspection | FailedInspection, outputs: Outputs) -> bool:
    is_good = isinstance(outcome, Inspection) and not outcome.is_anomalous
    return not (outputs.only_anomalous and is_good)


def _outcomes(
    detector: Detector, images: Iterable[Path], outputs: Outputs
) -> Iterator[tuple[Inspection | FailedInspection, bytes | None]]:
    """Yield each outcome with its overlay as a PNG, drawn and encoded where it was inspected."""
    if outputs.overlays is None:
        for outcome in detector.inspect(images):
            yield outcome, None
        return
    for result in detector.inspect_with(images, partial(_encoded_overlay, outputs=outputs)):
        yield (result, None) if isinstance(result, FailedInspection) else result


def _encoded_overlay(inspection: Inspection, *, outputs: Outputs) -> bytes | None:
    if not _is_wanted(inspection, outputs):
        return None
    return png_bytes(draw_overlay(inspection.pixels, inspection))


AddRecord = Callable[[Inspection | FailedInspection, Path], None]
"""Takes an outcome, and the path of the photograph below the folder that was given."""


def _records(outputs: Outputs, count: Count, stack: ExitStack) -> AddRecord:
    """Open the files that were asked for, and return what writes an outcome to all of them."""
    target = outputs.to_json
    stream = stack.enter_context(_lines(target)) if target is not None else None
    table = None
    if outputs.csv is not None:
        digest = outputs.stamp.get("detector_sha256", "")
        table = stack.enter_context(csv_file(outputs.csv, digest))
    sorter = Sorter(outputs.sort_into) if outputs.sort_into is not None else None

    def add(outcome: Inspection | FailedInspection, inside: Path) -> None:
        if stream is not None:
            record = output.stamped(outcome.to_json(), outputs.stamp)
            _write_line(stream, target or "-", json_text(record))
        if target != "-":
            output.outcome(outcome)
        elif isinstance(outcome, FailedInspection):
            output.error(outcome.error)
        if table is not None:
            table.add(outcome)
        if sorter is not None and isinstance(outcome, Inspection):
            try:
                sorter.add(outcome, inside)
            except ImageError as error:
                count.unsorted += 1
                output.error(str(error))

    return add


def _tally(count: Count, outcome: Inspection | FailedInspection) -> None:
    if isinstance(outcome, FailedInspection):
        count.unread += 1
        return
    new = count.unlike.add(outcome.image, outcome.unlike)
    if count.is_live:
        output.notes(f"{outcome.image}: {text}" for text in new)
    if outcome.is_anomalous:
        count.anomalous += 1
    else:
        count.good += 1


def _write_line(stream: TextIO, target: str, line: str) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"{target}: expected to write JSON, got: {error.strerror}") from error


@contextmanager
def _lines(target: str) -> Iterator[TextIO]:
    if target == "-":
        yield output.json_stream()
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(target).open("w", encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{target}: expected to write JSON, got: {error.strerror}") from error
        yield stream
