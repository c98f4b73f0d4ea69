"""Settings of a memory bank: which patches it keeps, and how others are compared with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from patchbank.choices import ImageScore, IndexKind, Metric, Projection
from patchbank.errors import ParameterError
from patchbank.settings import Group, PatchSettings, SeedSettings, redeclared, setting, settings_of
from patchbank.settings.declaration import BANK
from patchbank.settings.rules import Choice, Integer, Number, Optional, fraction

Selection: TypeAlias = Literal["greedy", "composable", "random", "all"]
SelectionSpace: TypeAlias = Literal["none", Projection]
Start: TypeAlias = Literal["mean", "random", "first", "farthest", "starting_points"]

BANK_SIZES = ("coreset", "bank_rows", "covering_radius")


def _another_size(value: Any) -> Collection[str]:
    """A bank has one size; None gives none."""
    return () if value is None else BANK_SIZES


def _greedy_settings(selection: Any) -> Collection[str]:
    """Settings of the greedy selection that another one leaves without meaning."""
    of_space = ("projection", "projection_dims")
    without: dict[Any, Collection[str]] = {
        "composable": (*of_space, "covering_radius"),
        "random": (*of_space, "start"),
        "all": (*of_space, "start", *BANK_SIZES),
    }
    return without.get(selection, ())


def _dims_of_no_projection(projection: Any) -> Collection[str]:
    return ("projection_dims",) if projection == "none" else ()


@dataclass(frozen=True, kw_only=True)
class BankSettings(Group):
    """Shared by the methods that keep a bank of patches."""

    image_score: ImageScore = redeclared(
        PatchSettings,
        "image_score",
        "top_fraction",
        help="Score of an image: the largest patch score, the same re-weighted (equation 7 of "
        "PatchCore), re-weighted as hcw-00 does, the largest 3 x 3 mean (smooth_max), or the mean "
        "of the highest ones (top_fraction).",
        rule=Choice.of(ImageScore),
    )
    selection: Selection = setting(
        "greedy",
        "Patches that the bank keeps: a coreset (k-centre greedy), one of coresets that each "
        "machine of a cluster selects for itself (composable; the same on one machine), a random "
        "draw, or all.",
        rule=Choice.of(Selection),
        group=BANK,
        rules_out=_greedy_settings,
    )
    bank_limit: int = setting(
        7000,
        "Most rows of the bank, where neither coreset nor bank_rows nor covering_radius is given.",
        rule=Integer(1),
        group=BANK,
        rules_out=_another_size,
    )
    coreset: float | None = setting(
        None,
        "Fraction of the patches that the bank keeps.",
        rule=Optional(fraction()),
        group=BANK,
        rules_out=_another_size,
    )
    bank_rows: int | None = setting(
        None,
        "Number of patches that the bank keeps.",
        rule=Optional(Integer(1)),
        group=BANK,
        everyday=True,
        rules_out=_another_size,
    )
    covering_radius: float | None = setting(
        None,
        "Keep patches until every patch lies within this distance of one that is kept; greedy "
        "selection only.",
        rule=Optional(Number(0, 1e9)),
        group=BANK,
        rules_out=_another_size,
    )
    projection: SelectionSpace = setting(
        "none",
        "Random projection in which the coreset is selected: uniform (official code) or sparse "
        "(hcw-00, anomalib).",
        rule=Choice.of(SelectionSpace),
        group=BANK,
        rules_out=_dims_of_no_projection,
    )
    projection_dims: int | None = setting(
        None,
        "Dimensions of the projection; if not given, as many as keep distances (anomalib's eps "
        "0.9).",
        rule=Optional(Integer(1, 100_000)),
        group=BANK,
    )
    start: Start = setting(
        "mean",
        "First centre of the greedy selection: the patch nearest the mean, a random one, the first "
        "(hcw-00), the farthest from the mean (official, exact), or the farthest on average from "
        "some starting_points (official, approximate).",
        rule=Choice.of(Start),
        group=BANK,
    )
    n_starting_points: int = setting(
        10,
        "Number of random patches that the start `starting_points` averages over.",
        rule=Integer(1),
        group=BANK,
    )
    n_neighbours: int = setting(
        1,
        "Nearest neighbours whose distances are averaged for the score of a patch.",
        rule=Integer(1),
        group=BANK,
    )
    metric: Metric = setting(
        "euclidean",
        "Distance of patches; the official code squares it.",
        rule=Choice.of(Metric),
        group=BANK,
    )
    index: IndexKind = setting(
        "exact",
        "Search for nearest neighbours; hnsw and ivf are approximate.",
        rule=Choice.of(IndexKind),
        group=BANK,
    )
    n_reweight_neighbours: int = setting(
        9,
        "Neighbours in the re-weighting of image_score: b of equation 7.",
        rule=Integer(2),
        group=BANK,
        formerly="support",
    )

    def check_combination(self) -> None:
        """One size of the bank; settings of the greedy selection only with that."""
        if self.projection_dims is not None and self.projection == "none":
            raise ParameterError("projection_dims: expected projection together with it, got none")
        given = [name for name in BANK_SIZES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ParameterError(
                f"{given[0]}: expected one size of the bank, got {' and '.join(given)}"
            )
        if given and self.selection == "all":
            raise ParameterError(
                f"selection: expected 'greedy', 'composable' or 'random' with {given[0]}, got 'all'"
            )
        needed = {"projection": ("greedy",), "start": ("greedy", "composable")}
        for name, selections in needed.items():
            default = settings_of(BankSettings)[name].default
            if self.selection not in selections and getattr(self, name) != default:
                expected = " or ".join(map(repr, selections))
                raise ParameterError(
                    f"{name}: expected with selection {expected}, got {self.selection!r}"
                )
        if self.covering_radius is not None and (
            self.selection != "greedy" or self.start == "starting_points"
        ):
            raise ParameterError(
                "covering_radius: expected with selection 'greedy' and a start that is a row, "
                f"got {self.selection!r} and {self.start!r}"
            )

    def rows_to_keep(self, n: int) -> int:
        """Number of rows that the bank gets of `n` patches, or the limit with a covering radius.

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


@dataclass(frozen=True, kw_only=True)
class BankParameters(BankSettings, PatchSettings, SeedSettings):
    """The settings that a method with a bank receives; each such method adds its own."""
