"""A camera by OpenCV: a trigger takes the next picture, which is inspected as a PNG file."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchbank.errors import ParameterError, PatchbankError
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import one_line
from patchbank.server.intake import Answer, Intake, Submission
from patchbank.server.records.entries import Fields
from patchbank.server.sources.keys import TriggerKeys

if TYPE_CHECKING:
    import cv2

OPENING_MS = 5000
READING_MS = 5000
PICTURE_WAIT_S = 10.0
"""Age at which a trigger fails: a later picture would be that of another part."""
LONGEST_PAUSE_S = 10.0
IDLE_S = 0.2


class CameraError(PatchbankError):
    """A camera gave no picture; there is no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSettings:
    """A camera that takes photographs of one product."""

    name: str
    product: str
    source: str
    """Index of a camera (``0``), address of a stream (``rtsp://...``) or path of a video file."""
    fields: Fields = field(default_factory=Fields)

    @classmethod
    def parse(cls, text: str) -> CameraSettings:
        """Read ``NAME=PRODUCT:SOURCE``, as ``front=bolts:0`` or ``top=bolts:rtsp://10.0.0.7/1``.

        Raises:
            ParameterError: it is not of this form.
        """
        name, equals, rest = text.partition("=")
        product, colon, source = rest.partition(":")
        is_name = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        if not (equals and colon and product and source and is_name):
            raise ParameterError(
                f"--camera: expected NAME=PRODUCT:SOURCE, got {text!r}; such as front=bolts:0"
            )
        return cls(name=name, product=product, source=source, fields=Fields(camera=name))


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraState:
    """Facts of a camera for the status; counts begin with the process."""

    name: str
    product: str
    is_open: bool = False
    triggers: int = 0
    failures: int = 0
    """Triggers without a picture."""
    error: str | None = None
    """Why there are no pictures; None while there are."""


@dataclass(frozen=True, slots=True)
class _Trigger:
    """A picture that is wanted."""

    answer: Future[Answer]
    fields: Fields
    idempotency_key: str | None
    until: float


