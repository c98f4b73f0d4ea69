"""Precisions of exported graphs: which ones a detector has, and how much each may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from patchbank.backbones import runtime_of
from patchbank.detector.packing import DetectorParts
from patchbank.errors import ParameterError
from patchbank.methods import Method
from patchbank.settings.rules import Choice

ExportPrecision: TypeAlias = Literal["float32", "float16", "int8"]
EXPORT_PRECISIONS: tuple[ExportPrecision, ...] = get_args(ExportPrecision)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The largest differences that a graph may have from its detector."""

    score: float
    """Largest difference of a score, as a share of it."""
    map: float
    """Largest difference of a value of the map, as a share of the highest one."""
    correlation: float
    """Least Pearson correlation of two maps."""
    near_threshold: float
    """Share of the threshold within which a score may fall on either side of it."""

    def of_map(self, methods: Iterable[Method], share_beyond: float) -> Tolerance:
        """The same for a map of these methods.

        Args:
            methods: of the members.
            share_beyond: share of the map's values that differ by more than `map`.
        """
        chosen = any(method.chooses_neighbours for method in methods)
        if chosen and share_beyond <= SHARE_OF_CHOSEN_NEIGHBOURS:
            return replace(self, map=MAP_OF_CHOSEN_NEIGHBOURS)
        return self


MAP_OF_CHOSEN_NEIGHBOURS, SHARE_OF_CHOSEN_NEIGHBOURS = 2e-2, 0.05
"""Largest difference where a cell changes with another neighbour (`Method.chooses_neighbours`), and
the largest share of a map that such cells may be: smoothing spreads one over some around it."""
EXACT = Tolerance(score=1e-3, map=1e-3, correlation=0.9999, near_threshold=1e-5)
ROUNDED = Tolerance(score=2e-3, map=2e-3, correlation=0.9999, near_threshold=2e-3)
TOLERANCES: Mapping[ExportPrecision, Tolerance] = {
    "float32": EXACT,
    "float16": ROUNDED,
    "int8": EXACT,  # it is the precision of the fit, so that nothing is rounded by the export
}


def chosen_precision(parts: DetectorParts, wanted: ExportPrecision | None) -> ExportPrecision:
    """The precision of a graph: the one that is wanted, or that of the detector.

    Raises:
        ParameterError: the detector has no graph of that precision.
    """
    fitted = {runtime_of(member.extractor)[1] for member in parts.members}
    if wanted is None:
        return "int8" if "int8" in fitted else "float32"
    Choice(EXPORT_PRECISIONS).check("precision", wanted)
    if wanted == "int8" and "int8" not in fitted:
        raise ParameterError(
            "precision: expected float32 or float16 for a detector that was fitted in float32, got "
            "int8; fit it in int8 (patchbank fit ... --precision int8), and export that one"
        )
    if wanted != "int8" and "int8" in fitted:
        raise ParameterError(
            f"precision: expected int8, in which the detector was fitted, got {wanted}; fit it in "
            f"float32 (patchbank fit ... --precision float32), and export that one"
        )
    return wanted
