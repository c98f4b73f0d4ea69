"""Delivery of the messages of the outbox: a thread for each channel, at least once, in order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from patchbank.errors import PatchbankError
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import one_line
from patchbank.server.outbox.channels import Channel, Refused
from patchbank.server.records.entries import Message, iso_utc

BATCH = 100
"""Messages that are read at a time."""
MARKED_AFTER_S = 1.0
"""Time after which delivered messages leave the table, though others of the batch are not sent."""
CHECKED_EVERY_S = 5.0
"""Time after which the table is counted again where nothing happens, for its limit."""


class OutboxRecords(Protocol):
    """The part of `Records` that the outbox needs."""

    def messages(self, channel: str, limit: int) -> Sequence[Message]:
        """Messages that wait for a channel, oldest first."""
        ...

    def delivered(self, numbers: Sequence[int]) -> None:
        """Remove messages that were received."""
        ...

    def failed(self, number: int) -> None:
        """Count an attempt of a message that has failed."""
        ...

    def set_aside(self, number: int, reason: str) -> None:
        """Keep a message that the receiver refuses for good, so that others can go."""
        ...

    def refused(self, channel: str) -> int:
        """Number of messages of a channel that were refused for good."""
        ...

    def outbox_size(self, channel: str) -> int:
        """Number of messages of a channel that wait."""
        ...

    def drop_oldest(self, channel: str, keep: int) -> int:
        """Drop the oldest messages of more than `keep`, noted in the audit; how many they are."""
        ...

    def channels(self) -> Sequence[str]:
        """Channels for which messages are there, also those of earlier runs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Times between attempts, and how often a refusal is tried again."""

    first_s: float = 1.0
    longest_s: float = 60.0
    refusals: int = 5
    """Attempts until a message that the receiver refuses is set aside."""

    def wait_s(self, failures: int) -> float:
        """Time to wait after so many failures in a row: doubled each time, with jitter.

        The jitter keeps stations whose receiver comes back from calling it all at once.
        """
        longest = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return random.uniform(0.5, 1.0) * longest


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """Facts of a channel for status and metrics; counts begin with the process."""

    name: str
    waiting: int = 0
    """Messages in the table."""
    delivered: int = 0
    failures: int = 0
    """Attempts that failed."""
    refused: int = 0
    """Messages in the table that are set aside: the receiver refused them again and again."""
    dropped: int = 0
    """Messages dropped, because there were more than the limit."""
    failures_in_a_row: int = 0
    error: str | None = None
    """Why the last attempt failed; None once one succeeded."""
    last_refusal: str | None = None
    last_delivery: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """The object in `GET /v1/status`."""
        last = None if self.last_delivery is None else iso_utc(self.last_delivery)
        return {**asdict(self), "last_delivery": last}


class Outbox:
    """Sends what `Records.add` has put into the outbox.

    Args:
        records: with the table of messages.
        channels: by their names (`channels.open_channels`).
        limit: messages that may wait for one channel; of more, the oldest are dropped.
        retry: times between attempts.
    """

    def __init__(
        self,
        records: OutboxRecords,
        channels: Mapping[str, Channel],
        *,
        limit: int = 100_000,
        retry: Retry = Retry(),
    ) -> None:
        self._records = records
        self._without_channel: list[str] = []
        self._workers = [
            _Worker(records, name, channel, limit, retry) for name, channel in channels.items()
        ]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, for `Records.add`."""
        return tuple(worker.channel_name for worker in self._workers)

    def start(self) -> None:
        """Begin to send, with what an earlier process has left."""
        self._without_channel = [
            name for name in self._records.channels() if name not in self.channels
        ]
        for name in self._without_channel:
            LOGGER.warning(
                "outbox %s: %d messages wait for a channel that is not given; they stay",
                name,
                self._records.outbox_size(name),
            )
        for worker in self._workers:
            worker.start()

    def notify(self) -> None:
        """There are new messages; to be called after each commit."""
        for worker in self._workers:
            worker.wake()

    def states(self) -> list[ChannelState]:
        """State of each channel."""
        return [worker.state for worker in self._workers]

    def status(self) -> dict[str, Any]:
        """The object in `GET /v1/status`: channels, and those that are not served any more."""
        return {
            "channels": [state.to_json() for state in self.states()],
            "without_channel": list(self._without_channel),
        }

    def close(self, wait_s: float = 5.0) -> list[ChannelState]:
        """Stop after the messages that are being sent; what waits is sent by the next process.

        Args:
            wait_s: time to wait for receivers that do not answer.
        """
        end = time.monotonic() + wait_s
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.finish(max(0.0, end - time.monotonic()))
        return self.states()