class Camera:
    """Takes a picture for each trigger; it is opened again where it was lost.

    The picture is one that the camera sends after the trigger.  A stream is read all the time, so
    that none of an earlier moment waits in a buffer; of a video file each trigger takes the next
    picture.

    Args:
        intake: takes the photographs.
        settings: of the camera.
        keys: of triggers, which the cameras of a service share.

    Raises:
        ParameterError: OpenCV is not installed, or a video file is not there.
    """

    def __init__(self, intake: Intake, settings: CameraSettings, keys: TriggerKeys) -> None:
        try:
            import cv2
        except ImportError:
            raise ParameterError(
                "--camera: expected OpenCV, got none; pip install 'patchbank[camera]'"
            ) from None
        self._cv2 = cv2
        self._is_file = not settings.source.isdigit() and "://" not in settings.source
        if self._is_file and not Path(settings.source).is_file():
            raise ParameterError(
                f"--camera: {settings.name}: expected an index, an address or a video file, got "
                f"{settings.source}"
            )
        self.settings = settings
        self.state = CameraState(name=settings.name, product=settings.product)
        self._intake, self._keys = intake, keys
        self._triggers: deque[_Trigger] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(
            target=self._run, name=f"camera-{settings.name}", daemon=True
        )

    def status(self) -> dict[str, Any]:
        """The object in `GET /v1/status`."""
        return asdict(self.state)

    def start(self) -> None:
        """Open the camera."""
        self._thread.start()

    def trigger(
        self, fields: Fields | None = None, idempotency_key: str | None = None
    ) -> Future[Answer]:
        """Take a picture and inspect it.

        Args:
            fields: what is known of the part; None takes those of the camera.
            idempotency_key: of the inspection.

        Returns:
            Its answer; `CameraError` if there is no picture.
        """
        answer: Future[Answer] = Future()
        answer.set_running_or_notify_cancel()  # whoever waits no more cannot take it back
        wanted = self.settings.fields if fields is None else fields
        if wanted.camera is None:
            wanted = replace(wanted, camera=self.settings.name)
        with self._changed:
            self._change(triggers=self.state.triggers + 1)
            until = time.monotonic() + PICTURE_WAIT_S
            self._triggers.append(_Trigger(answer, wanted, idempotency_key, until))
            if self._is_stopping or not self.state.is_open:
                self._fail_all(self.state.error or "it is not open yet")
            self._changed.notify_all()
        return answer

    def trigger_once(
        self, fields: Fields | None = None, idempotency_key: str | None = None
    ) -> tuple[Future[Answer], bool]:
        """Take a picture and inspect it, unless there is one under this key.

        Args:
            fields: as for `trigger`.
            idempotency_key: of the inspection; None always takes a picture.

        Returns:
            The answer to the first trigger under the key, and whether this is the first.

        Raises:
            NotRecorded: the records do not answer; there is no picture.
        """
        if idempotency_key is None:
            return self.trigger(fields), True
        product = self.settings.product
        return self._keys.once(
            product, idempotency_key, lambda: self.trigger(fields, idempotency_key)
        )

    def close(self, wait_s: float = 10.0) -> None:
        """Close the camera; triggers without a picture fail."""
        with self._changed:
            self._is_stopping = True
            self._fail_all("the service stops")
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(wait_s)

    def _run(self) -> None:
        """Open the camera again and again, and take pictures while it is open."""
        failures = 0
        while not self._is_stopping:
            try:
                capture = self._opened()
            except Exception as error:  # drivers raise many types; a camera may come back
                failures += 1
                self._lose(error, failures)
                continue
            failures = 0
            with self._changed:
                self._change(is_open=True, error=None)
            try:
                while not self._is_stopping:
                    self._take_next(capture)
            except Exception as error:
                failures = 1
                self._lose(error, failures)
            with suppress(Exception):  # it is opened again, whatever its driver says
                capture.release()

    def _opened(self) -> cv2.VideoCapture:
        opencv, source = self._cv2, self.settings.source
        capture: cv2.VideoCapture
        if source.isdigit():
            capture = opencv.VideoCapture(int(source))
        else:
            timeouts = [
                *(opencv.CAP_PROP_OPEN_TIMEOUT_MSEC, OPENING_MS),
                *(opencv.CAP_PROP_READ_TIMEOUT_MSEC, READING_MS),
            ]
            capture = opencv.VideoCapture(source, opencv.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            capture.release()
            raise CameraError("expected a camera or stream that opens, got none")
        return capture

    def _take_next(self, capture: cv2.VideoCapture) -> None:
        """Take one picture; without a trigger, that of a stream is thrown away.

        Raises:
            CameraError: there is none.
        """
        with self._changed:
            if self._is_file:
                self._changed.wait_for(lambda: self._triggers or self._is_stopping, IDLE_S)
            wanted = [*self._triggers]
        if self._is_file and not wanted:
            return
        if not capture.grab():
            raise CameraError(
                "expected a picture, got the end of the video file"
                if self._is_file
                else "expected a picture, got none"
            )
        if not wanted:
            return
        is_read, picture = capture.retrieve()
        if not is_read:
            raise CameraError("expected a picture that can be decoded, got none")
        is_written, content = self._cv2.imencode(".png", picture)
        if not is_written:
            raise CameraError("expected a picture that PNG can hold, got none")
        # A picture belongs to one moment: several triggers before it get the same one, but those
        # of a video file, whose pictures are parts one after the other.
        first = wanted[:1] if self._is_file else wanted
        with self._changed:
            taken = [trigger for trigger in first if trigger in self._triggers]
            for trigger in taken:  # those that wait until here fail where there is no picture
                self._triggers.remove(trigger)
        for trigger in taken:
            self._hand_in(trigger, content.tobytes())

    def _hand_in(self, trigger: _Trigger, content: bytes) -> None:
        if time.monotonic() > trigger.until:
            self._fail(trigger, "expected a picture in time, got a later one")
            return
        moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        submission = Submission(
            product=self.settings.product,
            content=content,
            name=f"{self.settings.name}-{moment}.png",
            source="camera",
            by="local",
            fields=trigger.fields,
            idempotency_key=trigger.idempotency_key,
        )
        try:
            inspected = self._intake.submit(submission)
        except Exception as error:  # the queue is full: whoever has triggered it must know
            trigger.answer.set_exception(error)
            return
        inspected.add_done_callback(lambda done: _hand_on(done, trigger.answer))

    def _lose(self, error: Exception, failures: int) -> None:
        """Fail the triggers that wait, and wait before the camera is opened again."""
        said = one_line(str(error)) or type(error).__name__
        if not isinstance(error, CameraError):
            said = f"expected a picture, got: {said}"
        reason = f"camera {self.settings.name}: {said}"
        if self.state.error != reason:
            LOGGER.warning("%s; it is opened again", reason)
        pause = min(LONGEST_PAUSE_S, IDLE_S * 2.0 ** min(failures, 10))
        with self._changed:
            self._change(is_open=False, error=reason)
            self._fail_all(reason)
            self._changed.wait_for(lambda: self._is_stopping, pause)

    def _fail_all(self, reason: str) -> None:
        while self._triggers:
            self._fail(self._triggers.popleft(), reason)

    def _fail(self, trigger: _Trigger, reason: str) -> None:
        self._change(failures=self.state.failures + 1)
        text = reason if reason.startswith("camera ") else f"camera {self.settings.name}: {reason}"
        trigger.answer.set_exception(CameraError(text))

    def _change(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


def _hand_on(done: Future[Answer], answer: Future[Answer]) -> None:
    error = done.exception()
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())
