"""A connection to an MQTT broker (MQTT 5), for the outbox and for triggers of cameras."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from patchbank.errors import ParameterError, PatchbankError

KEEPALIVE_S = 20
CONNECTION_WAIT_S = 3.0
"""Time to wait for a connection before an attempt counts as failed."""
ACKNOWLEDGEMENT_WAIT_S = 10.0
MOST_ACKNOWLEDGED = 100
"""Acknowledgements that are remembered for whoever waits."""
NOT_FOR_THIS_MESSAGE = frozenset(
    {"Packet too large", "Payload format invalid", "Topic name invalid"}
)
"""Reasons of a broker that concern a message, and not the connection."""


class BrokerError(PatchbankError):
    """A broker did not accept a message now."""


class BrokerRefusal(PatchbankError):
    """A broker says that it does not take this message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a broker is, and how it is connected to."""

    host: str
    port: int
    is_encrypted: bool
    username: str | None = None
    prefix: str = "patchbank"
    """First level of all topics."""
    ca: Path | None = None
    """Certificates of authorities; None takes those of the system."""
    certificate: Path | None = None
    """Own certificate, where the broker asks for one."""
    key: Path | None = None

    @classmethod
    def parse(
        cls, option: str, url: str, password_variable: str = "PATCHBANK_MQTT_PASSWORD"
    ) -> Address:
        """Read ``mqtt[s]://[USER@]HOST[:PORT][/PREFIX][?ca=FILE&cert=FILE&key=FILE]``.

        Args:
            option: that the address was given by, for errors.
            url: of the broker.
            password_variable: environment variable of the password, for errors.

        Raises:
            ParameterError: it is none, has a password in it, or a file is not there.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _bad(option, "that", "a port") from None
        query = parse_qs(parts.query)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.fragment:
            raise _bad(option, repr(_without_password(url)))
        if parts.password is not None:
            raise ParameterError(
                f"{option}: expected no password in the address, where others see it, got one; "
                f"set the environment variable {password_variable}"
            )
        unknown = query.keys() - {"ca", "cert", "key"}
        is_encrypted = parts.scheme == "mqtts"
        if unknown or (query and not is_encrypted):
            raise _bad(option, ", ".join(sorted(unknown or query)), "ca, cert and key with mqtts")
        prefix = parts.path.strip("/") or "patchbank"
        if any(sign in prefix for sign in "+#"):
            raise _bad(option, repr(prefix), "topics without + and #")
        return cls(
            host=parts.hostname,
            port=port or (8883 if is_encrypted else 1883),
            is_encrypted=is_encrypted,
            username=None if parts.username is None else unquote(parts.username),
            prefix=prefix,
            ca=_file(option, query, "ca"),
            certificate=_file(option, query, "cert"),
            key=_file(option, query, "key"),
        )

    @property
    def shown(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"


def _bad(option: str, got: str, expected: str = "") -> ParameterError:
    form = "mqtt[s]://[USER@]HOST[:PORT][/PREFIX][?ca=FILE&cert=FILE&key=FILE]"
    also = f" with {expected}" if expected else ""
    return ParameterError(f"{option}: expected {form}{also}, got {got}")


def _without_password(url: str) -> str:
    """An address as it may be shown."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _file(option: str, query: dict[str, list[str]], name: str) -> Path | None:
    if name not in query:
        return None
    path = Path(query[name][-1])
    if not os.access(path, os.R_OK) or not path.is_file():
        raise ParameterError(f"{option}: {name}: expected a file that can be read, got {path}")
    return path


class Connection:
    """A connection that comes back by itself; one thread publishes.

    Args:
        address: of the broker.
        password: for its user.
        client_id: name of the connection in the logs of the broker.
        status_topic: says ``online``, and by the last will ``offline``; retained.
        subscriptions: topics whose messages go to `on_message`.
        on_message: takes topic and payload, in the thread of the connection.

    Raises:
        ParameterError: the files of TLS are none.
    """

    def __init__(
        self,
        address: Address,
        *,
        password: str | None,
        client_id: str,
        status_topic: str | None = None,
        subscriptions: tuple[str, ...] = (),
        on_message: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.address = address
        self._status_topic, self._subscriptions = status_topic, subscriptions
        self._handle = on_message
        self._changed = threading.Condition()
        self._acknowledged: dict[int, Any] = {}
        self._pending: tuple[str, int] | None = None
        self._largest: int | None = None
        self._error, self._is_refused = "no connection yet", False
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        client.username_pw_set(address.username, password)
        if address.is_encrypted:
            _encrypt(client, address)
        if status_topic is not None:
            client.will_set(status_topic, "offline", qos=1, retain=True)
        client.reconnect_delay_set(min_delay=1, max_delay=10)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_publish = self._on_connect_fail, self._on_publish
        client.on_message = self._on_message
        self._client = client
        self._is_started = False

    def start(self) -> None:
        """Connect, now or when the broker is there."""
        if not self._is_started:
            self._is_started = True
            self._client.connect_async(self.address.host, self.address.port, KEEPALIVE_S)
            self._client.loop_start()

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._client.is_connected()

    def publish(self, topic: str, payload: str, key: str) -> None:
        """Publish a message with QoS 1, and return when the broker has acknowledged it.

        A message that is published again under the same key is waited for, and not sent a second
        time where the first one is still on its way.

        Raises:
            BrokerError: it is not acknowledged yet.
            BrokerRefusal: the broker does not take this message.
        """
        self.start()
        content = payload.encode()
        with self._changed:
            if not self._changed.wait_for(lambda: self.is_connected, CONNECTION_WAIT_S):
                raise BrokerError(f"{self.address.shown}: expected a connection, got {self._error}")
            if self._largest is not None and len(content) + len(topic) + 200 > self._largest:
                raise BrokerRefusal(
                    f"{self.address.shown}: expected at most {self._largest} bytes, got "
                    f"{len(content)} and the topic; raise max_packet_size of the broker"
                )
        if self._pending is None or self._pending[0] != key:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = "application/json"
            properties.PayloadFormatIndicator = 1
            properties.UserProperty = ("idempotency-key", key)
            sent = self._client.publish(topic, content, qos=1, properties=properties)
            self._pending = (key, sent.mid)
        number = self._pending[1]
        with self._changed:
            if not self._changed.wait_for(
                lambda: number in self._acknowledged, ACKNOWLEDGEMENT_WAIT_S
            ):
                raise BrokerError(f"{self.address.shown}: expected an acknowledgement, got none")
            reason = self._acknowledged.pop(number)
        self._pending = None
        if reason.is_failure:
            kind = BrokerRefusal if str(reason) in NOT_FOR_THIS_MESSAGE else BrokerError
            raise kind(f"{self.address.shown}: expected the broker to take it, got: {reason}")

    def send_once(self, topic: str, payload: str) -> None:
        """Publish a message if there is a connection, without waiting."""
        if self.is_connected:
            self._client.publish(topic, payload.encode(), qos=1)

    def close(self) -> None:
        """Say that the service is offline, and disconnect."""
        if not self._is_started:
            return
        if self._status_topic is not None and self.is_connected:
            said = self._client.publish(self._status_topic, "offline", qos=1, retain=True)
            with self._changed:
                self._changed.wait_for(lambda: said.mid in self._acknowledged, CONNECTION_WAIT_S)
        self._client.disconnect()
        self._client.loop_stop()
        self._is_started = False

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        with self._changed:
            self._is_refused = reason.is_failure
            if reason.is_failure:
                self._error = str(reason)
            else:
                self._largest = getattr(properties, "MaximumPacketSize", None)
                if self._status_topic is not None:
                    client.publish(self._status_topic, "online", qos=1, retain=True)
                for topic in self._subscriptions:
                    client.subscribe(topic, qos=1)
            self._changed.notify_all()

    def _on_connect_fail(self, client: Client, userdata: Any) -> None:
        self._error = "none: no broker answers there, or its certificate is not trusted"

    def _on_disconnect(
        self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if not self._is_refused:  # after a refusal this says nothing more
            self._error = f"it lost: {reason}"

    def _on_publish(
        self, client: Client, userdata: Any, number: int, reason: Any, properties: Any
    ) -> None:
        with self._changed:
            self._acknowledged[number] = reason
            if len(self._acknowledged) > MOST_ACKNOWLEDGED:  # of nobody who waits
                awaited = None if self._pending is None else self._pending[1]
                for old in [each for each in self._acknowledged if each != awaited][:-10]:
                    del self._acknowledged[old]
            self._changed.notify_all()

    def _on_message(self, client: Client, userdata: Any, message: Any) -> None:
        if self._handle is not None:
            self._handle(message.topic, message.payload)


def _encrypt(client: Client, address: Address) -> None:
    try:
        client.tls_set(
            ca_certs=None if address.ca is None else str(address.ca),
            certfile=None if address.certificate is None else str(address.certificate),
            keyfile=None if address.key is None else str(address.key),
            tls_version=ssl.PROTOCOL_TLS_CLIENT,
        )
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"mqtts: expected files of certificates and keys, got: {error}"
        ) from None
