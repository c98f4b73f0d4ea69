"""Triggers of cameras by MQTT: ``PREFIX/PRODUCT/trigger`` takes a picture and inspects it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import fields
from functools import partial
from typing import Any

from patchbank.errors import DataError
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import one_line, printable
from patchbank.server.intake import Answer
from patchbank.server.mqtt import Address, Connection
from patchbank.server.records.entries import Fields
from patchbank.server.sources.camera import Camera

LONGEST_TEXT = 200
KEYS = {"camera", "idempotency_key", *(each.name for each in fields(Fields))}


class MqttTriggers:
    """Listens for triggers; results leave by the outbox, and errors under ``PREFIX/PRODUCT/error``.

    A trigger that comes while there is no connection is not kept: its part would have gone.

    Args:
        url: of the broker, as for the channel ``mqtt``.
        password: for its user.
        cameras: that are triggered.
        instance: name of the service.
    """

    def __init__(
        self,
        url: str,
        password: str | None,
        cameras: Sequence[Camera],
        instance: str,
    ) -> None:
        address = Address.parse("--mqtt", url)
        self._prefix = address.prefix
        self._cameras = {camera.settings.name: camera for camera in cameras}
        products = dict.fromkeys(camera.settings.product for camera in cameras)
        self._topics = {f"{address.prefix}/{product}/trigger": product for product in products}
        self._connection = Connection(
            address,
            password=password,
            client_id=f"patchbank-{instance}-trigger-{secrets.token_hex(4)}",
            subscriptions=tuple(self._topics),
            on_message=self._on_message,
        )

    @property
    def is_connected(self) -> bool:
        """Whether triggers arrive."""
        return self._connection.is_connected

    def start(self) -> None:
        """Connect, now or when the broker is there."""
        self._connection.start()

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def _on_message(self, topic: str, payload: bytes) -> None:
        """Take a picture; nothing is raised here, as that would end the connection."""
        product = self._topics[topic]
        try:
            wanted = _wanted(payload)
            camera = self._camera(product, wanted.pop("camera", None))
            key = wanted.pop("idempotency_key", None)
            fields = Fields(**wanted, camera=camera.settings.name)
            answer, is_first = camera.trigger_once(fields, key)
            if is_first:  # the broker sends again what was not acknowledged
                answer.add_done_callback(partial(self._end, product, key))
        except Exception as error:
            self._say(product, None, error)

    def _camera(self, product: str, name: str | None) -> Camera:
        cameras = [c for c in self._cameras.values() if c.settings.product == product]
        found = [c for c in cameras if name is None or c.settings.name == name]
        if len(found) == 1:
            return found[0]
        names = ", ".join(camera.settings.name for camera in cameras)
        got = "none" if name is None else repr(name)
        raise DataError(f"camera: expected one of {names}, got {got}")

    def _end(self, product: str, key: str | None, answer: Future[Answer]) -> None:
        """Say why a trigger gave no verdict."""
        error = answer.exception()
        if error is not None:
            self._say(product, key, error)

    def _say(self, product: str, key: str | None, error: BaseException) -> None:
        message = one_line(str(error)) or type(error).__name__
        LOGGER.warning("trigger %s: %s", product, printable(message))
        content = {"product": product, "idempotency_key": key, "error": {"message": message}}
        self._connection.send_once(f"{self._prefix}/{product}/error", json.dumps(content))


def _wanted(payload: bytes) -> dict[str, Any]:
    """Keys of a trigger; an empty message has none.

    Raises:
        DataError: it is no object of texts, or has other keys.
    """
    try:
        wanted = json.loads(payload) if payload.strip() else {}
    except ValueError:
        raise DataError("trigger: expected nothing or JSON, got something else") from None
    if not isinstance(wanted, dict) or not wanted.keys() <= KEYS:
        raise DataError(f"trigger: expected keys of {', '.join(sorted(KEYS))}, got others")
    texts = all(isinstance(text, str) and 0 < len(text) <= LONGEST_TEXT for text in wanted.values())
    if not texts:
        raise DataError(f"trigger: expected texts of 1 to {LONGEST_TEXT} characters, got others")
    return wanted
