"""Copies of all detectors that products had, by the digest of their content."""

from __future__ import annotations

import re
from pathlib import Path

from patchbank.errors import DataError
from patchbank.runtime.atomic_file import make_folders, replace_file
from patchbank.server.intake import NotRecorded
from patchbank.server.records.tables import PRODUCT_LENGTH

SUFFIX = ".patchbank"
AUTO = "auto"
"""In place of the name of a product: the one that the photograph shows."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def product_name(file: Path) -> str:
    """The name of the product of a detector file.

    Raises:
        DataError: it is not of letters, digits, dots, underscores and hyphens.

    >>> product_name(Path("line/bolts_m8.patchbank"))
    'bolts_m8'
    """
    name = file.stem
    check_name(name, str(file))
    return name


def check_name(name: str, subject: str) -> None:
    """Check the name of a product.

    Raises:
        DataError: it is not of letters, digits, dots, underscores and hyphens, too long, or `AUTO`.
    """
    if name == AUTO:
        raise DataError(
            f"{subject}: expected another name than {AUTO!r}, which stands for the product that a "
            "photograph shows, got it; rename it"
        )
    if not NAME.fullmatch(name) or len(name) > PRODUCT_LENGTH or name.endswith("."):
        raise DataError(
            f"{subject}: expected a product name of letters, digits, '.', '_' and '-', up to "
            f"{PRODUCT_LENGTH}, got {name[:120]!r}; rename it"
        )


class Versions:
    """The folder of the copies: ``PRODUCT/SHA256.patchbank``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, product: str, sha256: str) -> Path:
        """Path of the copy of a detector, whether or not it is there."""
        return self._folder / product / f"{sha256}{SUFFIX}"

    def keep(self, product: str, sha256: str, content: bytes) -> None:
        """Copy a detector file, unless the same one was copied already.

        A file of the same content with another history replaces the copy.

        Raises:
            NotRecorded: it cannot be written.
        """
        path = self.path(product, sha256)
        try:
            if path.is_file() and path.read_bytes() == content:
                return
            make_folders(path.parent)
            replace_file(path, content)
        except OSError as error:
            raise NotRecorded(
                f"{path}: expected to write {len(content):,} bytes, got: {error.strerror}; "
                "make room, then it goes on"
            ) from None

    def read(self, product: str, sha256: str) -> bytes | None:
        """The bytes of a copy; None if there is none."""
        try:
            return self.path(product, sha256).read_bytes()
        except OSError:
            return None

    def has(self, product: str, sha256: str) -> bool:
        """Whether there is a copy."""
        return self.path(product, sha256).is_file()
