"""`Shelf`: the detector files of a folder, of which those that were used last are open."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from patchbank.backbones import FeatureExtractor, runtime_of
from patchbank.choices import EngineName
from patchbank.detector.detector import Detector
from patchbank.detector.loading import load
from patchbank.errors import DataError, DetectorFileError
from patchbank.images.names import is_left_behind

SUFFIX = ".patchbank"
LIMIT_BYTES = 400_000_000
"""Size of the files that are open together; an open one takes about three times its size."""


class Shelf(Mapping[str, Detector]):
    """The detectors of a folder by the names of their files, opened when they are used.

    The least used are closed where the open ones are larger than `LIMIT_BYTES`, and networks of the
    same content are in memory once.  Any number of threads may use it.
    """

    def __init__(self, folder: Path, open_file: Callable[[Path], Detector]) -> None:
        """Find the files.

        Args:
            folder: with detector files.
            open_file: opens one.

        Raises:
            DataError: no such folder, or no detector file in it.
        """
        if not folder.is_dir():
            raise _no_folder(folder)
        found = sorted(p for p in folder.glob(f"*{SUFFIX}") if not is_left_behind(p.name))
        if not found:
            raise DataError(
                f"{folder}: expected a folder of detector files (*{SUFFIX}), got none in it; "
                "patchbank fit --each makes them"
            )
        self._files = {file.stem: file for file in found}
        self._open_file = open_file
        self._opened: OrderedDict[str, tuple[Detector, int]] = OrderedDict()
        self._digests: dict[str, str] = {}
        self._networks: dict[Hashable, FeatureExtractor] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls, folder: str | os.PathLike[str], device: str = "auto", engine: EngineName | None = None
    ) -> Shelf:
        """The detectors of a folder, as `load` opens them; errors as of the class."""
        return cls(Path(folder), partial(load, device=device, engine=engine))

    def __getitem__(self, name: str) -> Detector:
        """The detector of a name.

        Raises:
            KeyError: there is none.
            DetectorFileError, BackboneError: its file cannot be used, or is another one than
                before.
        """
        file = self._files[name]
        with self._lock:
            if name not in self._opened:
                detector = self._with_one_network(self._open_file(file))
                if self._digests.setdefault(name, detector.sha256) != detector.sha256:
                    raise DetectorFileError(
                        f"{file}: expected the detector that was found, got one that was changed "
                        "since; open the folder again"
                    )
                self._opened[name] = detector, file.stat().st_size
            self._opened.move_to_end(name)
            while len(self._opened) > 1 and self.open_bytes > LIMIT_BYTES:
                self._opened.popitem(last=False)
            return self._opened[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def open_bytes(self) -> int:
        """Size of the files that are open."""
        return sum(n_bytes for _, n_bytes in self._opened.values())

    def _with_one_network(self, detector: Detector) -> Detector:
        """The same detector, with networks that are in memory already."""
        members = []
        for member in detector.members:
            network = member.extractor
            info = network.info
            key = (
                *(info.sha256, network.layers, info.mean, info.std),
                *(runtime_of(network), member.device.name),
            )
            members.append(replace(member, extractor=self._networks.setdefault(key, network)))
        return replace(detector, members=tuple(members))


def _no_folder(path: Path) -> DataError:
    if not path.exists():
        return DataError(f"{path}: expected a folder of detectors, got nothing of that name")
    cure = "leave --auto out, or give its folder" if path.suffix == SUFFIX else "give its folder"
    return DataError(f"{path}: expected a folder of detectors, got a file; {cure}")
