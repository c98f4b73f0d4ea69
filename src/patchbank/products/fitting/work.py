"""The fit of one product, in a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from patchbank.check import check_photographs
from patchbank.choices import SavedBackbone
from patchbank.datasets import TrainingImages
from patchbank.detector.detector import Detector
from patchbank.detector.fit_facts import FitFacts
from patchbank.errors import BackboneError, DataError
from patchbank.products.fitting.record import (
    detector_path,
    record_path,
    write_record,
)
from patchbank.products.fitting.terms import Terms
from patchbank.report import draw_photograph
from patchbank.runtime.digest import file_sha256
from patchbank.runtime.progress import NullProgress
from patchbank.runtime.torch_device import open_device
from patchbank.training.fit import fit
from patchbank.training.left_out import LeftOutPhotographs
from patchbank.training.photographs import Remarks

N_ODDEST, ODDEST_PX = 3, 160
"""Pictures of the oddest photographs on the page of all products, and their longer side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The fit of one product."""

    product: str
    found: TrainingImages
    out: Path
    fit_sha256: str
    """Digest of photographs and terms, by which a later run knows the fit again."""
    terms: Terms

    def to_json(self) -> dict[str, Any]:
        """The work as JSON, which is sent to another process of this program."""
        images = cast(Sequence[Path], self.found.images)  # `find_products` finds files alone
        return {
            "product": self.product,
            "images": [os.fspath(path) for path in images],
            "notes": self.found.notes,
            "not_read": [os.fspath(path) for path in self.found.not_read],
            "groups": self.found.groups,
            "out": os.fspath(self.out),
            "fit_sha256": self.fit_sha256,
            "terms": self.terms.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Work:
        """The work that `to_json` wrote.

        Raises:
            ParameterError: a setting is not one.
        """
        groups = content["groups"]
        return cls(
            product=content["product"],
            found=TrainingImages(
                images=tuple(map(Path, content["images"])),
                notes=tuple(content["notes"]),
                not_read=tuple(map(Path, content["not_read"])),
                groups=None if groups is None else tuple(groups),
            ),
            out=Path(content["out"]),
            fit_sha256=content["fit_sha256"],
            terms=Terms.from_json(content["terms"]),
        )


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
