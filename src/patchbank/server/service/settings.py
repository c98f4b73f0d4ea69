"""Settings of the service, as `patchbank serve` gives them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from patchbank.choices import EngineName
from patchbank.errors import DataError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LARGEST_QUEUE_BYTES = 512_000_000
"""Bytes of photographs that wait at most, whatever their number."""
QUEUE_PER_CORE = 4
"""Photographs at once, if not given: few, so that the last one does not wait for long."""


PATH_PART = re.compile(r"[A-Za-z0-9._~-]+")


def root_path_of(text: str) -> str:
    """The path of the service behind a proxy, as links begin with it.

    Raises:
        DataError: the text is no path.

    >>> root_path_of("patchbank/"), root_path_of("/a/b"), root_path_of("/")
    ('/patchbank', '/a/b', '')
    """
    parts = [part for part in text.split("/") if part]
    if not all(PATH_PART.fullmatch(part) and part.strip(".") for part in parts):
        raise DataError(f"--root-path: expected a path such as /patchbank, got {text!r}")
    return "".join(f"/{part}" for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Settings of one service; defaults are those of a computer at a line."""

    data: Path = Path("patchbank-data")
    """Folder of records, pictures, versions and uploaded products."""
    host: str = "127.0.0.1"
    port: int = 8760
    """0 takes any free port."""
    database: str | None = None
    """URL of the records; None for a file in `data`."""
    device: str = "auto"
    engine: EngineName | None = None
    allow_root: Path | None = None
    """Folder whose photographs a request may name by their path; None refuses all paths."""
    keep_good: float = 0.05
    """Share of good photographs that are kept; all others are."""
    pictures_gb: float = 20.0
    """Size of the kept pictures, beyond which the oldest are deleted."""
    pictures_days: int | None = None
    """Age beyond which kept pictures are deleted; None for any."""
    cluster: str | None = None
    """Address of a Ray cluster whose replicas inspect; None for this process."""
    max_queue: int | None = None
    """Photographs that wait or are inspected, beyond which requests are refused."""
    max_bytes: int = 64_000_000
    """Bytes of a request with photographs."""
    max_detector_bytes: int = 500_000_000
    """Bytes of a detector file that is sent."""
    max_pixels: int = 100_000_000
    """Pixels of a photograph, which its header states."""
    timeout_s: float = 30.0
    """Time after which a request is answered without the verdict."""
    products_mb: float = 2000.0
    """Size of the detector files that are kept open."""
    stop_s: float = 30.0
    """Time that requests have to end when the service stops."""
    root_path: str = ""
    """Path of the service behind a reverse proxy, in front of its links."""
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether nobody on another computer can reach it."""
        return self.host in LOOPBACK
