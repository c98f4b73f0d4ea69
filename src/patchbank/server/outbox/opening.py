"""The kinds of channels, ours and those of installed packages, and how they are opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from patchbank.errors import ParameterError
from patchbank.runtime.plugins import PluginTable
from patchbank.server.outbox.channels import Channel, ChannelContext, ChannelSpec, OpenChannel


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
