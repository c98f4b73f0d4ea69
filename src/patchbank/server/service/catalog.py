"""The products: the file of each is the truth, and a changed one comes into use.

A detector that changes on disk replaces the one before for all photographs that begin afterwards;
those under way end with the old one.  A file that cannot be read leaves the old one in place.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from patchbank.detector.detector import Detector
from patchbank.errors import BackboneError, DataError, DetectorFileError
from patchbank.runtime.logs import LOGGER
from patchbank.server.intake import UnknownProduct
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.entries import AuditEntry, DetectorEntry
from patchbank.server.service.memory import OpenDetectors
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.versions import SUFFIX, Versions, product_name

FileState = tuple[int, int, int]
"""(number of the file, time of modification in ns, bytes)."""


class DetectorLog(Protocol):
    """The part of the records that has the detectors of products."""

    def check(self) -> None:
        """Raise NotRecorded if nothing can be entered now."""
        ...

    def detector_taken_up(self, entry: DetectorEntry) -> None:
        """Enter a detector, in the audit too."""
        ...

    def detectors(self, product: str) -> Sequence[DetectorEntry]:
        """All detectors of a product, newest first."""
        ...

    def append_audit(
        self, by: str, action: str, product: str | None, details: Mapping[str, Any]
    ) -> AuditEntry:
        """Enter an action."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """The reason why a detector comes into use."""

    action: str
    by: str = "local"
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further facts for the audit; none for no further entry."""


@dataclass(slots=True)
class Product:
    """A product with the detector that is in use."""

    name: str
    path: Path
    """Detector file, which the service replaces when it changes the detector."""
    sha256: str = ""
    """Digest of the content, as inspections name it."""
    file_sha256: str = ""
    """Digest of the bytes of the file, or of the one before if that is damaged."""
    n_bytes: int = 0
    threshold: float = 0.0
    false_alarm_rate: float = 0.0
    since: datetime | None = None
    error: str | None = None
    """Reason why the file as it is now is not in use; None if it is."""
    state: FileState | None = None
    """State of the file when it was read."""
    changing: threading.Lock = field(default_factory=threading.Lock)
    """Held while the service changes the detector."""
    taking: threading.RLock = field(default_factory=threading.RLock)


