"""A folder whose photographs are inspected as they come: none twice, none missed over restarts."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from patchbank.errors import ParameterError
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import one_line, printable
from patchbank.server.intake import Answer, Busy, Intake, KeyReused, Submission
from patchbank.server.records.entries import Fields
from patchbank.server.sources.files import (
    AnotherFile,
    FileState,
    files_below,
    is_picture,
    is_whole,
    move,
    read_settled,
)

AT_ONCE = 8
"""Photographs that are handed in before the first has its answer."""
KEYS_AT_ONCE = 500
LONGEST_PAUSE_S = 30.0
BUSY_SHARE = 4
"""A folder is listed again after at least so many times as listing it took."""


class WatchRecords(Protocol):
    """The part of `Records` that a watched folder needs."""

    @property
    def instance(self) -> str:
        """Name of the service."""
        ...

    def known_keys(self, product: str, keys: Collection[str]) -> set[str]:
        """The keys of which there is an inspection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times of a watched folder."""

    poll_s: float = 0.5
    """Time between two lists of the folder."""
    settle_s: float = 1.0
    """Time that a file stands still before it is read."""
    patience_s: float = 10.0
    """Time that a file without its end, or one that cannot be opened, is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """A folder that is watched for one product."""

    product: str
    folder: Path
    done: Path | None = None
    """Folder to which inspected photographs are moved; None leaves them where they are."""
    leave_out: frozenset[Path] = frozenset()
    """Resolved folders that are not entered."""
    fields: Fields = field(default_factory=Fields)
    max_bytes: int = 200_000_000
    """Size above which a file is not read."""

    @classmethod
    def parse(cls, text: str, done: Path | None = None, **others: Any) -> WatchSettings:
        """Read ``PRODUCT=DIR``.

        Args:
            text: as given to `--watch`.
            done: as given to `--watch-done`; each product gets a folder in it.
            others: further fields of the settings.

        Raises:
            ParameterError: it is not of this form, or there is no such folder.
        """
        product, equals, folder = text.partition("=")
        if not equals or not product or not Path(folder).is_dir():
            raise ParameterError(f"--watch: expected PRODUCT=DIR with a folder, got {text!r}")
        if done is not None:
            if not done.is_dir():
                raise ParameterError(f"--watch-done: expected a folder, got {done}; make it first")
            others["leave_out"] = frozenset({done.resolve()})
            done = done / product
        return cls(product=product, folder=Path(folder), done=done, **others)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """Facts of a watched folder for the status; counts begin with the process."""

    product: str
    folder: str
    inspected: int = 0
    unread: int = 0
    """Photographs among the inspected that could not be read."""
    waiting: int = 0
    """Files that are not inspected yet."""
    skipped: int = 0
    """Files that are no photographs, or too large."""
    error: str | None = None
    """Why files wait; None while all goes well."""


@dataclass(slots=True)
class _File:
    """A file as it was listed last."""

    state: FileState
    since: float
    """Time on the monotonic clock at which it was in this state for the first time."""
    not_before: float = 0.0
    failures: int = 0
    is_older: bool = False
    """Whether it was there at the first list: then the records are asked before it is read."""
    is_sent: bool = False
    is_done: bool = False
    is_skipped: bool = False
    has_own_key: bool = False
    """Whether its key is made of its content too, as another content had the same key."""


