"""Facts of the updates of a detector, besides what it learned by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from patchbank.errors import DetectorFileError

KEY = "updates"


@dataclass(frozen=True, slots=True)
class Updates:
    """Facts that later updates need."""

    normal: tuple[int, ...] = ()
    """Numbers of the photographs that a person said to be normal, ascending.  They are learned, but
    have no score in the calibration: they were chosen because they were flagged."""
    fit_rows: tuple[int | None, ...] = ()
    """Rows of the bank of each member before the first update; None for one without a bank."""

    def number_in_sample(self, photograph: int) -> int | None:
        """Number of a learned photograph among those that have a score; None if it has none."""
        if photograph in self.normal:
            return None
        return photograph - sum(normal < photograph for normal in self.normal)

    def truncated(self, n_rows: int) -> Updates:
        """The facts after the bank was truncated."""
        rows = tuple(None if n is None else min(n, n_rows) for n in self.fit_rows)
        return replace(self, fit_rows=rows)


def n_in_sample(record: Mapping[str, Any]) -> int:
    """Number of learned photographs that have a score in the calibration.

    Args:
        record: of a file, whose keys are checked.
    """
    normal = record.get(KEY, {}).get("normal", ())
    return len(record["fitted_on"]) - len(normal)


def pack_updates(updates: Updates | None) -> dict[str, Any]:
    """Key of the record; none where nothing was updated."""
    if updates is None:
        return {}
    return {KEY: {"normal": list(updates.normal), "fit_rows": list(updates.fit_rows)}}


def unpack_updates(record: Mapping[str, Any]) -> Updates | None:
    """The facts in a file; None for files that have none."""
    found = record.get(KEY)
    if found is None:
        return None
    return Updates(tuple(found["normal"]), tuple(found["fit_rows"]))


def are_updates(value: Any) -> bool:
    """Whether a value of the record lists photographs, each once, and rows of members."""
    if not isinstance(value, dict) or value.keys() != {"normal", "fit_rows"}:
        return False
    normal, rows = value["normal"], value["fit_rows"]
    return (
        isinstance(normal, list)
        and all(type(n) is int and n >= 0 for n in normal)
        and normal == sorted(set(normal))
        and isinstance(rows, list)
        and all(n is None or (type(n) is int and 1 <= n < 2**31) for n in rows)
    )


def check_updates(record: Mapping[str, Any]) -> None:
    """Check the facts of a file against its photographs and members.

    Raises:
        DetectorFileError: they contradict each other.
    """
    found, n_photographs = record.get(KEY), len(record["fitted_on"])
    if found is None:
        return
    if found["normal"] and found["normal"][-1] >= n_photographs:
        raise DetectorFileError(
            f"{KEY}.normal: expected numbers below {n_photographs} (the photographs), "
            f"got {found['normal'][-1]}"
        )
    if len(found["fit_rows"]) != len(record["members"]):
        raise DetectorFileError(
            f"{KEY}.fit_rows: expected one for each of {len(record['members'])} members, "
            f"got {len(found['fit_rows'])}"
        )
