"""All set-ups of a service, each in a folder of its own below ``setups``."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from patchbank.errors import ImageError
from patchbank.runtime.atomic_file import make_folders, replace_file
from patchbank.server.intake import NotRecorded
from patchbank.server.records.entries import iso_utc
from patchbank.server.service.errors import ApiError
from patchbank.server.service.jobs import Job
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.setups import photographs
from patchbank.server.service.setups.photographs import Photograph
from patchbank.server.service.setups.setup import Setup, SetupFacts

MOST_PHOTOGRAPHS = 20_000
MOST_SETUPS = 50
KEPT_DAYS = 14
"""Days after its last change for which a set-up stays."""
MOST_WAITING = 24
"""Small pictures that wait to be made; more are refused."""


class Setups:
    """The set-ups, whose photographs and choices change while no job of theirs is under way."""

    def __init__(self, folder: Path, settings: ServiceSettings) -> None:
        """Open the set-ups of a folder; work that was under way when a service ended is over."""
        self._folder, self._settings = folder, settings
        self._lock, self._making = threading.RLock(), threading.Lock()
        self._room = threading.BoundedSemaphore(MOST_WAITING)
        self._setups: dict[str, Setup] = {}
        self._jobs: dict[str, Job] = {}
        for each in folder.iterdir() if folder.is_dir() else ():
            found = Setup.read(each)
            if found is None:
                continue
            shutil.rmtree(found.fitting, ignore_errors=True)
            if found.facts.task is not None:
                found.facts.task, found.facts.ended = None, "interrupted"
                with suppress(OSError):  # it is said again after the next start
                    found.save()
            self._setups[found.id] = found

    def begin(self, product: str, by: str) -> Setup:
        """Begin a set-up without photographs.

        Raises:
            ApiError: 409 where there are too many.
            NotRecorded: it cannot be written.
        """
        with self._lock:
            if len(self._setups) >= MOST_SETUPS:
                raise ApiError(
                    409,
                    f"setup: expected at most {MOST_SETUPS} that are kept, got one more; discard "
                    "one that is not needed",
                )
            now, name = iso_utc(datetime.now(timezone.utc)), secrets.token_hex(8)
            setup = Setup(
                name,
                self._folder / name,
                SetupFacts(product=product, by=by, begun=now, changed=now),
            )
            with _written(setup):
                make_folders(setup.folder)
                setup.save()
            self._setups[name] = setup
            return setup

    def find(self, setup_id: str) -> Setup:
        """The set-up of an id.

        Raises:
            ApiError: 404 where there is none.
        """
        found = self._setups.get(setup_id)
        if found is None:
            raise ApiError(404, "setup: expected the id of one that is kept, got another")
        return found

    def all(self, product: str | None = None) -> list[Setup]:
        """All set-ups, or those of a product, the one that was changed last first."""
        with self._lock:
            found = [*self._setups.values()]
        wanted = [one for one in found if product in (None, one.facts.product)]
        return sorted(wanted, key=lambda one: one.facts.changed, reverse=True)

    def discard(self, setup: Setup) -> None:
        """Remove a set-up with all its photographs; its work is cancelled."""
        with self._lock:
            job = self._jobs.get(setup.id)
            if job is not None:
                job.cancel()
            self._setups.pop(setup.id, None)
            shutil.rmtree(setup.folder, ignore_errors=True)

    def add(
        self, setup: Setup, given: Sequence[tuple[str, bytes]], *, by_job: bool = False
    ) -> dict[str, list[Any]]:
        """Keep photographs.

        Args:
            setup: that gets them.
            given: name and bytes of each.
            by_job: whether the job of the set-up itself adds them.

        Returns:
            Names of those that were added and of those that were there already; those that were
            refused, with the reason.

        Raises:
            ApiError: 409 while a job of the set-up is under way, 413 for too many.
            NotRecorded: the disk is full.
        """
        said: dict[str, list[Any]] = {"added": [], "known": [], "refused": []}
        with self._lock, self._changing(setup, by_job=by_job):
            self._check_room(setup, given)
            for name, content in given:
                shown = photographs.safe_name(name)
                try:
                    photographs.check_photograph(shown, content, self._settings.max_pixels)
                except ImageError as error:
                    said["refused"].append({"name": shown, "error": str(error)})
                    continue
                kept, is_new = photographs.keep(setup.good, name, content)
                said["added" if is_new else "known"].append(kept)
        return said

    def photographs(self, setup: Setup) -> list[Photograph]:
        """All photographs of a set-up by their names."""
        return photographs.listed(setup.good)

    def learned(self, setup: Setup) -> list[Photograph]:
        """The photographs that are not left out."""
        left_out = set(setup.facts.left_out)
        return [one for one in self.photographs(setup) if one.name not in left_out]

    def leave_out(self, setup: Setup, names: Sequence[str], *, is_left_out: bool) -> None:
        """Leave photographs out of the fit, or learn them again.

        Raises:
            ApiError: 404 for a name that none has, 409 while a job is under way.
        """
        with self._lock, self._changing(setup):
            known = {one.name for one in self.photographs(setup)}
            for name in names:
                if name not in known:
                    raise _unknown()
            before = set(setup.facts.left_out)
            after = before | set(names) if is_left_out else before - set(names)
            setup.facts.left_out = sorted(after & known)

    def remove(self, setup: Setup, name: str) -> None:
        """Remove a photograph for good.

        Raises:
            ApiError: 404 where there is none of that name, 409 while a job is under way.
        """
        with self._lock, self._changing(setup):
            _file_of(setup, name).unlink()
            for side in photographs.SIDES:
                (setup.small / side / f"{name}.jpg").unlink(missing_ok=True)
            setup.facts.left_out = [one for one in setup.facts.left_out if one != name]

    def picture(self, setup: Setup, name: str, side: str) -> bytes:
        """A photograph as a JPEG file; one at a time is made, and kept.

        Raises:
            ApiError: 404 where there is none of that name, 429 where many wait.
            ImageError: it cannot be read.
        """
        photograph = _file_of(setup, name)
        path = setup.small / side / f"{name}.jpg"
        with suppress(OSError):
            return path.read_bytes()
        if not self._room.acquire(blocking=False):
            raise ApiError(
                429,
                f"picture: expected fewer than {MOST_WAITING} that are made at once, got more",
                code="busy",
                retry_s=2,
            )
        try:
            with self._making:
                content = photographs.picture(photograph, photographs.SIDES[side])
        finally:
            self._room.release()
        with suppress(OSError):  # it is made again the next time
            make_folders(path.parent)
            replace_file(path, content, sync=False)
        return content

    def job(self, setup: Setup) -> Job | None:
        """The job of a set-up that is under way; None if there is none."""
        found = self._jobs.get(setup.id)
        return None if found is None or found.is_over else found

    def begin_work(self, setup: Setup, task: Any, start: Callable[[], Job]) -> Job:
        """Let a job of a set-up start, if no other one is under way.

        Raises:
            ApiError: 409 where one is.
            NotRecorded: the set-up cannot be written.
        """
        with self._lock, self._changing(setup):
            job = start()
            self._jobs[setup.id] = job
            facts = setup.facts
            facts.task, facts.job, facts.ended, facts.error = task, job.id, None, None
            return job

    def end_work(self, setup: Setup, job: Job, ended: Any, error: str | None) -> None:
        """Note how the work of a set-up has ended; None for a result."""
        with self._lock:
            if setup.id not in self._setups or setup.facts.job not in (None, job.id):
                return
            if setup.facts.task == "fit" and ended is None:
                setup.facts.activated = None  # another detector
            setup.facts.task, setup.facts.ended, setup.facts.error = None, ended, error
            with suppress(OSError):  # after a restart it is called interrupted
                setup.save()

    def note_activated(self, setup: Setup) -> None:
        """Note that its detector is in use."""
        with self._lock, _written(setup):
            setup.facts.activated = iso_utc(datetime.now(timezone.utc))
            setup.save()

    def tidy(self, now: datetime | None = None) -> int:
        """Discard set-ups that nobody has changed for days.  -> number of them."""
        limit = (now or datetime.now(timezone.utc)) - timedelta(days=KEPT_DAYS)
        old = [one for one in self.all() if one.facts.changed < iso_utc(limit)]
        gone = [one for one in old if self.job(one) is None]
        for setup in gone:
            self.discard(setup)
        return len(gone)

    @contextmanager
    def _changing(self, setup: Setup, *, by_job: bool = False) -> Iterator[None]:
        """A change of a set-up, whose facts are written at its end.

        Raises:
            ApiError: 409 while a job is under way, 404 where it was discarded meanwhile.
            NotRecorded: they cannot be written.
        """
        self.find(setup.id)
        if not by_job and self.job(setup) is not None:
            raise ApiError(
                409,
                "setup: expected one without work under way, got one that is worked on; wait for "
                "its end, or cancel it",
                code="change_under_way",
                retry_s=5,
            )
        with _written(setup):
            yield
            setup.facts.changed = iso_utc(datetime.now(timezone.utc))
            setup.save()

    def _check_room(self, setup: Setup, given: Sequence[tuple[str, bytes]]) -> None:
        """Check the number of photographs, and the bytes of those of all set-ups.

        Raises:
            ApiError: 413 for more.
        """
        n_photographs = len(self.photographs(setup)) + len(given)
        if n_photographs > MOST_PHOTOGRAPHS:
            raise ApiError(
                413,
                f"photographs: expected at most {MOST_PHOTOGRAPHS:,}, got {n_photographs:,}",
            )
        present = sum(one.n_bytes for each in self.all() for one in self.photographs(each))
        n_bytes = present + sum(len(content) for _, content in given)
        if n_bytes > self._settings.pictures_gb * 1e9:
            raise ApiError(
                413,
                f"photographs: expected at most {self._settings.pictures_gb:g} GB in all set-ups, "
                f"got {n_bytes / 1e9:.3g} GB; discard a set-up, or start the service with a higher "
                "--pictures-gb",
            )


def _file_of(setup: Setup, name: str) -> Path:
    """The file of a photograph of a set-up.

    Raises:
        ApiError: 404 where there is none of that name, which is never a path.
    """
    file = setup.good / name
    if file.parent != setup.good or file.name != name or not file.is_file():
        raise _unknown()
    return file


def _unknown() -> ApiError:
    return ApiError(404, "photograph: expected the name of one of the set-up, got another")


@contextmanager
def _written(setup: Setup) -> Iterator[None]:
    """Something that is written; what the disk refuses is an error for people.

    Raises:
        NotRecorded: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise NotRecorded(
            f"setup {setup.id}: expected to write to the disk, got: {error.strerror or error}; "
            "make room, and send it again"
        ) from None
