"""Channels by which results leave, and the table of their kinds.

A package adds a kind by an entry point in the group ``patchbank.channels``: a function that takes
the name of a channel, its target and a `ChannelContext`, and returns a `Channel`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, cast

from patchbank.errors import ParameterError, PatchbankError
from patchbank.runtime.plugins import PluginTable
from patchbank.server.records.entries import Message

SCHEMES = {"mqtt": "mqtt", "mqtts": "mqtt", "http": "webhook", "https": "webhook"}
"""Kinds of channels by the beginning of an address."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class Undelivered(PatchbankError):
    """A message was not delivered now; the same is sent again later."""


class Refused(PatchbankError):
    """A receiver takes others, but says that it will not take this message."""


class Channel(Protocol):
    """Takes one message after the other to a receiver; one thread calls it."""

    def send(self, message: Message) -> None:
        """Deliver a message, and return when the receiver has it.

        Raises:
            Refused: the receiver will not take this message, however often it is sent.
            Exception: it was not delivered now.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class KeptPhotograph(NamedTuple):
    """Content of a photograph that the service has kept."""

    suffix: str
    """Ending of its name, such as ``.png``."""
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelContext:
    """The service, as far as a channel needs it."""

    instance: str
    """Name of the service."""
    photograph: Callable[[int], KeptPhotograph | None]
    """Number of an inspection -> its photograph; None where it is not kept."""


OpenChannel: TypeAlias = Callable[[str, str, ChannelContext], Channel]
"""(name of the channel, target, context) -> the channel; it connects later, when it sends."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A channel that was asked for."""

    name: str
    """Name in status, metrics and records; messages that wait are found by it after a restart."""
    kind: str
    """A key of `CHANNELS`."""
    target: str
    """Address or folder."""

    @classmethod
    def parse(cls, text: str) -> ChannelSpec:
        """Read ``[NAME=]KIND:TARGET``; without a name, the kind is the name.

        An address says its kind itself: that of ``mqtt://`` and ``mqtts://`` is ``mqtt``, that of
        ``http://`` and ``https://`` is ``webhook``.

        >>> ChannelSpec.parse("mes=https://mes.local/hook")
        ChannelSpec(name='mes', kind='webhook', target='https://mes.local/hook')
        >>> ChannelSpec.parse("folder:/srv/results").name
        'folder'

        Raises:
            ParameterError: the text is not of this form.
        """
        head, colon, target = text.partition(":")
        name, equals, kind = head.rpartition("=")
        of_scheme = SCHEMES.get(kind) if target.startswith("//") else None
        if of_scheme is not None:
            kind, target = of_scheme, f"{kind}:{target}"
        name = name if equals else kind
        if not colon or not target or not kind or not _NAME.fullmatch(name):
            raise ParameterError(
                "--channel: expected [NAME=]KIND:TARGET with a name of a-z, 0-9, - and _, got "
                f"{head!r} in front; such as folder:/srv/results or mes=https://mes.local/hook"
            )
        return cls(name, kind, target)


def open_channels(specs: Sequence[ChannelSpec], context: ChannelContext) -> dict[str, Channel]:
    """Open channels, by their names.

    Raises:
        ParameterError: a kind is not known, a name is given twice, or a target is not usable.
    """
    opened: dict[str, Channel] = {}
    for spec in specs:
        if spec.name in opened:
            raise ParameterError(
                f"channel {spec.name}: expected each name once, got it twice; "
                f"give another one, as --channel {spec.name}2={spec.kind}:..."
            )
        if spec.kind not in CHANNELS.declared_names():
            raise ParameterError(
                f"channel {spec.name}: expected a kind of {', '.join(CHANNELS.declared_names())}, "
                f"got {spec.kind!r}"
            )
        opened[spec.name] = CHANNELS[spec.kind](spec.name, spec.target, context)
    return opened


def secret_of(name: str, what: str) -> str | None:
    """A secret of a channel, which is never an argument: others see those in lists of processes.

    It is the variable ``PATCHBANK_<NAME>_<WHAT>``, or the content of the file that
    ``PATCHBANK_<NAME>_<WHAT>_FILE`` names.

    Args:
        name: of the channel.
        what: ``password`` or ``secret``.

    Raises:
        ParameterError: the file cannot be read.
    """
    variable = secret_variable(name, what)
    path = os.environ.get(f"{variable}_FILE")
    if path is None:
        return os.environ.get(variable) or None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise ParameterError(
            f"{variable}_FILE: expected a file with a secret, got {path} ({reason})"
        ) from None


def secret_variable(name: str, what: str) -> str:
    """Name of the environment variable of a secret.

    >>> secret_variable("mes-2", "secret")
    'PATCHBANK_MES_2_SECRET'
    """
    return f"PATCHBANK_{name}_{what}".upper().replace("-", "_")


def _open_mqtt(name: str, target: str, context: ChannelContext) -> Channel:
    from patchbank.server.outbox.mqtt import MqttChannel

    return MqttChannel(name, target, context)


def _open_webhook(name: str, target: str, context: ChannelContext) -> Channel:
    from patchbank.server.outbox.webhook import WebhookChannel

    return WebhookChannel(name, target, context)


def _open_folder(name: str, target: str, context: ChannelContext) -> Channel:
    from patchbank.server.outbox.folder import FolderChannel

    return FolderChannel(name, target, context)


def _check_kind(name: str, entry: object) -> OpenChannel:
    if not callable(entry):
        raise TypeError(f"expected a function that opens a channel, got {type(entry).__name__}")
    return cast(OpenChannel, entry)


BUILT_IN: Mapping[str, OpenChannel] = {
    "mqtt": _open_mqtt,
    "webhook": _open_webhook,
    "folder": _open_folder,
}
CHANNELS: PluginTable[OpenChannel] = PluginTable(
    group="patchbank.channels",
    title="channel",
    built_in=BUILT_IN,
    check=_check_kind,
    error=ParameterError,
)
"""Kinds of channels: ours, then those of packages with an entry point ``patchbank.channels``."""
