"""Saving of a detector that was opened, and files of detectors for others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from patchbank.backbones import runtime_of
from patchbank.detector.bundle import file_digest
from patchbank.detector.detector import Detector
from patchbank.detector.loading import load


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


def written_to(out: Path, detector: Detector | str | os.PathLike[str]) -> Detector:
    """Write a detector to a file, or copy its file as it is; -> the detector in the new file.

    Raises:
        DetectorFileError: the file is no detector file, or cannot be read or written.
    """
    if isinstance(detector, Detector):
        save_again(detector, out)
    else:
        file_digest(Path(detector))  # names what cannot be read
        shutil.copyfile(detector, out)
    return load(out, device="cpu")
