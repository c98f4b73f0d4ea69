"""Facts of photographs as JSON and arrays, and back, without making any class but `RECORDS`.

Numbers, texts and None are themselves.  Anything else is an object of one key, which says what its
value is: the items of a list or a tuple, the limits of a slice, the number of an array, or the name
of a class followed by its fields.  A record that is there already is named by its number, so that
what was shared is shared again.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.spatial.box import Box
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.images.copies import Fingerprint
from patchbank.images.placement import Placement
from patchbank.images.pose import Pose
from patchbank.images.roi import InspectedPart
from patchbank.images.small_pictures import PictureScale, SmallPicture
from patchbank.images.traits import Traits
from patchbank.methods.patch_store import CollectedPatches, StoredImage
from patchbank.settings import MapSettings
from patchbank.training.photographs import Content, Contents
from patchbank.training.reading import PartRead
from patchbank.training.series import PhotographPatches

RECORDS: dict[str, type] = {
    one.__name__: one
    for one in (
        Box,
        CollectedPatches,
        Content,
        Contents,
        Fingerprint,
        ImageGeometry,
        InspectedPart,
        MapSettings,
        PartRead,
        PhotographPatches,
        PictureScale,
        Placement,
        Pose,
        SmallPicture,
        StoredImage,
        Traits,
    )
}
"""The classes of records by their names."""


def _arguments(record: type) -> tuple[str, ...]:
    """Names of the attributes that a record is made of, in order."""
    if record is InspectedPart:
        return "photograph", "box", "mask"
    return (
        tuple(one.name for one in fields(record)) if is_dataclass(record) else record._fields  # type: ignore[attr-defined]
    )


class FactsWriter:
    """Writes facts as JSON, and collects the arrays in them."""

    def __init__(self) -> None:
        """Nothing is written yet."""
        self.arrays: dict[str, NDArray[Any]] = {}
        """The arrays by their numbers, which are text."""
        self._records: dict[int, tuple[int, object]] = {}  # kept, so that no other has its identity

    def as_json(self, facts: object) -> Any:
        """A value as JSON.

        Raises:
            TypeError: it is of another class than can be read again.
        """
        match facts:
            case None | bool() | int() | float() | str():
                return facts
            case bytes():
                return {"bytes": self._array(np.frombuffer(facts, np.uint8))}
            case np.ndarray():
                return {"array": self._array(facts)}
            case slice():
                return {"slice": [facts.start, facts.stop, facts.step]}
            case list():
                return {"list": [self.as_json(one) for one in facts]}
        if type(facts) is tuple:
            return {"tuple": [self.as_json(one) for one in facts]}
        return self._record(facts)

    def _record(self, facts: object) -> dict[str, Any]:
        record = type(facts)
        if RECORDS.get(record.__name__) is not record:
            raise TypeError(f"expected facts of photographs, got {record.__name__}")
        if id(facts) in self._records:
            return {"again": self._records[id(facts)][0]}
        written = [self.as_json(getattr(facts, name)) for name in _arguments(record)]
        self._records[id(facts)] = len(self._records), facts
        return {record.__name__: written}

    def _array(self, array: NDArray[Any]) -> str:
        name = str(len(self.arrays))
        self.arrays[name] = np.ascontiguousarray(array)
        return name


class FactsReader:
    """Reads what a `FactsWriter` has written."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take the arrays by their numbers."""
        self._arrays = arrays
        self._records: list[Any] = []

    def read(self, written: Any) -> Any:
        """The value that was written.

        Raises:
            KeyError, TypeError, ValueError, IndexError: it is none, or of another version.
        """
        if written is None or isinstance(written, bool | int | float | str):
            return written
        ((kind, value),) = written.items()
        match kind:
            case "bytes":
                return self._arrays[value].tobytes()
            case "array":
                return self._arrays[value]
            case "slice":
                return slice(*value)
            case "list":
                return [self.read(one) for one in value]
            case "tuple":
                return tuple(self.read(one) for one in value)
            case "again":
                return self._records[value]
        record = RECORDS[kind]
        values = [self.read(one) for one in value]
        made = record(**dict(zip(_arguments(record), values, strict=True)))
        self._records.append(made)
        return made
