"""The channel ``folder``: each result is a file of JSON in ``OK``, ``NG`` or ``UNREAD``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from patchbank.errors import ParameterError
from patchbank.runtime.atomic_file import make_folders, replace_file
from patchbank.runtime.logs import LOGGER
from patchbank.server.outbox.channels import ChannelContext, Refused, Undelivered
from patchbank.server.records.entries import Message

FOLDERS = {"good": "OK", "anomalous": "NG", "unread": "UNREAD"}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class FolderChannel:
    """Writes ``PRODUCT-INSTANCE-NUMBER.json``, and the photograph of this name where it is kept.

    The photograph is there before the JSON, so that whoever finds the JSON finds both.  A file that
    is there already with the same content is the same delivery, made before a crash.
    """

    def __init__(self, name: str, target: str, context: ChannelContext) -> None:
        self._folder, self._context = Path(target), context
        if self._folder.is_dir():
            return
        if self._folder.exists():
            raise ParameterError(f"channel {name}: expected a folder, got the file {target}")
        LOGGER.warning("channel %s: %s is not there; results wait until it is", name, target)

    def send(self, message: Message) -> None:
        """Write the files of a message."""
        verdict = json.loads(message.payload)["verdict"]
        if verdict not in FOLDERS:
            raise Refused(f"folder: expected a verdict of {', '.join(FOLDERS)}, got {verdict!r}")
        parent = self._folder / FOLDERS[verdict]
        stem = f"{message.product}-{self._context.instance}-{message.inspection_id:09d}"
        photograph = self._context.photograph(message.inspection_id)
        try:
            if not self._folder.is_dir():  # making it would hide that a drive is gone
                raise Undelivered(f"{self._folder}: expected the folder, got none")
            make_folders(parent)
            path = _free(parent, _UNSAFE.sub("_", stem), message.payload.encode())
            if photograph is not None:
                _write(path.with_name(path.stem + photograph.suffix), photograph.content)
            _write(path, message.payload.encode())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise Undelivered(f"{parent}: expected to write a file, got: {reason}") from None

    def close(self) -> None:
        """There is no connection."""


def _free(parent: Path, stem: str, content: bytes) -> Path:
    """Path of the JSON: one that is free, or has this content.

    Another content under the number of an inspection is that of another database, or of one that
    was restored from a backup; it stays.
    """
    path, number = parent / f"{stem}.json", 1
    while path.exists() and path.read_bytes() != content:
        number += 1
        path = parent / f"{stem}-{number}.json"
    return path


def _write(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        replace_file(path, content)
