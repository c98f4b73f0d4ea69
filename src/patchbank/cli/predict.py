"""The work of `patchbank predict`: a line, a JSON line and a picture for each image."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from patchbank.cli import output
from patchbank.cli.progress import ConsoleProgress
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import DataError
from patchbank.images.folders import list_images


@dataclass(slots=True)
class Count:
    """How many images came to what."""

    good: int = 0
    anomalous: int = 0
    unread: int = 0


def inspect_paths(
    detector: Detector, paths: list[Path], out: Path | None, to_json: str | None
) -> Count:
    """Inspect images and folders; write what was asked for; count."""
    images = [(Path(str(image)), path) for path in paths for image in list_images(path)]
    pictures = Pictures(out, [image for image, _ in images]) if out is not None else None
    count = Count()
    lines = _lines(to_json) if to_json is not None else nullcontext(None)
    with lines as stream, ConsoleProgress().task("inspecting", len(images)) as advance:
        outcomes = detector.inspect(image for image, _ in images)
        for (image, given), outcome in zip(images, outcomes, strict=True):
            _tally(count, outcome)
            if stream is not None:
                _write_line(stream, to_json or "-", json.dumps(outcome.to_json()))
            if to_json != "-":
                output.outcome(outcome)
            elif isinstance(outcome, FailedInspection):
                output.error(outcome.error)
            if pictures is not None and isinstance(outcome, Inspection):
                outcome.save(pictures.path_for(image, given))
            advance(1)
    if to_json != "-":
        output.totals(count.good, count.anomalous, count.unread)
    return count


class Pictures:
    """Names the overlay of each image, in the folders of the image, and none twice."""

    def __init__(self, folder: Path, images: list[Path]) -> None:
        self.folder = folder
        self._taken: set[Path] = set()
        self._photographs = {image.resolve() for image in images}

    def path_for(self, image: Path, given: Path) -> Path:
        """The path of the overlay of `image`, which was found below `given` or is it."""
        inside = image.relative_to(given) if image != given else Path(image.name)
        path = self.folder / inside.with_suffix(".png")
        if path in self._taken:
            path = self.folder / inside.with_name(f"{inside.name}.png")
        number = 2
        while path in self._taken:
            path = self.folder / inside.with_name(f"{inside.stem}-{number}.png")
            number += 1
        if path.resolve() in self._photographs:
            raise DataError(
                f"{path}: expected a place for an overlay, got a photograph to inspect; "
                "give --out another folder"
            )
        self._taken.add(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{path.parent}: expected a folder for pictures, got: {error.strerror}"
            ) from error
        return path


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
