"""Saving of a detector that was opened and changed."""

from __future__ import annotations

from pathlib import Path

from patchbank.backbones import runtime_of
from patchbank.detector.detector import Detector


def save_again(detector: Detector, out: Path, replaces: str | None = None) -> None:
    """Save a detector that was loaded; a backbone that was saved for torch stays in that form.

    Args:
        detector: to save.
        out: path of the file.
        replaces: as of `Detector.save`.

    Raises:
        DetectorFileError, BackboneError: as `Detector.save`.
    """
    programs = [runtime_of(member.extractor)[0] for member in detector.members]
    detector.save(out, backbone="torch" if "torch" in programs else "onnx", replaces=replaces)
