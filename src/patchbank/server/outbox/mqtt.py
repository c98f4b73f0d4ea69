"""The channel ``mqtt``: each result is published with QoS 1 under a topic of its product."""

from __future__ import annotations

import secrets

from patchbank.server.mqtt import Address, BrokerError, BrokerRefusal, Connection
from patchbank.server.outbox.channels import (
    ChannelContext,
    Refused,
    Undelivered,
    secret_of,
    secret_variable,
)
from patchbank.server.records.entries import Message


class MqttChannel:
    """Publishes to ``PREFIX/PRODUCT/inspections``; ``PREFIX/status/INSTANCE`` says online or not.

    A message counts as delivered when the broker has acknowledged it.  Its idempotency key is the
    user property ``idempotency-key``.
    """

    def __init__(self, name: str, target: str, context: ChannelContext) -> None:
        address = Address.parse(f"channel {name}", target, secret_variable(name, "password"))
        self._prefix = address.prefix
        self._connection = Connection(
            address,
            password=secret_of(name, "password"),
            client_id=f"patchbank-{context.instance}-{secrets.token_hex(4)}",
            status_topic=f"{address.prefix}/status/{context.instance}",
        )

    def send(self, message: Message) -> None:
        """Publish a message, and wait for its acknowledgement."""
        topic = f"{self._prefix}/{message.product}/inspections"
        try:
            self._connection.publish(topic, message.payload, message.key)
        except BrokerRefusal as error:
            raise Refused(str(error)) from None
        except BrokerError as error:
            raise Undelivered(str(error)) from None

    def close(self) -> None:
        """Say that the service is offline, and disconnect."""
        self._connection.close()
