"""The fit of one product, in a process of its own."""

from __future__ import annotations

import base64
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchbank.backbones import Engine
from patchbank.check import check_photographs
from patchbank.choices import SavedBackbone
from patchbank.datasets import TrainingImages
from patchbank.detector.detector import Detector
from patchbank.detector.fit_facts import FitFacts
from patchbank.errors import BackboneError, DataError
from patchbank.methods import METHODS, Method
from patchbank.products.fitting.record import (
    detector_path,
    file_sha256,
    record_path,
    write_record,
)
from patchbank.report import draw_photograph
from patchbank.runtime.progress import NullProgress
from patchbank.runtime.torch_device import open_device
from patchbank.settings import Settings
from patchbank.training.choose import AutomaticSettings
from patchbank.training.fit import PhotographChoice, fit
from patchbank.training.left_out import LeftOutPhotographs
from patchbank.training.photographs import Remarks

N_ODDEST, ODDEST_PX = 3, 160
"""Pictures of the oddest photographs on the page of all products, and their longer side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Settings and circumstances under which every product of a run is fitted."""

    members: tuple[tuple[str, Settings], ...]
    """Name of the method and settings of each member."""
    fixed: frozenset[str] | None = None
    """Settings that are given, where the others are to be chosen; None where all are given."""
    time_limit_s: float | None = None
    choice: PhotographChoice
    device: str
    engine: Engine
    save_backbone: SavedBackbone = "onnx"

    @classmethod
    def of(
        cls, asked: Sequence[tuple[Method, Settings]] | AutomaticSettings, **others: Any
    ) -> Terms:
        """The terms of what a recipe or the command line asks for."""
        members = tuple((method.name, settings) for method, settings in _parts(asked))
        if not isinstance(asked, AutomaticSettings):
            return cls(members=members, **others)
        return cls(members=members, fixed=asked.fixed, time_limit_s=asked.time_limit_s, **others)

    @property
    def asked(self) -> Sequence[tuple[Method, Settings]] | AutomaticSettings:
        """Method and settings of each member, or the request to choose them."""
        parts = [(METHODS[name], settings) for name, settings in self.members]
        if self.fixed is None:
            return parts
        return AutomaticSettings(*parts[0], self.fixed, self.time_limit_s)


def _parts(
    asked: Sequence[tuple[Method, Settings]] | AutomaticSettings,
) -> Sequence[tuple[Method, Settings]]:
    return asked.parts if isinstance(asked, AutomaticSettings) else asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The fit of one product."""

    product: str
    found: TrainingImages
    out: Path
    fit_sha256: str
    """Digest of photographs and terms, by which a later run knows the fit again."""
    terms: Terms

    def packed(self) -> str:
        """The work as text, which is sent from one process of this program to another."""
        return base64.b64encode(pickle.dumps(self)).decode()

    @classmethod
    def unpacked(cls, text: str) -> Work:
        """The work that `packed` made; only what this program sent itself is given here."""
        work = pickle.loads(base64.b64decode(text))
        if not isinstance(work, cls):
            raise TypeError(f"expected work, got {type(work).__name__}")
        return work


def done(work: Work) -> dict[str, Any]:
    """Check the photographs, fit the detector, and write both it and its record.  -> the record.

    The old record goes first and the new one comes last, so that a record is always that of the
    detector next to it.

    Raises:
        PatchbankError: as `fit`, or a file cannot be written.
    """
    begin, terms = time.monotonic(), work.terms
    checked = check_photographs(work.found.images, scores=False)
    remarks = Remarks(shown=LeftOutPhotographs())
    detector = fit(
        terms.asked,
        work.found,
        NullProgress(),
        open_device(terms.device),
        engine=terms.engine,
        choice=terms.choice,
        remarks=remarks,
    )
    file = detector_path(work.out, work.product)
    try:
        record_path(work.out, work.product).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{file}: expected to replace its record, got: {error.strerror}") from None
    _save(detector, file, terms.save_backbone, remarks)
    facts = FitFacts.of(detector)
    calibration = detector.calibration
    rate = None if calibration.views_of_one else calibration.expected_rate
    content = {
        "product": work.product,
        "fit_sha256": work.fit_sha256,
        "file_sha256": file_sha256(file),
        "file_bytes": file.stat().st_size,
        "photographs": len(facts.names),
        "threshold": calibration.threshold,
        "false_alarm_rate": rate,
        "seconds": time.monotonic() - begin,
        "remarks": [*work.found.lines, *remarks.decisions, *facts.remarks, *remarks.lines],
        "unread": remarks.unread,
        "findings": [finding.to_json() for finding in checked.findings],
        "oddest": _oddest(facts, remarks),
    }
    write_record(work.out, content)
    return content


def _save(detector: Detector, file: Path, backbone: SavedBackbone, remarks: Remarks) -> None:
    try:
        detector.save(file, backbone=backbone)
    except BackboneError as error:
        detector.save(file, backbone="torch")
        remarks.lines.append(f"{error}; saved with its backbone for torch instead")


def _oddest(facts: FitFacts, remarks: Remarks) -> list[dict[str, Any]]:
    """The oddest photographs, each with a small picture if it can be drawn."""
    shown = remarks.shown or LeftOutPhotographs()
    found = []
    for number, inspection in shown.oddest[:N_ODDEST]:
        name = facts.names[number]
        drawn = draw_photograph(name, shown.sources[number], facts.roi, side_px=ODDEST_PX)
        found.append(
            {
                "image": name,
                "score": inspection.score,
                "above_threshold": inspection.is_anomalous,
                "picture": drawn.photograph,
            }
        )
    return found
