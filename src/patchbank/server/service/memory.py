"""The detectors that are open: as many as fit, those that were used last."""

from __future__ import annotations

import threading
from collections import OrderedDict

from patchbank.detector.detector import Detector

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
