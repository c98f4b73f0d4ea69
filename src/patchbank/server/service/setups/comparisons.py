"""Comparisons of two detectors of a product on its last kept parts, each in a folder of its own."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from patchbank.runtime.atomic_file import make_folders, replace_file
from patchbank.runtime.printable import json_text
from patchbank.server.records.entries import Filter, StoredInspection, iso_utc
from patchbank.server.records.pictures import Pictures
from patchbank.server.records.store import Records
from patchbank.server.service.child import run_in_child
from patchbank.server.service.errors import ApiError
from patchbank.server.service.jobs import Job, Jobs
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.setups.setup import read_json
from patchbank.server.service.versions import Versions

KIND = "comparison"
KEPT_DAYS = 14
MOST_SEARCHED = 5000
"""Inspections among which kept ones are looked for."""
AT_ONCE = 500


class Comparisons:
    """Compares two detectors, and keeps what was found."""

    def __init__(
        self,
        folder: Path,
        versions: Versions,
        records: Records,
        pictures: Pictures,
        jobs: Jobs,
        settings: ServiceSettings,
    ) -> None:
        self._folder, self._versions, self._jobs = folder, versions, jobs
        self._records, self._pictures, self._settings = records, pictures, settings
        self._lock = threading.Lock()

    def start(self, product: str, sha256s: tuple[str, str], n_parts: int, by: str) -> Job:
        """Compare two detectors that a product had, on its last kept parts.

        Raises:
            ApiError: 404 where a detector is not there, 422 for one detector twice.
        """
        files = [self._versions.path(product, one) for one in sha256s]
        for file, sha256 in zip(files, sha256s, strict=True):
            if not file.is_file():
                raise ApiError(
                    404, f"sha256: expected a detector that {product} had, got {sha256[:12]}"
                )
        if sha256s[0] == sha256s[1]:
            raise ApiError(422, "b: expected another detector than a, got the same")

        def work(job: Job) -> dict[str, Any]:
            return self._compared(job, product, sha256s, n_parts)

        return self._jobs.start(Job(KIND, product, by), work)

    def _compared(
        self, job: Job, product: str, sha256s: tuple[str, str], n_parts: int
    ) -> dict[str, Any]:
        parts = self._kept(product, n_parts)
        if not parts:
            raise ApiError(
                422,
                f"{product}: expected inspections whose photographs are kept, got none; inspect "
                "some first, or start the service with a higher --keep-good",
            )
        final = self._folder / job.id
        making = final.with_suffix(".making")
        try:
            make_folders(making)
            found = run_in_child(
                job,
                "compare",
                {
                    "detectors": [
                        [one, str(self._versions.path(product, one).absolute())] for one in sha256s
                    ],
                    "photographs": [
                        [one.id, str(self._pictures.path(str(one.photograph)).absolute())]
                        for one in parts
                    ],
                    "folder": str(making.absolute()),
                    "device": self._settings.device,
                    "engine": self._settings.engine,
                },
            )
            reviews = {one.id: one.review for one in parts}
            for each in found["images"]:
                each["review"] = reviews[each["inspection"]]
            content = {"id": job.id, "product": product, "by": job.by, "time": iso_utc(job.started)}
            replace_file(making / "comparison.json", json_text(content | found).encode())
            making.rename(final)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return {"comparison": job.id, "photographs": found["photographs"], **_counts(found)}

    def find(self, product: str, comparison_id: str) -> dict[str, Any]:
        """A comparison.

        Raises:
            ApiError: 404 where there is none.
        """
        found = read_json(self._folder / comparison_id / "comparison.json")
        if found is None or found.get("product") != product:
            raise ApiError(404, "comparison: expected the id of one that is kept, got another")
        return found

    def report(self, product: str, comparison_id: str) -> bytes:
        """The page of a comparison, as `patchbank compare --report` writes it.

        Raises:
            ApiError: 404 where there is none.
        """
        self.find(product, comparison_id)
        return (self._folder / comparison_id / "index.html").read_bytes()

    def tidy(self, now: float | None = None) -> int:
        """Remove comparisons of days ago.  -> number of them."""
        limit = (time.time() if now is None else now) - 86400 * KEPT_DAYS
        gone = 0
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            with suppress(OSError):
                if folder.stat().st_mtime < limit:
                    shutil.rmtree(folder)
                    gone += 1
        return gone

    def _kept(self, product: str, n_parts: int) -> Sequence[StoredInspection]:
        """The last inspections whose photographs are on the disk, the newest first."""
        kept: list[StoredInspection] = []
        cursor, n_searched = None, 0
        while n_searched < MOST_SEARCHED:
            wanted = Filter(product=product)
            page = self._records.inspections(wanted, limit=AT_ONCE, cursor=cursor)
            for one in page.inspections:
                is_kept = one.photograph is not None and one.verdict != "unread"
                if is_kept and self._pictures.has(str(one.photograph)):
                    kept.append(one)
                    if len(kept) == n_parts:
                        return kept
            cursor, n_searched = page.cursor, n_searched + AT_ONCE
            if cursor is None:
                break
        return kept


def _counts(found: dict[str, Any]) -> dict[str, int]:
    """Numbers of verdicts that differ."""
    changed = [one for one in found["images"] if one["changed"]]
    return {
        "changed": len(changed),
        "newly_flagged": sum(one["b"]["anomalous"] for one in changed),
        "newly_passed": sum(one["a"]["anomalous"] for one in changed),
    }
