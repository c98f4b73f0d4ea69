"""Photographs of a set-up, as the detector of its product sees them that is in use so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchbank.choices import EngineName
from patchbank.errors import PatchbankError
from patchbank.images.source import ImageSource

if TYPE_CHECKING:
    from patchbank.detector.inspection import Inspection

INSPECTED = 8
"""Photographs that are inspected, spread over all."""


def seen_by(
    file: str, photographs: Sequence[ImageSource], device: str, engine: EngineName | None
) -> dict[str, int] | None:
    """Inspect some photographs by a detector.

    Args:
        file: of the detector.
        photographs: of good parts, those that cannot be read among them.
        device: where it computes.
        engine: that it uses; None for that of the file.

    Returns:
        Numbers of those that were inspected, and of those among them that are anomalous or unlike
        what the detector has learned; None where nothing can be said.
    """
    from patchbank.detector.inspection import FailedInspection
    from patchbank.detector.loading import load

    step = max(len(photographs) // INSPECTED, 1)
    chosen = photographs[::step][:INSPECTED]
    try:
        detector = load(Path(file), device=device, engine=engine)
        found = [
            one for one in detector.inspect(iter(chosen)) if not isinstance(one, FailedInspection)
        ]
    except PatchbankError:  # a detector that cannot be opened says nothing of photographs
        return None
    return {"inspected": len(found), "odd": sum(map(_is_odd, found))} if found else None


def is_other(seen: dict[str, Any] | None) -> bool:
    """Whether most photographs look as if they were of another product.

    >>> is_other({"inspected": 8, "odd": 5}), is_other({"inspected": 8, "odd": 4}), is_other(None)
    (True, False, False)
    """
    return seen is not None and 2 * int(seen["odd"]) > int(seen["inspected"])


def _is_odd(inspection: Inspection) -> bool:
    return inspection.is_anomalous or bool(inspection.unlike)
