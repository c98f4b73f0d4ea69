"""The comparison of an exported graph with its detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np

from patchbank.export.precision import TOLERANCES, ExportPrecision, Tolerance

JSON_VERSION = 1
LEAST_SHARE = 0.1
"""Share of the threshold, that differences of lower scores are related to."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One photograph by the detector and by the graph."""

    image: str
    score: float
    exported_score: float
    p_value: float
    exported_p_value: float
    is_anomalous: bool
    exported_is_anomalous: bool
    map_difference: float
    """Largest difference of a value of the map, as a share of the highest one."""
    map_correlation: float
    """Pearson's; 1 where both maps are flat, to the tolerance."""
    threshold: float
    is_consistent: bool
    """Whether the graph's p-value follows from its score, and its regions from its map."""
    tolerance: Tolerance
    """The largest differences that the graph may have from the detector."""

    @property
    def score_difference(self) -> float:
        """Difference of the scores, as a share of the score, or of a tenth of the threshold.

        The larger of the two counts: next to nothing, digits mean nothing.
        """
        whole = max(abs(self.score), LEAST_SHARE * abs(self.threshold))
        return share(abs(self.score - self.exported_score), whole)

    @property
    def is_near_threshold(self) -> bool:
        """Whether rounding may decide the verdict."""
        return abs(self.score - self.threshold) <= self.tolerance.near_threshold * abs(
            self.threshold
        )

    @property
    def has_equal_verdict(self) -> bool:
        """Whether the verdicts are equal."""
        return self.is_anomalous == self.exported_is_anomalous

    @property
    def is_within_tolerance(self) -> bool:
        """Whether the graph gives what the detector gives."""
        return (
            (self.has_equal_verdict or self.is_near_threshold)
            and self.is_consistent
            and self.score_difference <= self.tolerance.score
            and self.map_difference <= self.tolerance.map
            and self.map_correlation >= self.tolerance.correlation
        )

    def to_json(self) -> dict[str, Any]:
        """The object of a photograph."""
        return {
            "image": self.image,
            "score": self.score,
            "exported_score": self.exported_score,
            "score_difference": self.score_difference,
            "p_value": self.p_value,
            "exported_p_value": self.exported_p_value,
            "verdict": word(self.is_anomalous),
            "exported_verdict": word(self.exported_is_anomalous),
            "is_near_threshold": self.is_near_threshold,
            "map_difference": self.map_difference,
            "map_correlation": self.map_correlation,
            "is_consistent": self.is_consistent,
            "is_within_tolerance": self.is_within_tolerance,
        }


@dataclass(frozen=True)
class Verification:
    """An exported graph and its detector, photograph by photograph."""

    exported: str
    """Name of the graph."""
    runtime: str
    precision: ExportPrecision
    """The precision of the graph, which decides what differences it may have."""
    pairs: tuple[Pair, ...]
    problems: tuple[str, ...] = ()
    """Faults of the graph itself, such as the digest of another detector."""
    errors: tuple[str, ...] = ()
    """Photographs that could not be read."""

    @property
    def tolerance(self) -> Tolerance:
        """The largest differences that the graph may have from the detector."""
        return TOLERANCES[self.precision]

    @property
    def beyond(self) -> tuple[Pair, ...]:
        """Photographs of which the graph says something else."""
        return tuple(pair for pair in self.pairs if not pair.is_within_tolerance)

    @property
    def is_passed(self) -> bool:
        """Whether the graph gives what the detector gives, on every photograph."""
        return bool(self.pairs) and not self.beyond and not self.problems

    @property
    def n_near_threshold(self) -> int:
        """Photographs whose verdict may be decided by rounding."""
        return sum(pair.is_near_threshold for pair in self.pairs)

    @property
    def n_other_verdicts(self) -> int:
        """Photographs with another verdict."""
        return sum(not pair.has_equal_verdict for pair in self.pairs)

    @property
    def largest_difference(self) -> float:
        """Largest difference of a score, as a share of it."""
        return max((pair.score_difference for pair in self.pairs), default=0.0)

    @property
    def typical_difference(self) -> float:
        """Median difference of a score, as a share of it."""
        return median(pair.score_difference for pair in self.pairs) if self.pairs else 0.0

    @cached_property
    def n_swapped(self) -> int:
        """Neighbours in the order of the scores whose order is another one."""
        order = np.argsort([pair.score for pair in self.pairs], kind="stable")
        exported = np.array([pair.exported_score for pair in self.pairs])[order]
        return int((np.diff(exported) < 0).sum())

    @property
    def failure(self) -> str:
        """The fault in one clause; empty where there is none."""
        if self.problems:
            return "; ".join(self.problems)
        if not self.pairs:
            return "no photograph that could be inspected"
        if not self.beyond:
            return ""
        worst = max(self.beyond, key=lambda pair: (not pair.has_equal_verdict, pair.map_difference))
        if all(not pair.is_consistent for pair in self.beyond):
            return (
                f"p-values or regions that do not follow from its scores and maps for "
                f"{len(self.beyond)} of {len(self.pairs)} photographs, such as {worst.image}"
            )
        return (
            f"something else for {len(self.beyond)} of {len(self.pairs)} photographs: "
            f"{worst.image} has score {worst.exported_score:.6g} "
            f"({word(worst.exported_is_anomalous)}) instead of {worst.score:.6g} "
            f"({word(worst.is_anomalous)}), and its map differs by "
            f"{worst.map_difference:.2g} of its highest value"
        )

    def to_json(self) -> dict[str, Any]:
        """The object of `patchbank verify --json`, without `version` and `detector_sha256`."""
        return {
            "schema_version": JSON_VERSION,
            "exported": self.exported,
            "runtime": self.runtime,
            "precision": self.precision,
            "is_passed": self.is_passed,
            "problems": list(self.problems),
            "photographs": len(self.pairs),
            "largest_score_difference": self.largest_difference,
            "typical_score_difference": self.typical_difference,
            "largest_map_difference": max((p.map_difference for p in self.pairs), default=0.0),
            "least_map_correlation": min((p.map_correlation for p in self.pairs), default=1.0),
            "other_verdicts": self.n_other_verdicts,
            "near_threshold": self.n_near_threshold,
            "swapped_ranks": self.n_swapped,
            "results": [pair.to_json() for pair in self.pairs],
            "errors": list(self.errors),
        }


def share(part: float, whole: float) -> float:
    """A part of a whole; 0 of nothing, infinite where only the whole is nothing.

    >>> share(1.0, 4.0), share(0.0, 0.0), share(1.0, 0.0)
    (0.25, 0.0, inf)
    """
    if whole:
        return part / whole
    return 0.0 if part == 0 else float("inf")


def word(is_anomalous: bool) -> str:
    """The word of a verdict."""
    return "anomalous" if is_anomalous else "good"


def correlation(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Pearson's correlation of two maps; 1 where both are flat, 0 where one is.

    >>> round(correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), 6)
    1.0
    """
    a, b = (np.ravel(values).astype(np.float64) for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(lengths) == 0:
        return float(max(lengths) == 0)
    return min(float(a @ b) / (lengths[0] * lengths[1]), 1.0)