class Catalog:
    """All products, and the detectors that are open."""

    def __init__(self, settings: ServiceSettings, folder: DataFolder, log: DetectorLog) -> None:
        """Begin without a product; `open` adds them."""
        self.versions, self._uploads = Versions(folder.versions), folder.detectors
        self.settings, self._log = settings, log
        self._products: dict[str, Product] = {}
        self._folders: list[Path] = []
        self._not_entered: dict[Path, tuple[str, Change]] = {}
        """Digests of files whose change the records did not take yet."""
        self._opened = OpenDetectors(
            settings.products_mb, settings.device, settings.engine, self.content
        )
        self._memory = self._opened.memory
        self._lock = threading.Lock()
        self.adding = threading.RLock()
        """Held while a product is added, or the file of a new one is written."""

    def open(self, given: Iterable[Path]) -> None:
        """Open detector files, and those in folders and among the uploads.

        A file of a folder that cannot be used is named in the log, and keeps no other product from
        its line; `file_watch` adds it once it is whole.

        Raises:
            DataError: a path is not there, two files have one name, or there is none.
            DetectorFileError, BackboneError: a given file cannot be used.
            NotRecorded: the records take no entry.
        """
        files: list[Path] = []
        for path in given:
            if path.is_dir():
                self._folders.append(path)
            else:
                files.append(path)
        self._folders.append(self._uploads)
        for file in files:
            self.add(absolute(file), Change("served"))
        for folder in self._folders:
            for file in map(absolute, files_in(folder)):
                try:
                    self.add(file, Change("served"))
                except (DetectorFileError, BackboneError) as error:
                    LOGGER.error("no product: %s", error)

    @property
    def folders(self) -> list[Path]:
        """Folders whose detector files are products, the uploads last."""
        return self._folders

    def add(self, file: Path, change: Change) -> Product:
        """Open the detector file of a product that is new.

        Raises:
            DataError: its name is none for a product, or another file has it.
            DetectorFileError, BackboneError: it cannot be used.
            NotRecorded: the records take no entry.
        """
        name = product_name(file)
        with self.adding:
            other = self._products.get(name)
            if other is not None and other.path != file:
                raise DataError(
                    f"{file}: expected another name than those of the other products, got "
                    f"{name!r} as of {other.path}; rename one of them"
                )
            if other is not None:
                return other
            product = Product(name, file)
            self.take_up(product, change)
            with self._lock:
                self._products[name] = product
            return product

    @property
    def products(self) -> list[Product]:
        """All products by their name."""
        with self._lock:
            return [self._products[name] for name in sorted(self._products)]

    def product(self, name: str) -> Product:
        """The product of a name.

        Raises:
            UnknownProduct: there is none.
        """
        found = self._products.get(name)
        if found is None:
            known = ", ".join(sorted(self._products)) or "none"
            raise UnknownProduct(f"product: expected one of {known}, got {name[:120]!r}")
        return found

    def file_in_use(self, name: str) -> Path | None:
        """The copy of the detector that a product uses; None for a name without a product."""
        found = self._products.get(name)
        return None if found is None else self.versions.path(name, found.sha256)

    def detector(self, product: Product) -> Detector:
        """The detector in use; opened again if others have got its memory.

        Raises:
            DetectorFileError: neither its file nor its copy is there any more.
        """
        return self.version(product.name, product.sha256)

    def version(self, product: str, sha256: str) -> Detector:
        """A detector that a product has or had.

        Raises:
            DetectorFileError: its copy is not there any more, or damaged.
        """
        return self._opened.version(product, sha256)

    def content(self, product: str, sha256: str) -> bytes:
        """The bytes of the file of a detector that a product has or had.

        Raises:
            DetectorFileError: its copy is not there any more.
        """
        content = self.versions.read(product, sha256) or self._own_file(product, sha256)
        if content is None:
            raise DetectorFileError(
                f"{product}: expected the detector {sha256[:12]} among the versions, got "
                "nothing of that name; restore it from the backup"
            )
        return content

    def _own_file(self, name: str, sha256: str) -> bytes | None:
        """The bytes of the file of a product, which are copied again; None if it is another one."""
        product = self._products.get(name)
        if product is None or product.sha256 != sha256:
            return None
        _, content = read_file(product.path)
        if hashlib.sha256(content).hexdigest() != product.file_sha256:
            return None
        self.versions.keep(name, sha256, content)
        return content

    def read(self, content: bytes, name: str) -> Detector:
        """Open the bytes of a detector file.

        Raises:
            DetectorFileError, BackboneError: it cannot be used.
        """
        return self._opened.read(content, name)

    def take_up(self, product: Product, change: Change) -> bool:
        """Read the file of a product, and use it from now on.  -> whether it was another one.

        Raises:
            DetectorFileError, BackboneError: it cannot be used; the one before stays in use.
            NotRecorded: the records take no entry; likewise.
        """
        with product.taking:
            state, content = read_file(product.path)
            file_sha256 = hashlib.sha256(content).hexdigest()
            if file_sha256 == product.file_sha256:
                product.state, product.error = state, None
                return False
            detector = self.read(content, str(product.path))
            self._enter(product, detector, content, self._reason_of(product, file_sha256, change))
            self._memory.keep((product.name, detector.sha256), detector, len(content))
            self._not_entered.pop(product.path, None)
            product.sha256, product.file_sha256 = detector.sha256, file_sha256
            product.threshold = detector.calibration.threshold
            product.false_alarm_rate = detector.calibration.false_alarm_rate
            product.n_bytes, product.since = len(content), datetime.now(timezone.utc)
            product.state, product.error = state, None
        LOGGER.info("%s: %s, threshold %.4g", product.name, change.action, product.threshold)
        return True

    def status(self) -> list[dict[str, Any]]:
        """Facts of each product that people have to know."""
        in_memory = self._memory.keys()
        return [
            {
                "product": each.name,
                "in_memory": (each.name, each.sha256) in in_memory,
                "error": each.error,
            }
            for each in self.products
        ]

    def is_open(self, product: Product) -> bool:
        """Whether the detector of a product is in memory."""
        return (product.name, product.sha256) in self._memory

    @property
    def n_open(self) -> int:
        """Number of detectors that are open."""
        return len(self._memory.keys())

    def _reason_of(self, product: Product, file_sha256: str, change: Change) -> Change:
        """The reason why a file is as it is: it was noted where the records did not take it."""
        noted = self._not_entered.setdefault(product.path, (file_sha256, change))
        if noted[0] != file_sha256:
            noted = self._not_entered[product.path] = file_sha256, change
        return noted[1]

    def _enter(self, product: Product, detector: Detector, content: bytes, change: Change) -> None:
        """Copy a detector, and enter it in the records."""
        calibration = detector.calibration
        self.versions.keep(product.name, detector.sha256, content)
        if change.action == "served":
            known = self._log.detectors(product.name)
            if known and known[0].sha256 == detector.sha256:
                return
        entry = DetectorEntry(
            product=product.name,
            sha256=detector.sha256,
            time=datetime.now(timezone.utc),
            action=change.action,
            by=change.by,
            reason=change.reason,
            threshold=calibration.threshold,
            false_alarm_rate=calibration.false_alarm_rate,
        )
        self._log.detector_taken_up(entry)
        if change.details:
            details = {**change.details, "pixel_threshold": calibration.pixel_threshold}
            self._log.append_audit(change.by, f"{change.action}: details", product.name, details)


def read_file(path: Path) -> tuple[FileState | None, bytes]:
    """The state of a file, and its bytes."""
    state = state_of(path)
    try:
        return state, path.read_bytes()
    except OSError as error:
        raise DetectorFileError(
            f"{path}: expected a detector file, got: {error.strerror}"
        ) from None


def state_of(path: Path) -> FileState | None:
    """The state of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def absolute(file: Path) -> Path:
    """The whole path of a file; a link stays one, as its name is that of the product."""
    return Path(os.path.abspath(file))


def files_in(folder: Path) -> list[Path]:
    """The detector files of a folder by their name."""
    try:
        return sorted(file for file in folder.iterdir() if file.suffix == SUFFIX)
    except OSError:
        return []
