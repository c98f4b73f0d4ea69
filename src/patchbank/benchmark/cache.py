"""Cache of feature maps on disk: runs on the same images share the work of the backbone.

The float32 values are stored unchanged, so scores are the same with and without the cache.  The
seconds that they took are stored too, so that times are reported as without the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from patchbank.backbones import BackboneInfo, FeatureExtractor
from patchbank.core.array_api import to_numpy
from patchbank.runtime.devices import HOST, Device
from patchbank.types import Array, FeatureMap, Image

SUFFIX = ".features"
UNFINISHED = ".part"
STORED_BETWEEN_CHECKS = 32  # images stored between two checks of the folder's size


@dataclass(frozen=True, slots=True)
class Stored:
    """Cached feature maps of one image."""

    maps: Sequence[FeatureMap]
    seconds: float
    """Time that the backbone took."""
    were_tensors: bool
    """Whether the backbone returned torch tensors."""


class FeatureCache:
    """A folder of feature maps that several processes read and write.

    Args:
        folder: folder of one category, inside the folder of all.
        limit_bytes: limit of all categories together; beyond it nothing is stored.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit = folder, limit_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._used = used_bytes(folder.parent)
        self._stored = 0

    def load(self, key: str) -> Stored | None:
        """Read the entry of a key; None if there is none."""
        try:
            with safe_open(self._folder / (key + SUFFIX), framework="numpy") as file:
                facts = file.metadata()
                maps = [file.get_tensor(str(i)) for i in range(len(file.keys()))]
        except (OSError, SafetensorError):  # missing, or truncated by a crash
            return None
        return Stored(maps, float(facts["seconds"]), facts["were_tensors"] == "True")

    def store(self, key: str, stored: Stored) -> None:
        """Write an entry, unless there is no room; readers see all of it or nothing."""
        n_bytes = sum(m.nbytes for m in stored.maps)
        if self._used + n_bytes > self._limit:
            return
        tensors = {str(i): np.ascontiguousarray(m) for i, m in enumerate(stored.maps)}
        facts = {"seconds": repr(stored.seconds), "were_tensors": str(stored.were_tensors)}
        unfinished = self._folder / f"{key}.{os.getpid()}{UNFINISHED}"
        try:
            unfinished.write_bytes(to_safetensors(tensors, facts))
            unfinished.replace(self._folder / (key + SUFFIX))
        except OSError:  # a full disk costs time, but must not fail the run
            unfinished.unlink(missing_ok=True)
        self._used += n_bytes
        self._stored += 1
        if self._stored % STORED_BETWEEN_CHECKS == 0:  # other processes write here too
            self._used = used_bytes(self._folder.parent)


class CachedExtractor:
    """Feature extractor with a cache in front of it.

    Images are processed one at a time, so that the seconds of each can be measured.
    """

    def __init__(self, extractor: FeatureExtractor, cache: FeatureCache, device: Device) -> None:
        self.plain = extractor
        """The extractor behind the cache."""
        self.saved_s = 0.0
        """Seconds saved by the cache so far, minus those that it cost."""
        self._cache, self._device = cache, device
        self._turn = threading.Lock()
        self._identity = _identity(extractor.info, extractor.layers)

    @property
    def info(self) -> BackboneInfo:
        """Origin of the weights, and how their input is prepared."""
        return self.plain.info

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers computed, in the order of the maps returned."""
        return self.plain.layers

    def __call__(self, image: Image) -> Sequence[Array]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map per layer, on its device."""
        with self._turn:
            return self._maps(image)

    def _maps(self, image: Image) -> Sequence[Array]:
        began = time.perf_counter()
        key = self._key(image)
        stored = self._cache.load(key)
        if stored is None:
            maps, seconds = self._compute(key, image)
        else:
            put = self._device.put if stored.were_tensors else HOST.put
            maps, seconds = [put(m) for m in stored.maps], stored.seconds
        self.saved_s += seconds - (time.perf_counter() - began)
        return maps

    def _compute(self, key: str, image: Image) -> tuple[Sequence[Array], float]:
        began = time.perf_counter()
        maps = self.plain(image)
        on_host = [to_numpy(m) for m in maps]  # synchronises with a GPU
        seconds = time.perf_counter() - began
        self._cache.store(key, Stored(on_host, seconds, not isinstance(maps[0], np.ndarray)))
        return maps, seconds

    def _key(self, image: Image) -> str:
        digest = hashlib.blake2b(self._identity, digest_size=20)
        digest.update(repr((image.shape, image.dtype.str)).encode())
        digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()


def used_bytes(folder: Path) -> int:
    """Total size of all files below a folder; other processes may be writing to it."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # deleted meanwhile
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def _identity(info: BackboneInfo, layers: tuple[str, ...]) -> bytes:
    """Hash of everything that determines the features of an image."""
    return json.dumps([info.name, info.sha256, info.mean, info.std, layers]).encode()
