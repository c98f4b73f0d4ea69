"""Run `patchbank predict`: a line, a JSON line and an overlay for each image."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from patchbank.cli import output
from patchbank.cli.pictures import Pictures, list_photographs, write_picture
from patchbank.cli.progress import ConsoleProgress
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.overlay import draw_overlay, png_bytes
from patchbank.errors import DataError


@dataclass(slots=True)
class Count:
    """Number of images by their outcome."""

    good: int = 0
    anomalous: int = 0
    unread: int = 0


def inspect_paths(
    detector: Detector, paths: list[Path], out: Path | None, to_json: str | None
) -> Count:
    """Inspect images and folders, write what was asked for, and count the outcomes."""
    listed = list_photographs(paths, out)
    images = listed.images
    folders = [given for image, given in images if image != given]
    pictures = Pictures(out, [image for image, _ in images], folders) if out is not None else None
    count = Count(unread=listed.not_read)
    lines = _lines(to_json) if to_json is not None else nullcontext(None)
    with lines as stream, ConsoleProgress().task("inspecting", len(images)) as advance:
        for line in listed.lines:
            output.note(line)
        # In the head of the loop, so that an error which leaves it ends the inspection at once.
        for (image, given), (outcome, picture) in zip(
            images,
            _outcomes(detector, [image for image, _ in images], draw=pictures is not None),
            strict=True,
        ):
            _tally(count, outcome)
            if stream is not None:
                _write_line(stream, to_json or "-", json.dumps(outcome.to_json()))
            if to_json != "-":
                output.outcome(outcome)
            elif isinstance(outcome, FailedInspection):
                output.error(outcome.error)
            if pictures is not None and picture is not None:
                write_picture(picture, pictures.path_for(image, given))
            advance(1)
    if to_json != "-":
        output.totals(count.good, count.anomalous, count.unread)
    return count


def _outcomes(
    detector: Detector, images: Iterable[Path], *, draw: bool
) -> Iterator[tuple[Inspection | FailedInspection, bytes | None]]:
    """Yield each outcome with its overlay as a PNG, drawn and encoded where it was inspected."""
    if not draw:
        for outcome in detector.inspect(images):
            yield outcome, None
        return
    for result in detector.inspect_with(images, _encoded_overlay):
        yield (result, None) if isinstance(result, FailedInspection) else result


def _encoded_overlay(inspection: Inspection) -> bytes:
    return png_bytes(draw_overlay(inspection.pixels, inspection))


def _tally(count: Count, outcome: Inspection | FailedInspection) -> None:
    if isinstance(outcome, FailedInspection):
        count.unread += 1
    elif outcome.is_anomalous:
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
        yield sys.stdout
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(target).open("w", encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{target}: expected to write JSON, got: {error.strerror}") from error
        yield stream
