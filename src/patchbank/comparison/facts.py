"""Facts of two detectors: how they were made, how they differ, if one comes from the other."""

from __future__ import annotations

import os
from itertools import zip_longest
from pathlib import Path
from typing import Any

from patchbank.comparison.comparison import Descent, SettingDifference, Side
from patchbank.detector.detector import Detector, parts_of
from patchbank.detector.lineage.entry import Entry
from patchbank.detector.lineage.state import state_of
from patchbank.detector.member import Member
from patchbank.detector.packing import pack


def side_of(detector: Detector, name: str, file: str | os.PathLike[str] | None) -> Side:
    """The facts of one detector, before anything is inspected.

    Args:
        detector: that is compared.
        name: by which results call it.
        file: from which it was opened; None for a detector in memory.
    """
    calibration = detector.calibration
    return Side(
        name=name,
        sha256=detector.sha256,
        methods=tuple(_method(member) for member in detector.members),
        n_photographs=len(detector.fitted_on),
        threshold=calibration.threshold,
        pixel_threshold=calibration.pixel_threshold,
        false_alarm_rate=None if calibration.views_of_one else calibration.expected_rate,
        file_bytes=None if file is None else Path(file).stat().st_size,
        bank_rows=tuple(m.model.summary().get("bank_rows") for m in detector.members),
    )


def differences(a: Detector, b: Detector) -> tuple[SettingDifference, ...]:
    """Settings, backbones and regions of interest in which two detectors differ, by member."""
    found: list[SettingDifference] = []
    several = max(len(a.members), len(b.members)) > 1
    for number, (one, other) in enumerate(zip_longest(a.members, b.members), 1):
        prefix = f"member {number}: " if several else ""
        first, second = _facts(one), _facts(other)
        for name in dict.fromkeys([*first, *second]):
            if first.get(name) != second.get(name):
                found.append(SettingDifference(prefix + name, first.get(name), second.get(name)))
    regions = [detector.roi.to_json() if detector.roi else None for detector in (a, b)]
    if regions[0] != regions[1]:
        found.append(SettingDifference("region of interest", *regions))
    return tuple(found)


def descent(a: Detector, b: Detector) -> Descent | None:
    """The entries of the history between two detectors, one of which comes from the other.

    -> None where neither does: they were fitted separately, or changed separately since.
    """
    for newer, older, name in ((b, a, "b"), (a, b, "a")):
        entries = _since(newer, older)
        if entries:
            return Descent(name, entries)
    return None


def _since(newer: Detector, older: Detector) -> tuple[Entry, ...]:
    """The entries of `newer` after the state of `older`; none where it never was `older`."""
    if newer.lineage is None:
        return ()
    entries = newer.lineage.entries
    if older.lineage is not None:
        hashes = [entry.hash for entry in entries]
        head = older.lineage.head
        return entries[hashes.index(head) + 1 :] if head in hashes else ()
    state = state_of(pack(parts_of(older), as_onnx=False))
    return entries[1:] if state.is_of(entries[0].state) else ()


def _method(member: Member) -> str:
    return f"{member.method} on {member.extractor.info.name}"


def _facts(member: Member | None) -> dict[str, Any]:
    """Settings and identity of a member, as JSON can hold them; none where there is no member."""
    if member is None:
        return {}
    info = member.extractor.info
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in member.settings.to_mapping().items()
    }
    return {
        "method": member.method,
        "backbone": info.name,
        "backbone weights": info.source_sha256 or info.sha256,
        "layers": list(member.extractor.layers),
        **settings,
    }
