"""Printed texts of the commands: results on standard output, notes and errors on standard error."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from patchbank.errors import DataError
from patchbank.runtime.atomic_file import replace_file
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import json_text, one_line, printable

if TYPE_CHECKING:
    from patchbank.backbones import BackboneInfo
    from patchbank.detector.detector import Detector
    from patchbank.detector.inspection import FailedInspection, Inspection
    from patchbank.detector.member import Member
    from patchbank.detector.settings_choice import SettingsChoice
    from patchbank.evaluation.evaluate import Evaluation
    from patchbank.training.photographs import Remarks

SCHEMA_VERSION = 1
"""Version of `docs/schemas/{info,backbones,benchmark}.schema.json`."""


def say(text: str) -> None:
    """Print one line of a result on standard output, in which names are escaped."""
    print(printable(text))


def error(text: str) -> None:
    """Print an error as one line on standard error."""
    note(f"error: {text}")


def note(text: str) -> None:
    """Print a note as one line on standard error."""
    print(printable(text), file=sys.stderr)


def notes(lines: Iterable[str]) -> None:
    """Print lines as notes, one line each on standard error."""
    for line in lines:
        note(f"note: {line}")


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print warnings, and those that are logged, as one line each without source text."""
    with warnings.catch_warnings():

        def show_note(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            note(f"warning: {one_line(str(message))}")

        warnings.showwarning = show_note
        # Decoders describe damage of EXIF data, which are ignored; other damage is an error.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        handler = _Notes(logging.WARNING)
        LOGGER.addHandler(handler)
        try:
            yield
        finally:
            LOGGER.removeHandler(handler)


class _Notes(logging.Handler):
    """Prints what the package logs as notes, but for results, which commands print themselves."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        if not hasattr(record, "failed"):
            note(f"{record.levelname.lower()}: {record.getMessage()}")


def write_json(content: Any, target: str) -> None:
    """Write one JSON document to a file, or to standard output for ``-``."""
    text = json_text(content, indent=2) + "\n"
    if target == "-":
        json_stream().write(text)
        return
    try:
        replace_file(Path(target), text.encode())
    except OSError as error:
        raise DataError(f"{target}: expected to write JSON, got: {error.strerror}") from error


@contextmanager
def json_lines(target: str) -> Iterator[TextIO]:
    """A file of JSON lines, or standard output for ``-``.

    Raises:
        DataError: it cannot be written.
    """
    if target == "-":
        yield json_stream()
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(target).open("w", encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{target}: expected to write JSON, got: {error.strerror}") from error
        yield stream


def write_line(stream: TextIO, target: str, line: str) -> None:
    """Write a line of JSON at once.

    Raises:
        DataError: it cannot be written.
    """
    try:
        stream.write(line + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"{target}: expected to write JSON, got: {error.strerror}") from error


def json_stream() -> TextIO:
    """Standard output for JSON, which is UTF-8 whatever the locale says."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8")
    return stream


def stamp(detector: Detector) -> dict[str, str]:
    """Keys of JSON that name the program and the detector."""
    return {**stamp_of_program(), "detector_sha256": detector.sha256}


def stamp_of_program() -> dict[str, str]:
    """The key of JSON that names the program."""
    from patchbank import __version__

    return {"version": str(__version__)}


def stamped(record: Mapping[str, Any], stamp: Mapping[str, str]) -> dict[str, Any]:
    """A record of JSON with the keys of `stamp` after the version of its schema."""
    return {"schema_version": record["schema_version"], **stamp, **record}


def fitted(detector: Detector, path: Path) -> None:
    """Print the result of `fit`."""
    from patchbank.detector.fit_facts import FitFacts
    from patchbank.runtime.percent import percent

    facts, calibration = FitFacts.of(detector), detector.calibration
    rate = percent(calibration.expected_rate)
    rate = "(false alarms not known)" if calibration.views_of_one else f"for {rate} false alarms"
    say(
        f"{path}: {facts.sample}, threshold {calibration.threshold:.4g} {rate}, "
        f"{path.stat().st_size / 1e6:.1f} MB"
    )
    for line in facts.lines:
        say(f"  {line}")
    for member in detector.members:
        shown = [
            f"{name} {_short(v)}" for name, v in member.model.summary().items() if v is not None
        ]
        say(f"  {member.method} on {member.extractor.info.name}: {', '.join(shown)}")
    if detector.settings_choice is not None:
        _settings_choice(detector.settings_choice)
    for remark in facts.remarks:
        note(f"note: {remark}")