class _Worker(threading.Thread):
    """Sends the messages of one channel."""

    def __init__(
        self, records: OutboxRecords, name: str, channel: Channel, limit: int, retry: Retry
    ) -> None:
        super().__init__(name=f"outbox-{name}", daemon=True)
        self.channel_name = name
        self.state = ChannelState(name=name)
        self._records, self._channel = records, channel
        self._limit, self._retry = limit, retry
        self._wakened, self._stopping = threading.Event(), threading.Event()
        self._refusals: tuple[int, int] = (0, 0)
        self._delivered: list[int] = []
        self._checked = -CHECKED_EVERY_S

    def wake(self) -> None:
        self._wakened.set()

    def stop(self) -> None:
        self._stopping.set()
        self._wakened.set()

    def finish(self, wait_s: float) -> None:
        """Wait for the thread, and end the connection."""
        if self.ident is not None:
            self.join(wait_s)
        if self.is_alive():  # the connection is in use; both end with the process
            LOGGER.warning("outbox %s: the receiver does not answer", self.channel_name)
            return
        try:
            self._channel.close()
        except Exception as error:  # a channel of another package may raise anything
            LOGGER.warning("outbox %s: %s", self.channel_name, _reason(error))

    def run(self) -> None:
        """Send until `stop`; an error is a reason to wait, never to end."""
        while not self._stopping.is_set():
            self._wakened.clear()
            try:
                self._keep_limit()
                more = self._send_batch()
            except (Exception, SystemExit) as error:  # of another package, or of the database
                self._fail(error)
                continue
            if not more:
                self._change(waiting=0)
                self._wakened.wait(CHECKED_EVERY_S)

    def _send_batch(self) -> bool:
        """Send messages that wait.  -> whether there may be more."""
        self._mark()
        messages = self._records.messages(self.channel_name, BATCH)
        marked = time.monotonic()
        try:
            for message in messages:
                if self._stopping.is_set():
                    break
                if self._send(message):
                    self._delivered.append(message.id)
                if time.monotonic() - marked > MARKED_AFTER_S:
                    self._mark()
                    marked = time.monotonic()
        finally:
            self._mark()
        return len(messages) == BATCH

    def _mark(self) -> None:
        """Remove delivered messages; what the database does not take now is removed later."""
        if self._delivered:
            self._records.delivered(self._delivered)
            self._delivered = []

    def _send(self, message: Message) -> bool:
        """Send a message, or set it aside.

        Returns:
            Whether the receiver has it.

        Raises:
            Exception: it has to be sent again.
        """
        try:
            self._channel.send(message)
        except Refused as error:
            self._records.failed(message.id)
            if not self._is_set_aside(message, error):
                raise
            return False
        except (Exception, SystemExit):  # of a package of others
            self._records.failed(message.id)
            raise
        now = datetime.now(timezone.utc)
        self._change(delivered=self.state.delivered + 1, last_delivery=now)
        if self.state.error is not None:
            LOGGER.info("outbox %s: works again", self.channel_name)
        self._change(error=None, failures_in_a_row=0)
        return True

    def _is_set_aside(self, message: Message, error: Refused) -> bool:
        """Whether a message was refused so often that the next one is sent in its place."""
        latest, count = self._refusals
        count = count + 1 if latest == message.id else 1
        self._refusals = (message.id, count)
        if count < self._retry.refusals:
            return False
        self._records.set_aside(message.id, str(error))
        line = f"inspection {message.inspection_id}: {error}"
        LOGGER.warning("outbox %s: refused %d times, not sent: %s", self.channel_name, count, line)
        self._change(refused=self._records.refused(self.channel_name), last_refusal=line)
        return True

    def _fail(self, error: BaseException) -> None:
        """Note a failure, and wait; the limit holds meanwhile, too."""
        in_a_row, reason = self.state.failures_in_a_row + 1, _reason(error)
        if self.state.error is None:
            LOGGER.warning("outbox %s: %s; it is tried again", self.channel_name, reason)
        self._change(failures=self.state.failures + 1, failures_in_a_row=in_a_row, error=reason)
        end = time.monotonic() + self._retry.wait_s(in_a_row)
        while not self._stopping.wait(min(CHECKED_EVERY_S, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                return
            try:
                self._keep_limit()
            except Exception as trouble:  # of the database; what is sent next meets it again
                self._change(error=_reason(trouble))

    def _keep_limit(self) -> None:
        """Count the messages that wait, and drop the oldest above the limit."""
        now = time.monotonic()
        if now - self._checked < CHECKED_EVERY_S and self.state.waiting == 0:
            return
        waiting = self._records.outbox_size(self.channel_name)
        if waiting > self._limit:
            dropped = self._records.drop_oldest(self.channel_name, self._limit)
            waiting -= dropped
            LOGGER.warning(
                "outbox %s: more than %d messages wait, the oldest %d were dropped",
                self.channel_name,
                self._limit,
                dropped,
            )
            self._change(dropped=self.state.dropped + dropped)
        self._checked = now
        self._change(waiting=waiting, refused=self._records.refused(self.channel_name))

    def _change(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


def _reason(error: BaseException) -> str:
    """One line for an error; those of others are named by their type."""
    text = one_line(str(error))
    is_ours = isinstance(error, PatchbankError)
    return text if is_ours else f"{type(error).__name__}: {text}".removesuffix(": ")
