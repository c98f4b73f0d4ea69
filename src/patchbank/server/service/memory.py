"""The detectors that are open: as many as fit, those that were used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from patchbank.choices import EngineName
from patchbank.detector.detector import Detector, detector_from_bytes
from patchbank.errors import DetectorFileError, PatchbankError

Key = tuple[str, str]
"""Product, and digest of the content of the detector."""


class DetectorMemory:
    """Open detectors, by the size of their files.

    Whoever inspects with one has it until the end, also when it is dropped here meanwhile.
    """

    def __init__(self, limit_mb: float) -> None:
        self._limit_mb = limit_mb
        self._lock = threading.Lock()
        self._open: OrderedDict[Key, tuple[Detector, int]] = OrderedDict()

    def get(self, key: Key) -> Detector | None:
        """A detector, which counts as used; None if it is not open."""
        with self._lock:
            found = self._open.get(key)
            if found is None:
                return None
            self._open.move_to_end(key)
            return found[0]

    def keep(self, key: Key, detector: Detector, n_bytes: int) -> None:
        """Keep a detector, and drop the least used beyond the limit; the last one always stays."""
        with self._lock:
            self._open[key] = detector, n_bytes
            self._open.move_to_end(key)
            while len(self._open) > 1 and self._mb > self._limit_mb:
                self._open.popitem(last=False)

    def __contains__(self, key: Key) -> bool:
        return key in self._open

    def keys(self) -> set[Key]:
        """Keys of the open ones."""
        with self._lock:
            return set(self._open)

    @property
    def _mb(self) -> float:
        return sum(n_bytes for _, n_bytes in self._open.values()) / 1e6


class OpenDetectors:
    """Detectors of products, opened from the bytes of their files and kept in memory."""

    def __init__(
        self,
        limit_mb: float,
        device: str,
        engine: EngineName | None,
        content: Callable[[str, str], bytes],
    ) -> None:
        """Begin without one.

        Args:
            limit_mb: size of the files of those that stay open.
            device: as in `load`.
            engine: as in `load`.
            content: gives the bytes of the file of a product and digest.
        """
        self.memory = DetectorMemory(limit_mb)
        self._device, self._engine, self._content = device, engine, content
        self._loading = threading.Lock()

    def version(self, product: str, sha256: str) -> Detector:
        """A detector that a product has or had.

        Raises:
            DetectorFileError, BackboneError: it cannot be used, or is another one.
        """
        found = self.memory.get((product, sha256))
        if found is not None:
            return found
        with self._loading:
            found = self.memory.get((product, sha256))
            if found is not None:
                return found
            content = self._content(product, sha256)
            detector = self.read(content, f"{product} {sha256[:12]}")
            if detector.sha256 != sha256:
                raise DetectorFileError(
                    f"{product}: expected the detector {sha256[:12]} among the versions, got "
                    f"{detector.sha256[:12]} under its name; restore it from the backup"
                )
            self.memory.keep((product, sha256), detector, len(content))
            return detector

    def read(self, content: bytes, name: str) -> Detector:
        """Open the bytes of a detector file.

        Raises:
            DetectorFileError, BackboneError: it cannot be used.
        """
        try:
            return detector_from_bytes(content, None, self._device, self._engine)
        except PatchbankError as error:
            raise type(error)(f"{name}: {str(error).removeprefix('detector: ')}") from None