class Watch:
    """Watches a folder, also on a network drive: it is listed again and again.

    The key of a photograph is made of the folder, its path in it, its size and its time; so a
    restart knows what is inspected, and a file that is replaced by another one is inspected again.
    One that comes while the folder is watched is inspected even if all of these were there before.

    Args:
        intake: takes the photographs.
        records: know which were inspected.
        settings: of the folder.
        pace: times.
    """

    def __init__(
        self,
        intake: Intake,
        records: WatchRecords,
        settings: WatchSettings,
        pace: Pace = Pace(),
    ) -> None:
        self._intake, self._records = intake, records
        self._settings, self._pace = settings, pace
        self._folder = settings.folder.resolve()
        self._done = None if settings.done is None else settings.done.resolve()
        self._leave_out = settings.leave_out | ({self._done} if self._done else set())
        self._files: dict[str, _File] = {}
        self._sent: dict[Future[Answer], tuple[str, _File]] = {}
        self._is_first_list = True
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"watch-{settings.product}", daemon=True
        )
        self.state = WatchState(product=settings.product, folder=str(settings.folder))

    def status(self) -> dict[str, Any]:
        """The object in `GET /v1/status`."""
        return asdict(self.state)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self, wait_s: float = 10.0) -> None:
        """Stop after the photographs that were handed in."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(wait_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self._list()
                took = time.monotonic() - begun
                self._send_ready()
                failures = 0
                pause = max(self._pace.poll_s, BUSY_SHARE * took)
            except Exception as error:  # of the drive or the database: it may come back
                failures += 1
                self._say(error)
                pause = min(LONGEST_PAUSE_S, self._pace.poll_s * 2.0 ** min(failures, 10))
            self._pause(pause)
        end = time.monotonic() + LONGEST_PAUSE_S
        while self._sent and time.monotonic() < end:
            self._take_finished(end - time.monotonic())

    def _list(self) -> None:
        """List the folder, and note what is new or changed."""
        now = time.monotonic()
        found = dict(files_below(self._folder, self._leave_out))
        for name in self._files.keys() - found.keys():
            del self._files[name]
        for name, state in found.items():
            known = self._files.get(name)
            if known is None or known.state != state:
                self._files[name] = _File(state, now, is_older=self._is_first_list)
        self._is_first_list = False
        waiting = sum(not (f.is_done or f.is_skipped) for f in self._files.values())
        skipped = sum(f.is_skipped for f in self._files.values())
        self._change(waiting=waiting, skipped=skipped)

    def _send_ready(self) -> None:
        """Hand in files that stand still, oldest first."""
        now = time.monotonic()
        ready = [
            (file.state.mtime_ns, name, file)
            for name, file in self._files.items()
            if now >= max(file.since + self._pace.settle_s, file.not_before) and self._waits(file)
        ]
        ready.sort(key=lambda each: each[:2])
        self._check_known([(name, file) for _, name, file in ready if file.is_older])
        for _, name, file in ready:
            while len(self._sent) >= AT_ONCE and not self._stopping.is_set():
                self._take_finished(self._pace.poll_s)
            if self._stopping.is_set():
                return
            try:
                if file.is_done:
                    self._put_away(name, file)
                else:
                    self._send(name, file)
            except Busy:
                return
            except Exception as error:
                self._retry_later(name, file, error)
        if not any(file.failures for file in self._files.values()):
            self._change(error=None)

    def _check_known(self, files: Sequence[tuple[str, _File]]) -> None:
        """Mark those that an earlier process inspected."""
        for at in range(0, len(files), KEYS_AT_ONCE):
            some = {self._key(name, file): file for name, file in files[at : at + KEYS_AT_ONCE]}
            known = self._records.known_keys(self._settings.product, list(some))
            for key, file in some.items():
                file.is_older = False
                file.is_done = key in known

    def _waits(self, file: _File) -> bool:
        """Whether a file has to be inspected, or was and has to be moved."""
        if file.is_done:
            return self._done is not None
        return not (file.is_sent or file.is_skipped)

    def _send(self, name: str, file: _File) -> None:
        """Hand in a file if it is a photograph, whole, and not too large."""
        path = self._folder / name
        if path.is_symlink() and not path.is_file():
            found = "a folder, which is not entered" if path.is_dir() else "nothing"
            self._skip(name, file, f"expected a photograph, got a link to {found}")
            return
        if not is_picture(path):
            self._skip(name, file, "expected a photograph, got a file of another kind")
            return
        if file.state.size > self._settings.max_bytes:
            limit = self._settings.max_bytes
            self._skip(name, file, f"expected at most {limit} bytes, got {file.state.size}")
            return
        content = read_settled(path, file.state)
        if content is None:  # it changed while it was read: it is listed again
            return
        is_patient = time.monotonic() - file.since < self._pace.patience_s
        if is_patient and not is_whole(name, content):
            file.not_before = time.monotonic() + self._pace.settle_s
            return
        submission = Submission(
            product=self._settings.product,
            content=content,
            name=name,
            source="watch",
            by="local",
            fields=self._settings.fields,
            idempotency_key=self._key(name, file) + (_own(content) if file.has_own_key else ""),
        )
        future = self._intake.submit(submission)
        file.is_sent = True
        self._sent[future] = (name, file)

    def _pause(self, pause_s: float) -> None:
        """Take answers for a time."""
        end = time.monotonic() + pause_s
        while not self._stopping.is_set() and time.monotonic() < end:
            if self._sent:
                self._take_finished(min(self._pace.poll_s, end - time.monotonic()))
            else:
                self._stopping.wait(end - time.monotonic())

    def _take_finished(self, wait_s: float) -> None:
        """Take the answers that are there, or the next that comes within a time."""
        finished, _ = wait(self._sent, max(0.0, wait_s), return_when=FIRST_COMPLETED)
        for future in finished:
            name, file = self._sent.pop(future)
            file.is_sent = False
            self._take(name, file, future)

    def _take(self, name: str, file: _File, future: Future[Answer]) -> None:
        """Note the answer to a file."""
        try:
            answer = future.result()
        except KeyReused:
            file.has_own_key = True
            file.not_before = 0.0
            return
        except Exception as error:
            self._retry_later(name, file, error)
            return
        file.is_done, file.failures = True, 0
        is_unread = answer.inspection.verdict == "unread"
        self._change(
            inspected=self.state.inspected + answer.is_new,
            unread=self.state.unread + (answer.is_new and is_unread),
        )
        self._put_away(name, file)

    def _put_away(self, name: str, file: _File) -> None:
        """Move an inspected file, where that is wanted."""
        if self._done is None:
            return
        try:
            move(self._folder / name, self._done / name, file.state)
        except (FileNotFoundError, AnotherFile):  # it is listed again
            LOGGER.info("watch %s: %s is another file now", self._folder, printable(name))
        except OSError as error:
            self._retry_later(name, file, error)
            return
        self._files.pop(name, None)

    def _retry_later(self, name: str, file: _File, error: BaseException) -> None:
        file.failures += 1
        pause = min(LONGEST_PAUSE_S, self._pace.settle_s * 2.0 ** min(file.failures - 1, 10))
        file.not_before = time.monotonic() + pause
        self._say(error, name)

    def _skip(self, name: str, file: _File, reason: str) -> None:
        file.is_skipped = True
        LOGGER.warning("watch %s: %s: %s; it is skipped", self._folder, printable(name), reason)

    def _say(self, error: BaseException, name: str = "") -> None:
        """Note why files wait; the log has each reason once."""
        reason = one_line(str(error)) or type(error).__name__
        text = f"{name}: {reason}" if name else reason
        if text != self.state.error:
            LOGGER.warning("watch %s: %s; it is tried again", self._folder, printable(text))
        self._change(error=text)

    def _key(self, name: str, file: _File) -> str:
        """The key of a file; other stations with the same database have others."""
        station = (self._records.instance, str(self._folder))
        parts = (*station, name, str(file.state.size), str(file.state.mtime_ns))
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape"))
        return f"watch/{digest.hexdigest()}"

    def _change(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


def _own(content: bytes) -> str:
    return f"/{hashlib.sha256(content).hexdigest()[:16]}"
