"""Jobs of set-ups: photographs are copied from a folder, checked, and fitted.

One at a time runs, so that the line has the processor: all are of one kind.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from patchbank.errors import DataError, PatchbankError
from patchbank.images.folders import list_images
from patchbank.images.formats import SUFFIXES
from patchbank.runtime.atomic_file import make_folders, replace_file
from patchbank.runtime.printable import json_text, printable
from patchbank.server.intake import NotRecorded
from patchbank.server.service.child import run_in_child
from patchbank.server.service.errors import ApiError
from patchbank.server.service.jobs import Cancelled, Job, Jobs
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.setups.photographs import check_photograph, safe_name
from patchbank.server.service.setups.setup import Setup, Task
from patchbank.server.service.setups.store import Setups

KIND = "setup"
"""Kind of all jobs of set-ups."""
AT_ONCE = 16
"""Photographs that are read before they are kept."""
NAMED = 5
"""Photographs that one note names."""


class SetupJobs:
    """Starts the jobs of set-ups."""

    def __init__(self, setups: Setups, jobs: Jobs, settings: ServiceSettings) -> None:
        self._setups, self._jobs, self._settings = setups, jobs, settings
        self._trying = threading.Lock()

    def copy(self, setup: Setup, folder: str, by: str) -> Job:
        """Copy the photographs of a folder of this computer.

        Raises:
            ApiError: 403 for a folder that is not below that of --allow-root, 404 without one.
        """
        found = allowed_folder(self._settings.allow_root, folder)
        limit = self._settings.max_bytes
        return self._start(
            setup, "copy", by, lambda job: _copied(self._setups, setup, found, limit, job)
        )

    def check(self, setup: Setup, by: str) -> Job:
        """Check the photographs that are not left out.

        Raises:
            ApiError: 422 where there is none.
        """
        terms = self._terms(setup)

        def checked(job: Job) -> None:
            found = run_in_child(job, "check", terms)
            content = json_text({**found, "names": [Path(one).name for one in terms["good"]]})
            replace_file(setup.folder / "check.json", content.encode())

        return self._start(setup, "check", by, checked)

    def fit(
        self, setup: Setup, asked: tuple[str, float], by: str, in_use: Path | None = None
    ) -> Job:
        """Fit a detector on the photographs that are not left out.

        Args:
            setup: that gets the detector.
            asked: preset of PatchCore, or ``auto``; false-alarm rate in (0, 1).
            by: who has asked for it.
            in_use: file of the detector that the product has, which inspects some of the
                photographs: they may be of another product; None for a new one.

        Raises:
            ApiError: 422 where there is none.
        """
        terms = self._terms(setup) | {
            "preset": asked[0],
            "false_alarm_rate": asked[1],
            "in_use": None if in_use is None else str(in_use.absolute()),
            "folder": str(setup.fitting.absolute()),
        }

        def fitted(job: Job) -> None:
            shutil.rmtree(setup.fitting, ignore_errors=True)
            make_folders(setup.fitting)
            try:
                run_in_child(job, "fit", terms)
                shutil.rmtree(setup.fit, ignore_errors=True)
                setup.fitting.rename(setup.fit)
            finally:
                shutil.rmtree(setup.fitting, ignore_errors=True)

        return self._start(setup, "fit", by, fitted, asked)

    def inspect(self, setup: Setup, photograph: tuple[str, bytes], by: str) -> dict[str, Any]:
        """Inspect a photograph by the fitted detector, before that is in use.

        Args:
            setup: that has the detector.
            photograph: its name, and its bytes.
            by: who has asked for it.

        Returns:
            The verdict, with the score as a share of the threshold and the key of its picture; or
            the reason for none.

        Raises:
            ApiError: 409 before a fit, 429 while another one is inspected.
            NotRecorded: the disk takes it not.
        """
        if not setup.detector.is_file():
            raise ApiError(409, "fit: expected one that is done, got none; fit first")
        if not self._trying.acquire(blocking=False):
            raise ApiError(
                429, "photograph: expected one at a time, got one more", code="busy", retry_s=2
            )
        name, key = safe_name(photograph[0]), secrets.token_hex(8)
        try:
            check_photograph(name, photograph[1], self._settings.max_pixels)
            shutil.rmtree(setup.tried, ignore_errors=True)
            make_folders(setup.tried)
            replace_file(setup.tried / "photograph", photograph[1], sync=False)
            terms = {
                "detector": str(setup.detector.absolute()),
                "photograph": str((setup.tried / "photograph").absolute()),
                "name": name,
                "picture": str((setup.tried / f"{key}.jpg").absolute()),
                "device": self._settings.device,
                "engine": self._settings.engine,
            }
            found = run_in_child(Job(KIND, setup.facts.product, by), "inspect", terms)
        except OSError as error:
            raise NotRecorded(
                f"{name}: expected to write it to the disk, got: {error.strerror or error}"
            ) from None
        finally:
            self._trying.release()
        return {**found, "key": key}

    def _terms(self, setup: Setup) -> dict[str, Any]:
        learned = self._setups.learned(setup)
        if not learned:
            raise ApiError(422, "photographs: expected at least one that is learned, got none")
        return {
            "good": [str((setup.good / one.name).absolute()) for one in learned],
            "device": self._settings.device,
            "engine": self._settings.engine,
        }

    def _start(
        self,
        setup: Setup,
        task: Task,
        by: str,
        work: Callable[[Job], Any],
        asked: tuple[str, float] | None = None,
    ) -> Job:
        def noted(job: Job) -> Mapping[str, str]:
            ended, error = "failed", "a fault of the program; the log has more"
            try:
                work(job)
                ended, error = "", ""
            except Cancelled:
                ended, error = "cancelled", ""
                raise
            except OSError as fault:
                error = f"{task}: expected to write to the disk, got: {fault.strerror or fault}"
                raise DataError(error) from None
            except (ApiError, PatchbankError) as fault:
                error = str(fault.detail if isinstance(fault, ApiError) else fault)
                raise
            finally:
                self._setups.end_work(setup, job, ended or None, error or None)
            return {"setup": setup.id, "task": task}

        def start() -> Job:
            if asked is not None:
                setup.facts.preset, setup.facts.false_alarm_rate = asked
            return self._jobs.start(Job(KIND, setup.facts.product, by), noted)

        return self._setups.begin_work(setup, task, start)


def allowed_folder(root: Path | None, folder: str) -> Path:
    """A folder that a request names, wherever links lead.

    Raises:
        ApiError: 403 where it is not below the root, 404 where it is no folder.
    """
    if root is None:
        raise ApiError(
            403,
            "folder: expected photographs that are sent, got a folder of the server, which is "
            "refused; start the service with --allow-root DIR",
            code="paths_refused",
        )
    try:
        real = (root / folder).resolve()
        is_folder = real.is_dir()
    except (OSError, ValueError):  # a name with a zero byte, or a circle of links
        raise ApiError(404, f"folder: expected one, got {printable(folder[:100])!r}") from None
    if not real.is_relative_to(root.resolve()):
        raise ApiError(
            403,
            f"folder: expected one below that of --allow-root, got {printable(folder[:100])!r}",
            code="paths_refused",
        )
    if not is_folder:
        raise ApiError(404, f"folder: expected one, got {printable(folder[:100])!r}")
    return real


def _copied(setups: Setups, setup: Setup, folder: Path, max_bytes: int, job: Job) -> None:
    """Copy the photographs below a folder; links that lead out of it are left out."""
    paths = [Path(os.fspath(one)) for one in list_images(folder)]  # type: ignore[arg-type]
    refused: list[str] = []
    with job.task("copying", len(paths)) as step:
        for begin in range(0, len(paths), AT_ONCE):
            contents: list[tuple[str, bytes]] = []
            for path in paths[begin : begin + AT_ONCE]:
                real = path.resolve()
                is_allowed = real.is_relative_to(folder) and real.suffix.lower() in SUFFIXES
                with suppress(OSError):
                    if is_allowed and real.stat().st_size <= max_bytes:
                        contents.append((path.name, real.read_bytes()))
                        continue
                refused.append(path.name)
            said = setups.add(setup, contents, by_job=True)
            refused += [one["name"] for one in said["refused"]]
            step(len(paths[begin : begin + AT_ONCE]))
    if refused:
        names = ", ".join(map(printable, refused[:NAMED]))
        more = f" and {len(refused) - NAMED:,} more" if len(refused) > NAMED else ""
        job.note(f"{len(refused):,} files were not copied: {names}{more}")
