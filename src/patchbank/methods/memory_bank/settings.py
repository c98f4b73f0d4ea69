"""Knobs of a memory bank: which patches it keeps, and how the others are measured against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from patchbank.core.coreset.random_projection import Projection
from patchbank.core.neighbours import IndexKind
from patchbank.core.scores.image_score import ImageScore, Metric
from patchbank.errors import ParameterError
from patchbank.methods.settings import (
    PatchSettings,
    require_choice,
    require_number,
    require_share,
    require_whole,
)

Start: TypeAlias = Literal["mean", "random", "first", "farthest", "starting_points"]

BANK_SIZES = ("coreset", "bank_rows", "covering_radius")


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSettings(PatchSettings):
    """Shared by the methods that keep a bank of patches."""

    IMAGE_SCORES: ClassVar[tuple[str, ...]] = get_args(ImageScore)

    selection: Literal["greedy", "random", "all"] = "greedy"
    """Which patches the bank keeps."""
    bank_limit: int = 7000
    """The most rows, where no size is asked for by one of the next three."""
    coreset: float | None = None
    """Share of the patches that the bank keeps, in (0, 1]."""
    bank_rows: int | None = None
    """Rows that the bank keeps."""
    covering_radius: float | None = None
    """Keep rows until every patch lies within this distance of one; greedy only."""
    projection: Literal["none", "gaussian", "uniform", "sparse"] = "none"
    """Select on a random projection: ``uniform`` (official) or ``sparse`` (hcw-00, anomalib)."""
    projection_dims: int | None = None
    """Dimensions of the projection; None for as many as keep distances (anomalib: eps 0.9)."""
    start: Start = "mean"
    """First pick of the greedy selection: the row nearest the ``mean``, drawn by `seed`
    (``random``), the ``first`` (hcw-00), the ``farthest`` from the mean (official, exact), or the
    farthest on average from some ``starting_points`` (official, approximate)."""
    n_starting_points: int = 10
    """Rows that are drawn as starting points."""
    n_neighbours: int = 1
    """Bank rows whose distances are averaged for a patch."""
    metric: Metric = "euclidean"
    """Distances of patches: ``euclidean``, or ``squared`` as in the official code."""
    index: IndexKind = "exact"
    """How neighbours are found; ``hnsw`` and ``ivf`` are approximate."""
    n_reweight_neighbours: int = 9
    """Neighbours that re-weighting looks at: b of equation 7."""

    def __post_init__(self) -> None:
        # slots make a new class, which the argument-free super() would not find
        super(BankSettings, self).__post_init__()
        for name in ("bank_limit", "n_neighbours", "n_starting_points"):
            require_whole(name, getattr(self, name), 1)
        require_whole("n_reweight_neighbours", self.n_reweight_neighbours, 2)
        for name in ("bank_rows", "projection_dims"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), 1)
        require_choice("selection", self.selection, ("greedy", "random", "all"))
        require_choice("start", self.start, get_args(Start))
        require_choice("projection", self.projection, ("none", *get_args(Projection)))
        require_choice("metric", self.metric, get_args(Metric))
        require_choice("index", self.index, get_args(IndexKind))
        if self.projection_dims is not None and self.projection == "none":
            raise ParameterError("projection_dims: expected projection beside it, got none")
        self._check_bank_size()

    def _check_bank_size(self) -> None:
        given = [name for name in BANK_SIZES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ParameterError(f"expected one size of the bank, got {' and '.join(given)}")
        if given and self.selection == "all":
            raise ParameterError(
                f"selection: expected 'greedy' or 'random' with {given[0]}, got 'all'"
            )
        if self.coreset is not None:
            require_share("coreset", self.coreset)
        for name in ("projection", "start"):
            default = BankSettings.__dataclass_fields__[name].default
            if self.selection != "greedy" and getattr(self, name) != default:
                raise ParameterError(
                    f"{name}: expected with selection 'greedy', got {self.selection!r}"
                )
        if self.covering_radius is not None:
            require_number("covering_radius", self.covering_radius)
            if not 0 <= self.covering_radius < float("inf"):
                raise ParameterError(
                    f"covering_radius: expected 0 or more, got {self.covering_radius}"
                )
            if self.selection != "greedy" or self.start == "starting_points":
                raise ParameterError(
                    "covering_radius: expected with selection 'greedy' and a start that is a row, "
                    f"got {self.selection!r} and {self.start!r}"
                )

    def rows_to_keep(self, n: int) -> int:
        """The most rows that the bank gets of `n` patches.

        Raises:
            ParameterError: more rows are asked for than there are patches.
        """
        if self.selection == "all" or self.covering_radius is not None:
            return n
        if self.coreset is not None:
            return max(1, int(n * self.coreset))
        if self.bank_rows is None:
            return min(n, self.bank_limit)
        if self.bank_rows > n:
            raise ParameterError(
                f"bank_rows: expected at most {n} (the patches), got {self.bank_rows}"
            )
        return self.bank_rows


def ruled_out(changes: Mapping[str, Any]) -> set[str]:
    """Settings of a preset that changes to it leave without meaning.

    >>> sorted(ruled_out({"bank_rows": 500}))
    ['bank_rows', 'coreset', 'covering_radius']
    """
    names: set[str] = set()
    if any(size in changes for size in (*BANK_SIZES, "bank_limit")):
        names.update(BANK_SIZES)
    if changes.get("selection") in ("random", "all"):
        names.update(("start", "projection", "projection_dims"))
    if changes.get("selection") == "all":
        names.update(BANK_SIZES)
    if changes.get("projection") == "none":
        names.add("projection_dims")
    return names