def _settings_choice(choice: SettingsChoice) -> None:
    """Print how settings were chosen, and what was tried, the best first."""
    for line in choice.lines:
        say(f"  {line}")
    width = max((len(text) for text, _, _ in choice.table), default=0)
    for text, auroc, remark in choice.table:
        say(f"    {text:<{width}}  AUROC {auroc}  {remark}".rstrip())


def fit_remarks(remarks: Remarks) -> None:
    """Print what `fit` found out about the photographs, and those that were left out."""
    for unread in remarks.unread:
        error(f"left out: {unread}")
    notes([*remarks.decisions, *remarks.lines])


def _short(value: object) -> str:
    """A fact of a model: numbers short, all others as they are."""
    if isinstance(value, float):
        return f"{value:.4g}"
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_count else str(value)


def outcome(result: Inspection | FailedInspection) -> None:
    """Print one line for one image."""
    from patchbank.detector.inspection import FailedInspection

    if isinstance(result, FailedInspection):
        error(result.error)
        return
    verdict(
        result.image,
        is_anomalous=result.is_anomalous,
        score=result.score,
        p_value=result.p_value,
        regions=result.regions,
        route=None if result.route is None else str(result.route),
    )


class Box(Protocol):
    """A region, as far as it is printed."""

    @property
    def left(self) -> int:
        """Column of its left edge."""

    @property
    def top(self) -> int:
        """Row of its upper edge."""

    @property
    def width(self) -> int:
        """Number of its columns."""

    @property
    def height(self) -> int:
        """Number of its rows."""


def verdict(
    image: str,
    *,
    is_anomalous: bool,
    score: float,
    p_value: float,
    regions: Sequence[Box],
    route: str | None = None,
) -> None:
    """Print one line for one image that was inspected."""
    shown = "ANOMALOUS" if is_anomalous else "good"
    where = ""
    if regions:
        worst = regions[0]
        where = f"  at {worst.left},{worst.top} {worst.width}x{worst.height}"
        where += f" (+{len(regions) - 1})" if len(regions) > 1 else ""
    product = "" if route is None else f"  ({route})"
    say(f"{shown:<9}  {score:9.4g}  p={p_value:<7.2g} {image}{where}{product}")


def totals(good: int, anomalous: int, unread: int, unknown: int = 0) -> None:
    """Print the last line of `predict`."""
    rest = f", {unknown} of none of the products" if unknown else ""
    say(f"{good} good, {anomalous} anomalous, {unread} not readable{rest}")


def show_evaluation(evaluation: Evaluation) -> None:
    """Print metrics as a table."""
    from patchbank.runtime.percent import percent, percent_to_a_tenth

    figures = evaluation.to_json()
    del figures["schema_version"]
    rows = [(name, figures[name]) for name in figures if isinstance(figures[name], (int, float))]
    for name, value in rows:
        say(f"{name:<18} {value:.4f}" if isinstance(value, float) else f"{name:<18} {value}")
    head = ("image AUROC", "pixel AUROC", "AUPRO", "found")
    say("")
    say(f"{'defect':<22} {'images':>6} {head[0]:>12} {head[1]:>12} {head[2]:>8} {head[3]:>8}")
    for name, result in evaluation.per_defect.items():
        pixel = f"{result.pixel_auroc:.4f}" if result.pixel_auroc is not None else "-"
        aupro = f"{result.aupro:.4f}" if result.aupro is not None else "-"
        say(
            f"{name:<22} {result.n:>6} {result.image_auroc:>12.4f} {pixel:>12} {aupro:>8} "
            f"{percent_to_a_tenth(result.detection_rate):>8}"
        )
    if evaluation.by_rate:
        say("")
        say(f"{'false-alarm rate':<22} {'threshold':>12} {'found':>12} {'good flagged':>14}")
    for one in evaluation.by_rate:
        found, flagged = map(percent_to_a_tenth, (one.detection_rate, one.false_alarm_rate))
        say(f"{percent(one.asked_rate):<22} {one.threshold:>12.4g} {found:>12} {flagged:>14}")
    for line in evaluation.findings:
        note(f"note: {line}")


