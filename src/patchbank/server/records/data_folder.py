"""The folder of a service: its database, pictures, detectors and name."""

from __future__ import annotations

import os
import re
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import URL

from patchbank.errors import DataError
from patchbank.runtime.atomic_file import create_file, make_folders
from patchbank.server.records.pictures import Pictures

INSTANCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class DataFolder:
    """The folder that `--data` names."""

    def __init__(self, folder: Path) -> None:
        """A folder that need not be there."""
        self.folder = folder
        self.database = folder / "records.sqlite"
        self.detectors = folder / "detectors"
        """Detectors that were uploaded."""
        self.versions = folder / "versions"
        """Each detector that a product had, as PRODUCT/SHA.patchbank."""
        self.setups = folder / "setups"
        """Photographs from which people set up products, and what was fitted."""
        self.comparisons = folder / "comparisons"
        self.pictures = Pictures(folder / "pictures")

    @property
    def url(self) -> str:
        """URL of the database of this folder."""
        path = str(self.database.absolute())
        return URL.create("sqlite+pysqlite", database=path).render_as_string()

    def make(self) -> None:
        """Make the folder, for its owner alone, as its records name people.

        Raises:
            DataError: it cannot be made.
        """
        try:
            is_new = not os.path.lexists(self.folder)
            make_folders(self.folder)
            if is_new:
                self.folder.chmod(0o700)
        except OSError as error:
            raise DataError(
                f"{self.folder}: expected a folder for records, got: {error.strerror or error}"
            ) from None

    def instance(self) -> str:
        """Name of the service of this folder, made at the first time and the same from then on.

        Raises:
            DataError: the file of the name cannot be written, or holds something else.
        """
        path = self.folder / "instance"
        try:
            if not path.exists():
                host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40] or "service"
                with suppress(FileExistsError):  # another process was quicker
                    create_file(path, f"{host}-{secrets.token_hex(4)}\n".encode())
            name = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: expected the name of the service, got: {error}") from None
        if not INSTANCE.fullmatch(name):
            raise DataError(
                f"{path}: expected up to 64 letters, digits, dots and dashes, got other text"
            )
        return name
