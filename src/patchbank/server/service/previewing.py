"""Previews of updates: what would change, before anything is changed.

The detector learns in memory, the guard looks for defects, and the last parts are judged by the new
one.  A part that was good stays good where a law says so (`detector.growth`); others are inspected
again, as far as their photographs are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from patchbank.detector.detector import Detector, parts_of
from patchbank.detector.growth import only_lowers, stays_below
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import GuardError, PatchbankError
from patchbank.images.source import image_source
from patchbank.server.records.entries import Filter, StoredInspection, iso_utc
from patchbank.server.service.change_requests import Lessons, Said
from patchbank.server.service.jobs import Job
from patchbank.server.service.lessons import numbered
from patchbank.server.service.service import Service

LAST = 500
"""Parts that are judged again."""
KIND = "preview"


@dataclass(slots=True)
class Judged:
    """Counts of the last parts, by how they were judged."""

    parts: int = 0
    by_law: int = 0
    """Number that stay good by the law of banks that only grow."""
    inspected: int = 0
    not_kept: int = 0
    """Number that cannot be inspected again, as their photographs are not kept."""
    unread: int = 0
    """Number that could not be inspected, and would not be now."""


@dataclass(frozen=True, slots=True)
class Change:
    """A part with another verdict."""

    part: StoredInspection
    before: float
    """Score by the detector as it is."""
    after: float
    verdict: Literal["good", "anomalous"]
    """Verdict by the new detector."""

    def to_json(self, taught: Sequence[int]) -> dict[str, Any]:
        """Facts of it.

        Args:
            taught: numbers of the inspections that are said to be normal.
        """
        return {
            "inspection": self.part.id,
            "time": iso_utc(self.part.time),
            "serial_number": self.part.fields.serial_number,
            "lot": self.part.fields.lot,
            "image": self.part.result["image"],
            "review": self.part.review,
            "verdict": self.verdict,
            "score_before": self.before,
            "score_after": self.after,
            "is_taught": self.part.id in taught,
        }


def begun(service: Service, name: str, lessons: Lessons, said: Said) -> Job:
    """Begin the job of a preview.

    Args:
        service: that has the product.
        name: of the product.
        lessons: of the update.
        said: who asks for it.

    Raises:
        ApiError: too many wait, or the service stops.
    """
    job = Job(KIND, name, said.caller.name)
    return service.jobs.start(job, lambda one: _previewed(service, name, lessons, said, one))


def _previewed(
    service: Service, name: str, lessons: Lessons, said: Said, job: Job
) -> dict[str, Any]:
    """The result of the job.

    Raises:
        PatchbankError: as the update, but for what the guard says.
    """
    from patchbank.server.service.learning import learned

    before = service.catalog.detector(service.catalog.product(name))
    refusal: dict[str, Any] | None = None
    try:
        after, lines, _ = learned(before, lessons, said, job)
    except GuardError as error:  # what would be learned is shown all the same
        refusal = {"message": str(error), "lost": list(error.lost)}
        after, lines, _ = learned(before, replace(lessons, force=True), said, job)
    lost = [] if refusal is None else [numbered(one) for one in refusal["lost"]]
    further = [*lessons.taught, *(number for number in lost if number is not None)]
    judging = _Judging(service, name, before, after)
    changes = judging.changes(_last(service, name, further), job)
    return {
        "detector_sha256": before.sha256,
        "threshold_before": before.calibration.threshold,
        "threshold_after": after.calibration.threshold,
        "lines": lines,
        "refusal": refusal,
        "judged": asdict(judging.judged),
        "changes": [one.to_json(lessons.taught) for one in changes],
    }


def _last(service: Service, name: str, further: Sequence[int]) -> list[StoredInspection]:
    """The last parts of a product, newest first, and further ones by their numbers."""
    page = service.records.inspections(Filter(product=name), limit=LAST)
    found = {one.id: one for one in page.inspections}
    for number in further:
        one = service.records.inspection(number)
        if one is not None:
            found.setdefault(number, one)
    return list(found.values())


@dataclass(slots=True)
class _Judging:
    """Judges parts by two detectors."""

    service: Service
    name: str
    before: Detector
    after: Detector
    judged: Judged = field(default_factory=Judged)
    _laws: dict[str, bool] = field(default_factory=dict)
    _scores: dict[tuple[str, str], float | None] = field(default_factory=dict)
    """Scores by the detector and the photograph."""

    def changes(self, parts: Sequence[StoredInspection], job: Job) -> list[Change]:
        """Parts with another verdict, in their order."""
        found = []
        self.judged.parts = len(parts)
        with job.task("inspecting", len(parts)) as step:
            for part in parts:
                change = self._change(part)
                if change is not None:
                    found.append(change)
                step(1)
        return found

    def _change(self, part: StoredInspection) -> Change | None:
        if part.verdict == "unread":
            self.judged.unread += 1
            return None
        if self._stays_good(part):
            self.judged.by_law += 1
            return None
        old, new = self._score_before(part), self._inspected(self.after, part)
        if old is None or new is None:
            self.judged.not_kept += 1
            return None
        self.judged.inspected += 1
        was, is_now = (
            old > self.before.calibration.threshold,
            new > self.after.calibration.threshold,
        )
        if was == is_now:
            return None
        return Change(part, old, new, "anomalous" if is_now else "good")

    def _stays_good(self, part: StoredInspection) -> bool:
        """Whether a part is good by both detectors, whatever its photograph shows."""
        thresholds = (one.calibration.threshold for one in (self.before, self.after))
        return stays_below(float(part.result["score"]), *thresholds) and self._has_law(
            str(part.result["detector_sha256"])
        )

    def _has_law(self, sha256: str) -> bool:
        """Whether both detectors give no part a higher score than that of a digest did."""
        if sha256 not in self._laws:
            try:
                then = parts_of(self.service.catalog.version(self.name, sha256))
            except PatchbankError:  # its copy is gone
                self._laws[sha256] = False
            else:
                both = parts_of(self.before), parts_of(self.after)
                self._laws[sha256] = only_lowers(then, *both)
        return self._laws[sha256]

    def _score_before(self, part: StoredInspection) -> float | None:
        """The score of a part by the detector as it is; None where it is not known."""
        if part.result["detector_sha256"] == self.before.sha256:
            return float(part.result["score"])
        return self._inspected(self.before, part)

    def _inspected(self, detector: Detector, part: StoredInspection) -> float | None:
        """The score of a part whose photograph is inspected again; None where it is not kept.

        A photograph that was sent several times is inspected once.
        """
        key = detector.sha256, part.photograph_sha256
        if key in self._scores:
            return self._scores[key]
        name = part.photograph
        content = None if name is None else self.service.pictures.read(name)
        if content is None:
            return None
        source = image_source(content, str(part.result["image"]))
        # An iterator is inspected in this thread: the line comes first.
        outcome: Inspection | FailedInspection = next(iter(detector.inspect(iter([source]))))
        score = None if isinstance(outcome, FailedInspection) else outcome.score
        self._scores[key] = score
        return score
