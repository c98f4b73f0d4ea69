"""Run `patchbank predict`: a line, a row, a JSON line, an overlay and a copy for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from patchbank.cli import output
from patchbank.cli.csv_file import csv_file
from patchbank.cli.labelling import LabellingFiles, labelling_files
from patchbank.cli.path_lists import Given, StandardInput, batches
from patchbank.cli.pictures import Listed, PathsBelow, Pictures, list_photographs, write_picture
from patchbank.cli.progress import ConsoleProgress
from patchbank.cli.sorting import Sorter, total_bytes
from patchbank.cli.targets import check_folder
from patchbank.detector.detector import Detector
from patchbank.detector.difference import DifferenceCount
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.inspector import Inspector
from patchbank.detector.overlay import draw_overlay, png_bytes
from patchbank.errors import DataError, ImageError
from patchbank.images.folders import few
from patchbank.runtime.printable import json_text

if TYPE_CHECKING:
    from patchbank.cli.explaining import Explanations
    from patchbank.detector.explanation.pictures import PictureSource
    from patchbank.explaining import Drawn
    from patchbank.integrations.fiftyone import MapPictures


@dataclass(slots=True)
class Count:
    """Number of images by their outcome."""

    is_live: bool = field(default=False, kw_only=True, compare=False)
    """Whether images may arrive for a long time, so that notes are printed at once."""
    good: int = 0
    anomalous: int = 0
    unread: int = 0
    unknown: int = 0
    """Images that show none of the products of a router."""
    unsorted: int = 0
    """Images that were inspected, but whose photographs could not be copied."""
    unlike: DifferenceCount = field(default_factory=DifferenceCount, compare=False)
    """Differences from the learned photographs as a whole."""
    learned: list[str] = field(default_factory=list, compare=False)
    """Names of photographs that the detector has learned."""

    @property
    def total(self) -> int:
        """Number of all images."""
        return self.good + self.anomalous + self.unread + self.unknown

    def notes(self) -> list[str]:
        """Lines about all photographs together, where they do not arrive one by one."""
        lines = self.unlike.lines() if not self.is_live or self.total > 1 else []
        if self.learned and not self.is_live:
            lines.append(
                f"{len(self.learned):,} of {self.total:,} photographs were learned, to the pixel: "
                f"{few(self.learned, 'photograph')}; this says nothing of new parts, inspect "
                "photographs that were not learned"
            )
        return lines


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
    explain: Path | None = None
    """Folder of the explanations of flagged photographs."""
    label_studio: Path | None = None
    """File of tasks for Label Studio."""
    url_prefix: str | None = None
    """Beginning of the addresses in these tasks; None for paths."""
    fiftyone: Path | None = None
    """Folder of a dataset for FiftyOne."""
    pictures: PictureSource | None = None
    """Pictures of the learned photographs in explanations; None for those in the detector file."""
    only_anomalous: bool = False
    """Whether good photographs are counted, and leave nothing else."""
    stamp: Mapping[str, str] = field(default_factory=dict)
    """Keys of each JSON line that name the detector and the program."""


def inspect_paths(
    detector: Inspector, paths: Sequence[Given | StandardInput], outputs: Outputs
) -> Count:
    """Inspect images and folders, write what was asked for, and count the outcomes."""
    is_live = any(isinstance(path, StandardInput) for path in paths)
    count = Count(is_live=is_live)
    pictures = None
    if outputs.overlays is not None:
        pictures = Pictures(outputs.overlays, keeps_others=is_live)
    explanations = None
    if outputs.explain is not None and isinstance(detector, Detector):
        from patchbank.cli.explaining import Explanations

        explanations = Explanations(detector, outputs.explain, keeps_others=is_live)
    with ExitStack() as stack:
        labelling = stack.enter_context(
            labelling_files(
                label_studio=outputs.label_studio,
                url_prefix=outputs.url_prefix,
                fiftyone=outputs.fiftyone,
                detector_sha256=outputs.stamp.get("detector_sha256", ""),
            )
        )
        add_record: AddRecord | None = None
        for batch in batches(paths):
            listed = list_photographs(batch, outputs.overlays, outputs.sort_into)
            photographs = [image for image, _ in listed.images]
            if outputs.sort_into is not None:
                check_folder("--sort-into", outputs.sort_into, n_bytes=total_bytes(photographs))
            for folder in (pictures, explanations):
                if folder is not None:
                    folder.spare(photographs)
            if add_record is None:
                add_record = _records(outputs, count, stack, labelling)
            labelling.check(photographs)
            _inspect_batch(
                detector, listed, outputs, count, add_record, Targets(pictures, explanations)
            )
        if count.total == 0:  # whoever makes the list has failed: that must not pass for all good
            raise DataError("PATH: expected photographs, got an empty list")
    if explanations is not None:
        explanations.write_page()
    output.notes(count.notes())
    if outputs.to_json != "-":
        output.totals(count.good, count.anomalous, count.unread, count.unknown)
    return count


def _inspect_batch(
    detector: Inspector,
    listed: Listed,
    outputs: Outputs,
    count: Count,
    add_record: AddRecord,
    targets: Targets,
) -> None:
    images = listed.images
    paths_below = PathsBelow(given for image, given in images if image != given)
    count.unread += listed.not_read
    below = [paths_below.of(image, given) for image, given in images]
    # All of them before the work: a name that a photograph has would end it in the middle.
    paths = [targets.paths_for(inside) for inside in below]
    with ConsoleProgress().task("inspecting", len(images)) as advance:
        for line in listed.lines:
            output.note(line)
        # In the head of the loop, so that an error which leaves it ends the inspection at once.
        for inside, own, (outcome, made) in zip(
            below,
            paths,
            _outcomes(detector, [image for image, _ in images], outputs),
            strict=True,
        ):
            _tally(count, outcome)
            if _is_wanted(outcome, outputs):
                add_record(outcome, inside, made)
                targets.write(outcome, made, own)
            advance(1)


def _is_wanted(outcome: Inspection | FailedInspection, outputs: Outputs) -> bool:
    is_good = isinstance(outcome, Inspection) and not outcome.is_anomalous
    return not (outputs.only_anomalous and is_good)


@dataclass(frozen=True, slots=True)
class Made:
    """Pictures of one photograph, made where it was inspected."""

    overlay: bytes | None = None
    """PNG file of the overlay."""
    explanation: Drawn | None = None
    """The explanation of a flagged photograph."""
    maps: MapPictures | None = None
    """Pictures of the anomaly map for FiftyOne."""


NOTHING = Made()


@dataclass(frozen=True, slots=True)
class Targets:
    """Folders of pictures, as far as they were asked for."""

    overlays: Pictures | None
    explanations: Explanations | None

    def paths_for(self, inside: Path) -> tuple[Path | None, Path | None]:
        """Paths of overlay and explanation of a photograph."""
        overlay = None if self.overlays is None else self.overlays.path_for(inside)
        explained = None if self.explanations is None else self.explanations.path_for(inside)
        return overlay, explained

    def write(
        self,
        outcome: Inspection | FailedInspection,
        made: Made,
        paths: tuple[Path | None, Path | None],
    ) -> None:
        """Write the pictures of a photograph."""
        overlay, explained = paths
        if overlay is not None and made.overlay is not None:
            write_picture(made.overlay, overlay)
        is_flagged = isinstance(outcome, Inspection) and outcome.is_anomalous
        if self.explanations is not None and explained is not None and is_flagged:
            self.explanations.add(made.explanation, explained)


def _outcomes(
    detector: Inspector, images: Iterable[Path], outputs: Outputs
) -> Iterator[tuple[Inspection | FailedInspection, Made]]:
    """Yield each outcome with its pictures, drawn and encoded where it was inspected."""
    if outputs.overlays is None and outputs.explain is None and outputs.fiftyone is None:
        for outcome in detector.inspect(images):
            yield outcome, NOTHING
        return
    for result in detector.inspect_with(images, partial(_made, outputs=outputs)):
        yield (result, NOTHING) if isinstance(result, FailedInspection) else result


def _made(inspection: Inspection, *, outputs: Outputs) -> Made:
    if not _is_wanted(inspection, outputs):
        return NOTHING
    overlay, explanation = None, None
    if outputs.overlays is not None:
        overlay = png_bytes(draw_overlay(inspection.pixels, inspection))
    if outputs.explain is not None:
        from patchbank.cli.explaining import drawn_or_said

        explanation = drawn_or_said(inspection, outputs.pictures)
    maps = None
    if outputs.fiftyone is not None:
        from patchbank.integrations.fiftyone import map_pictures

        maps = map_pictures(inspection)
    return Made(overlay, explanation, maps)


AddRecord = Callable[[Inspection | FailedInspection, Path, Made], None]
"""Takes an outcome, the path of the photograph below the folder that was given, and its pictures.
"""


def _records(
    outputs: Outputs, count: Count, stack: ExitStack, labelling: LabellingFiles
) -> AddRecord:
    """Open the files that were asked for, and return what writes an outcome to all of them."""
    target = outputs.to_json
    stream = stack.enter_context(output.json_lines(target)) if target is not None else None
    table = None
    if outputs.csv is not None:
        digest = outputs.stamp.get("detector_sha256", "")
        table = stack.enter_context(csv_file(outputs.csv, digest))
    sorter = Sorter(outputs.sort_into) if outputs.sort_into is not None else None

    def add(outcome: Inspection | FailedInspection, inside: Path, made: Made) -> None:
        if stream is not None:
            record = output.stamped(outcome.to_json(), outputs.stamp)
            if outputs.explain is not None:
                one = made.explanation
                record["explanation"] = None if one is None else one.explanation.to_json()
            output.write_line(stream, target or "-", json_text(record))
        if target != "-":
            output.outcome(outcome)
        elif isinstance(outcome, FailedInspection):
            output.error(outcome.error)
        if table is not None:
            table.add(outcome)
        labelling.add(outcome, made.maps)
        if sorter is not None and isinstance(outcome, Inspection):
            try:
                sorter.add(outcome, inside)
            except ImageError as error:
                count.unsorted += 1
                output.error(str(error))

    return add


def _tally(count: Count, outcome: Inspection | FailedInspection) -> None:
    if isinstance(outcome, FailedInspection):
        if outcome.route is None:
            count.unread += 1
        else:
            count.unknown += 1
        return
    new = count.unlike.add(outcome.image, outcome.unlike)
    if count.is_live:
        output.notes(f"{outcome.image}: {text}" for text in new)
    if outcome.is_learned and not count.is_live:
        count.learned.append(Path(outcome.image).name)
    if outcome.is_anomalous:
        count.anomalous += 1
    else:
        count.good += 1
