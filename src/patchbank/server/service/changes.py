"""Changes of the detector of a product, by the verbs of the library; its file is replaced.

The file is opened, changed and replaced only if it is still the one that was opened, so a person
who changes it on the command line at the same time loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from patchbank.detector.bundle import file_digest
from patchbank.detector.changes import Thresholds, check_thresholds
from patchbank.detector.detector import Detector
from patchbank.detector.lineage.entry import Edit
from patchbank.detector.saving import save_again
from patchbank.errors import BackboneError, DetectorFileError, GuardError, ParameterError
from patchbank.runtime.atomic_file import FileChanged, create_file, replace_file
from patchbank.server.intake import NotRecorded, UnknownProduct
from patchbank.server.service.catalog import (
    Catalog,
    Change,
    DetectorLog,
    Product,
    absolute,
    read_file,
    state_of,
)
from patchbank.server.service.change_requests import Lessons, Said
from patchbank.server.service.errors import ApiError
from patchbank.server.service.versions import SUFFIX, check_name

RETRY_CHANGE_S = 5


@dataclass(slots=True)
class _Facts:
    """Lines about a change, for its answer and for the audit."""

    lines: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


class Changes:
    """Changes the detectors of products, one at a time for each."""

    def __init__(self, catalog: Catalog, log: DetectorLog) -> None:
        self._catalog, self._log = catalog, log

    def tune(self, name: str, thresholds: Thresholds, said: Said) -> dict[str, Any]:
        """Give a detector another false-alarm rate, or thresholds by hand; see `patchbank tune`.

        Raises:
            ParameterError: a value is out of range, or none is given.
        """
        check_thresholds(thresholds)
        if all(value is None for value in thresholds.values()):
            raise ParameterError(
                "false_alarm_rate: expected it, threshold or pixel_threshold, got none of them"
            )

        def tuned(before: Detector, facts: _Facts) -> Detector:
            old = before.calibration.pixel_threshold
            facts.details = {**thresholds, "pixel_threshold_before": old}
            after, rate = before, thresholds.get("false_alarm_rate")
            if rate is not None:
                after = after.with_false_alarm_rate(rate)
            after = after.with_threshold(
                thresholds.get("threshold"), thresholds.get("pixel_threshold")
            )
            return after.recorded(before, Edit("threshold", said.reason, said.caller.name))

        return self._changed(name, "tuned", said, tuned)

    def undo(self, name: str, to: int | None, said: Said) -> dict[str, Any]:
        """Restore an earlier state of a detector; see `patchbank undo`.

        Raises:
            ParameterError: there is no such state.
        """
        return self._changed(
            name,
            "undone",
            said,
            lambda before, _: before.undone(to, reason=said.reason, by=said.caller.name),
        )

    def update(self, name: str, lessons: Lessons, said: Said) -> dict[str, Any]:
        """Let a detector learn, with the guard; see `patchbank update`.

        Raises:
            GuardError: a defect would be lost; the refusal is in the audit.
            PatchbankError: as `Detector.updated`.
        """
        from patchbank.server.service.learning import learned

        def updated(before: Detector, facts: _Facts) -> Detector:
            if lessons.expects not in (None, before.sha256):
                raise ApiError(
                    409,
                    f"{name}: expected the detector of the preview, got another one: it was "
                    "changed since; make a new preview",
                    code="changed_meanwhile",
                )
            after, facts.lines, facts.details = learned(before, lessons, said)
            return after

        try:
            return self._changed(name, "updated", said, updated)
        except GuardError as error:
            details = {"reason": said.reason, "lost": list(error.lost), "message": str(error)}
            self._log.append_audit(said.caller.name, "update_refused", name, details)
            raise

    def activate(self, name: str, sha256: str, said: Said) -> dict[str, Any]:
        """Use a detector again that a product had.

        Raises:
            ApiError: 404 where its copy is not there.
            DetectorFileError: the copy is damaged.
        """
        content = self._catalog.versions.read(name, sha256)
        if content is None:
            raise ApiError(
                404,
                f"sha256: expected a detector that {name} had, got {sha256[:12]}; "
                f"/v1/products/{name}/detectors lists them",
            )
        return self._replaced(name, "activated", said, content)

    def upload(self, name: str, content: bytes, said: Said) -> dict[str, Any]:
        """Use a detector file that was sent; a product of a new name needs the role admin.

        Raises:
            DataError: the name is none for a product.
            DetectorFileError, BackboneError: the file cannot be used.
            ApiError: 403 for a new product without the role.
        """
        check_name(name, "product")
        try:
            self._catalog.product(name)
        except UnknownProduct:
            return self._new(name, content, said)
        return self._replaced(name, "uploaded", said, content)

    def _new(self, name: str, content: bytes, said: Said) -> dict[str, Any]:
        if not said.caller.may("admin"):
            raise ApiError(
                403,
                f"token: expected one with the role admin for a new product, got "
                f"{said.caller.name!r} with the role {said.caller.role}",
            )
        self._catalog.read(content, name)
        file = absolute(self._catalog.folders[-1] / f"{name}{SUFFIX}")
        with self._catalog.adding:
            try:
                create_file(file, content)
            except FileExistsError:
                if read_file(file)[1] != content:  # else it was not recorded the first time
                    raise ApiError(
                        409,
                        f"product: expected a new name, got {name}; its file is "
                        "there and cannot be used",
                    ) from None
            except OSError as error:
                raise _not_written(file.name, len(content), error) from None
            product = self._catalog.add(file, Change("uploaded", said.caller.name, said.reason))
        return _answer(product, "", [], is_changed=True)

    def _replaced(self, name: str, action: str, said: Said, content: bytes) -> dict[str, Any]:
        """Replace the file of a product by other bytes."""
        self._catalog.read(content, name)
        with self._changing(name, is_repair=True) as product:
            before = product.sha256
            try:
                _put(product, content)
            except (FileChanged, FileExistsError):
                raise _changed_meanwhile(name) from None
            except OSError as error:
                raise _not_written(name, len(content), error) from None
            change = Change(action, said.caller.name, said.reason)
            is_changed = self._catalog.take_up(product, change)
            return _answer(product, before, [], is_changed=is_changed)

    def _changed(
        self, name: str, action: str, said: Said, make: Callable[[Detector, _Facts], Detector]
    ) -> dict[str, Any]:
        """Open the file of a product, change the detector, and replace the file."""
        with self._changing(name) as product:
            _, content = read_file(product.path)
            digest = hashlib.sha256(content).hexdigest()
            facts, sha256 = _Facts(), product.sha256
            before = self._catalog.read(content, name)
            after = make(before, facts)
            try:
                save_again(after, product.path, replaces=digest)
            except DetectorFileError as error:
                if file_digest(product.path) != digest:
                    raise _changed_meanwhile(name) from None
                raise NotRecorded(str(error)) from None
            change = Change(action, said.caller.name, said.reason, facts.details)
            is_changed = self._catalog.take_up(product, change)
            return _answer(product, sha256, facts.lines, is_changed=is_changed)

    @contextmanager
    def _changing(self, name: str, *, is_repair: bool = False) -> Iterator[Product]:
        """Hold a product, and take up what was done to its file meanwhile.

        Args:
            name: of the product.
            is_repair: whether the file may be damaged or gone, because it will be replaced.
        """
        product = self._catalog.product(name)
        if not product.changing.acquire(blocking=False):
            raise ApiError(
                409,
                f"{name}: expected no other change at the same time, got one that is under way; "
                "send it again when that is done",
                code="change_under_way",
                retry_s=RETRY_CHANGE_S,
            )
        try:
            self._log.check()  # a file that is replaced is in use, whether that is recorded or not
            try:
                self._catalog.take_up(product, Change("replaced", "file", "the file was replaced"))
            except (DetectorFileError, BackboneError) as error:
                if not is_repair:
                    raise
                product.error = str(error)
            yield product
        finally:
            product.changing.release()


def _put(product: Product, content: bytes) -> None:
    """Replace the file of a product, also where it is damaged or gone.

    Raises:
        FileChanged, FileExistsError: another process has replaced it meanwhile.
        OSError: it cannot be written.
    """
    if product.error is None:
        replace_file(product.path, content, replaces=product.file_sha256)
    elif state_of(product.path) is None:
        create_file(product.path, content, sync=True)
    else:
        replace_file(product.path, content, replaces=file_digest(product.path))


def _answer(
    product: Product, before: str, lines: Sequence[str], *, is_changed: bool
) -> dict[str, Any]:
    return {
        "product": product.name,
        "changed": is_changed,
        "detector_sha256": product.sha256,
        "before_sha256": before or None,
        "threshold": product.threshold,
        "false_alarm_rate": product.false_alarm_rate,
        "lines": list(lines),
    }


def _changed_meanwhile(name: str) -> ApiError:
    return ApiError(
        409,
        f"{name}: expected the file that was opened, got another one: it was changed at the same "
        "time; nothing was written, send it again",
        code="changed_meanwhile",
        retry_s=1,
    )


def _not_written(name: str, n_bytes: int, error: OSError) -> NotRecorded:
    return NotRecorded(
        f"{name}: expected to write {n_bytes:,} bytes, got: {error.strerror}; make room and send "
        "it again"
    )