def detector_summary(detector: Detector) -> dict[str, Any]:
    """All facts that `patchbank info` prints."""
    from patchbank.core import int8
    from patchbank.detector.fit_facts import FitFacts

    return {
        **FitFacts.of(detector).to_json(),
        "region_of_interest": detector.roi.to_json() if detector.roi else None,
        "settings_choice": detector.settings_choice.to_json() if detector.settings_choice else None,
        "history": detector.lineage.summary() if detector.lineage else None,
        "photographs": detector.likeness.to_json() if detector.likeness else None,
        "pictures": detector.photographs.to_json() if detector.photographs else None,
        "remembered_defects": len(detector.remembered),
        "members": [_member_summary(member) for member in detector.members],
        "card": detector.card.to_json(),
        "versions": dict(detector.versions),
        "native_kernel": int8.status(),
    }


def _member_summary(member: Member) -> dict[str, Any]:
    from patchbank.backbones import runtime_of

    info = member.extractor.info
    program, precision = runtime_of(member.extractor)
    return {
        "method": member.method,
        **member.model.summary(),
        "backbone": info.name,
        "layers": list(member.extractor.layers),
        "backbone_runs_in": program,
        "backbone_precision": precision,
        "backbone_sha256": info.sha256,
        "backbone_weights_sha256": info.source_sha256 or info.sha256,
        "backbone_license": info.license,
        "backbone_source": info.source,
        "settings": member.settings.to_mapping(),
    }


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print the facts of a detector; lists of photographs and of thresholds are a line each."""
    from patchbank.detector.settings_choice import SettingsChoice
    from patchbank.images.folders import few

    photographs = {
        name: few([f"{one['image']} {one['score']:.4g}" for one in facts[name]], "photograph")
        for name in ("above_threshold", "unlike_others")
    }
    thresholds = [
        f"{one['threshold']:.4g} at {one['false_alarm_rate']:g}" for one in facts["thresholds"]
    ]
    choice = facts["settings_choice"]
    if choice is not None:
        made = SettingsChoice.from_json(choice)
        tried = {text: f"AUROC {auroc} {remark}".rstrip() for text, auroc, remark in made.table}
        choice = {**choice, "trials": tried}
    lines = {"thresholds": few(thresholds, "threshold"), "settings_choice": choice}
    show_summary({**facts, **photographs, **lines})


def show_summary(facts: Mapping[str, Any], indent: str = "") -> None:
    """Print facts, one a line."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            say(f"{indent}{name}")
            show_summary(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for entry in value:
                show_summary({name.removesuffix("s"): entry}, indent)
        else:
            say(f"{indent}{name:<{28 - len(indent)}} {value}")


def show_backbones(infos: Sequence[BackboneInfo]) -> None:
    """Print each backbone with its layers; a star marks the default layers."""
    for info in infos:
        low = [(0 - m) / s for m, s in zip(info.mean, info.std, strict=True)]
        high = [(1 - m) / s for m, s in zip(info.mean, info.std, strict=True)]
        size = f"{info.input_size[0]} x {info.input_size[1]}" if info.input_size else "any"
        say(f"{info.name}  {info.license}  {info.source}")
        say(
            f"  input   RGB {min(low):.3g} to {max(high):.3g}, size {size}, "
            f"multiples of {info.size_multiple}"
        )
        for name, layer in info.available_layers.items():
            star = "*" if name in info.default_layers else " "
            say(f"  {star} {name:<12} stride {layer.stride:>2}  {layer.channels:>4} channels")
        if info.sha256:
            say(f"  sha256  {info.sha256}")
