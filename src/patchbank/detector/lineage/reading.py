"""Read the history of a detector file without opening its backbone."""

from __future__ import annotations

from pathlib import Path

from patchbank.detector.bundle import content_digest, read_bundle
from patchbank.detector.lineage.chain import Lineage
from patchbank.detector.lineage.file import unpack_lineage
from patchbank.detector.record_check import check_record
from patchbank.errors import DetectorFileError


def read_lineage(path: Path, sha256: str | None = None) -> tuple[Lineage | None, str]:
    """The history in a detector file, and the digest of its content.

    Args:
        path: of the file.
        sha256: of the file's bytes, where only this file is accepted.

    Raises:
        DetectorFileError: the file is missing, damaged or not the one, or its history was altered.
    """
    bundle = read_bundle(path, sha256)
    try:
        check_record(bundle.record)
        return unpack_lineage(bundle), bundle.sha256 or content_digest(bundle)
    except DetectorFileError as error:
        raise DetectorFileError(f"{path}: {error}") from None
