"""The record of a fitted product: what its detector was made from.

It is what makes a second run skip the product: the digests of photographs and settings are those
of the new run, and the detector file is the one that was written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchbank.datasets import TrainingImages
from patchbank.errors import DataError
from patchbank.images.source import image_source
from patchbank.runtime.atomic_file import make_folders, replace_file
from patchbank.runtime.digest import file_sha256
from patchbank.runtime.printable import json_text

SUFFIX = ".patchbank"
RECORDS = "records"
"""Folder of the records, in that of the detectors."""
_KEYS = frozenset(
    {
        *("product", "fit_sha256", "file_sha256", "file_bytes", "photographs", "threshold"),
        *("false_alarm_rate", "seconds", "remarks", "unread", "findings", "oddest"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductFit:
    """The fit of one product, or why there is none."""

    product: str
    error: str | None = None
    """Why it has no detector; None if it has one."""
    is_kept: bool = False
    """Whether the detector is that of an earlier run."""
    file: Path | None = None
    """Detector file; None without a detector."""
    photographs: int = 0
    """Good photographs that were learned."""
    threshold: float | None = None
    false_alarm_rate: float | None = None
    """Share of good parts that is expected above the threshold; None where it is not known."""
    seconds: float | None = None
    """Time of the fit and the check."""
    file_bytes: int | None = None
    remarks: tuple[str, ...] = ()
    """Lines of the fit about photographs and threshold."""
    unread: tuple[str, ...] = ()
    """Errors of photographs that were left out."""
    findings: tuple[Mapping[str, Any], ...] = ()
    """Findings of `check_photographs`, as its JSON has them."""
    oddest: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """The good photographs of the highest scores when left out: ``image``, ``score``,
    ``above_threshold``, and ``picture``, a data URL."""

    @property
    def n_to_decide(self) -> int:
        """Photographs and files that a finding is about."""
        return len({one["name"] for finding in self.findings for one in finding["photographs"]})

    def to_json(self) -> dict[str, Any]:
        """The object of the product in ``products.json``, without pictures."""
        return {
            "product": self.product,
            "error": self.error,
            "kept": self.is_kept,
            "file": None if self.file is None else self.file.name,
            "file_bytes": self.file_bytes,
            "good_photographs": self.photographs,
            "threshold": self.threshold,
            "expected_false_alarm_rate": self.false_alarm_rate,
            "seconds": self.seconds,
            "remarks": list(self.remarks),
            "unread": list(self.unread),
            "findings": [dict(one) for one in self.findings],
            "oddest": [
                {key: one[key] for key in ("image", "score", "above_threshold")}
                for one in self.oddest
            ],
        }


def detector_path(out: Path, product: str) -> Path:
    """Path of the detector of a product."""
    return out / f"{product}{SUFFIX}"


def record_path(out: Path, product: str) -> Path:
    """Path of the record of a product."""
    return out / RECORDS / f"{product}.json"


def write_record(out: Path, content: Mapping[str, Any]) -> None:
    """Write the record of a product, once its detector is written.

    Raises:
        DataError: it cannot be written.
    """
    path = record_path(out, content["product"])
    try:
        make_folders(path.parent)
        replace_file(path, json_text(content).encode())
    except OSError as error:
        raise DataError(f"{path}: expected to write the record, got: {error.strerror}") from None


def read_record(out: Path, product: str) -> Mapping[str, Any] | None:
    """The record of a product; None where there is none that can be used."""
    try:
        content = json.loads(record_path(out, product).read_bytes())
    except (OSError, ValueError):
        return None
    is_whole = isinstance(content, dict) and content.keys() >= _KEYS
    return content if is_whole and content["product"] == product else None


def fit_of(content: Mapping[str, Any], out: Path, *, is_kept: bool) -> ProductFit:
    """The fit that a record describes."""
    return ProductFit(
        product=content["product"],
        is_kept=is_kept,
        file=detector_path(out, content["product"]),
        photographs=content["photographs"],
        threshold=content["threshold"],
        false_alarm_rate=content["false_alarm_rate"],
        seconds=content["seconds"],
        file_bytes=content["file_bytes"],
        remarks=tuple(content["remarks"]),
        unread=tuple(content["unread"]),
        findings=tuple(content["findings"]),
        oddest=tuple(content["oddest"]),
    )


def photographs_sha256(found: TrainingImages, root: Path) -> str:
    """SHA-256 over the names below `root`, the groups and the contents of photographs.

    A file that cannot be read counts as none: the fit names it.
    """
    digest = hashlib.sha256(repr(found.groups).encode())
    for image in found.images:
        content = image_source(image).content
        if not isinstance(content, Path):
            continue
        name = os.path.relpath(content, root)
        digest.update(f"\0{len(os.fsencode(name))}\0".encode() + os.fsencode(name))
        try:
            digest.update(bytes.fromhex(file_sha256(content)))
        except OSError:
            digest.update(b"unreadable")
    return digest.hexdigest()


def settings_sha256(parts: Sequence[Any]) -> str:
    """SHA-256 over whatever decides how a detector is fitted: plain values, in order."""
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
