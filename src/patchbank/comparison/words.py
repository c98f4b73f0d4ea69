"""Lines and tables about a comparison, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from patchbank.comparison.comparison import Comparison, Pair, Side, Verdict
from patchbank.detector.lineage.entry import Entry
from patchbank.runtime.percent import percent, percent_to_a_tenth

UNKNOWN = "-"


def headline(found: Comparison) -> str:
    """Number of photographs, and of verdicts that differ."""
    n = len(found.pairs)
    count = f"{n:,} photograph{'s' if n != 1 else ''} of {found.data}"
    changed = len(found.changed)
    if not changed:
        return f"{count}: no verdict differs"
    verb = "verdict differs" if changed == 1 else "verdicts differ"
    return (
        f"{count}: {changed:,} {verb} ({len(found.newly_flagged):,} good -> anomalous, "
        f"{len(found.newly_passed):,} anomalous -> good)"
    )


def sentence(found: Comparison) -> str:
    """One sentence about what changes from A to B."""
    if not found.changed:
        return "A and B have the same verdict on every photograph."
    if not found.has_labels:
        return (
            f"B flags {len(found.newly_flagged):,} that A passes, and passes "
            f"{len(found.newly_passed):,} that A flags."
        )
    return (
        f"B finds {_of(len(found.found), 'defect')} that A misses, and misses "
        f"{len(found.lost):,} that A finds; it flags "
        f"{_of(len(found.new_false_alarms), 'good photograph')} that A passes, and passes "
        f"{len(found.gone_false_alarms):,} that A flags."
    )


def rates(found: Comparison) -> list[tuple[str, str]]:
    """The two figures that are asked for first, of A and of B."""
    if found.has_labels:
        return [
            (_both(found, True), "defects found, by A \N{RIGHTWARDS ARROW} by B"),
            (_both(found, False), "good parts flagged, by A \N{RIGHTWARDS ARROW} by B"),
        ]
    return [
        (_both(found, None), "flagged, by A \N{RIGHTWARDS ARROW} by B"),
        (f"{len(found.changed):,}", "verdicts that differ"),
    ]


def by_label(found: Comparison) -> list[str]:
    """Changes among defects and among good photographs; nothing without labels."""
    if not found.has_labels:
        return []
    defects = sum(pair.is_defect is True for pair in found.pairs)
    good = len(found.pairs) - defects
    return [
        f"defects: {len(found.found):,} more found, {len(found.lost):,} lost, of {defects:,}",
        f"false alarms: {len(found.gone_false_alarms):,} gone, "
        f"{len(found.new_false_alarms):,} new, of {good:,} good photographs",
    ]


def change(pair: Pair) -> str:
    """One changed verdict: name, label, and both scores as shares of the thresholds."""
    label = f" ({pair.label})" if pair.label is not None else ""
    return f"{pair.image}{label}: {pair.a.word} {share(pair.a)} -> {pair.b.word} {share(pair.b)}"


def share(verdict: Verdict) -> str:
    """A score as a share of its threshold, or as it is where the threshold is not above zero."""
    if verdict.share is None:
        return f"{verdict.score:.4g} (threshold {verdict.threshold:.4g})"
    return f"{verdict.share:.3f}"


def correlation(found: Comparison) -> str:
    """The rank correlation in a sentence."""
    if found.rank_correlation is None:
        return "rank correlation of the scores: not defined, as one side gives all the same score"
    return f"rank correlation of the scores: {found.rank_correlation:.4f}"


def table(found: Comparison) -> list[tuple[str, str, str]]:
    """Facts of both sides: name, value of A, value of B.  Facts that neither has are left out."""

    def row(title: str, value: Callable[[Side], str]) -> tuple[str, str, str]:
        return title, value(found.a), value(found.b)

    def metric(title: str, name: str) -> tuple[str, str, str]:
        return row(title, lambda side: _metric(side, name))

    flagged = [("anomalous", *_flagged(found, None))]
    if found.has_labels:
        flagged += [
            ("defects found", *_flagged(found, True)),
            ("good photographs flagged", *_flagged(found, False)),
        ]
    rows = [
        row("photographs learned", lambda side: _count(side.n_photographs)),
        row("threshold", lambda side: _short(side.threshold)),
        row("pixel threshold", lambda side: _short(side.pixel_threshold)),
        row("expected false alarms", lambda side: _rate(side.false_alarm_rate)),
        *flagged,
        metric("image AUROC", "image_auroc"),
        metric("image AP", "image_ap"),
        metric("pixel AUROC", "pixel_auroc"),
        metric("AUPRO", "aupro"),
        row("time per photograph", _time),
        row("rows of the bank", _rows),
        row("size of the file", _size),
        row("method", lambda side: ", ".join(side.methods) or UNKNOWN),
        row("content sha256", lambda side: (side.sha256 or UNKNOWN)[:12]),
    ]
    return [one for one in rows if one[1:] != (UNKNOWN, UNKNOWN)]


def kinds(found: Comparison) -> list[tuple[str, str, str, str]]:
    """Each kind of defect: name, photographs, and how many of them A and B find."""
    if not found.has_labels:
        return []
    rows = []
    for name in sorted({pair.label or "" for pair in found.pairs if pair.is_defect}):
        pairs = [pair for pair in found.pairs if pair.label == name]
        by_a = sum(pair.a.is_anomalous for pair in pairs)
        by_b = sum(pair.b.is_anomalous for pair in pairs)
        rows.append((name, f"{len(pairs):,}", f"{by_a:,}", f"{by_b:,}"))
    return rows


def settings(found: Comparison) -> list[tuple[str, str, str]]:
    """Settings that differ: name, value of A, value of B."""
    return [(one.name, _value(one.a), _value(one.b)) for one in found.settings]


def descent(found: Comparison) -> list[str]:
    """Lines about the history between both; nothing where neither comes from the other."""
    if found.descent is None:
        return []
    n = len(found.descent.entries)
    newer, older = ("B", "A") if found.descent.newer == "b" else ("A", "B")
    count = "1 entry" if n == 1 else f"{n:,} entries"
    head = f"{newer} comes from {older}, by {count} of its history"
    return [head, *(f"  {entry_line(entry)}" for entry in found.descent.entries)]


def entry_line(entry: Entry) -> str:
    """An entry of a history in one line."""
    added = f", {entry.n_added:,} learned" if entry.n_added else ""
    said = ": ".join(filter(None, [entry.by, entry.reason]))
    forced = f" (forced: {entry.forced.reason})" if entry.forced is not None else ""
    return f"{entry.number} {entry.kind} {entry.time or 'time not known'}{added}" + (
        f"; {said}{forced}" if said or forced else ""
    )


def _flagged(found: Comparison, is_defect: bool | None) -> tuple[str, str]:
    """Number and share of the photographs that each side calls anomalous.

    Args:
        found: the comparison.
        is_defect: label of the photographs that count; None for all.
    """
    pairs = [pair for pair in found.pairs if is_defect is None or pair.is_defect is is_defect]
    a = sum(pair.a.is_anomalous for pair in pairs)
    b = sum(pair.b.is_anomalous for pair in pairs)
    return _part(a, len(pairs)), _part(b, len(pairs))


def _both(found: Comparison, is_defect: bool | None) -> str:
    """Share of the photographs of a label that A flags, and that B flags."""
    pairs = [pair for pair in found.pairs if is_defect is None or pair.is_defect is is_defect]
    if not pairs:
        return UNKNOWN
    shares = (
        sum(pair.a.is_anomalous for pair in pairs) / len(pairs),
        sum(pair.b.is_anomalous for pair in pairs) / len(pairs),
    )
    return " \N{RIGHTWARDS ARROW} ".join(map(percent_to_a_tenth, shares))


def _of(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _part(number: int, total: int) -> str:
    return f"{number:,} of {total:,}" + (
        f" ({percent_to_a_tenth(number / total)})" if total else ""
    )


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def _short(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"


def _rate(value: float | None) -> str:
    return UNKNOWN if value is None else percent(value)


def _metric(side: Side, name: str) -> str:
    value = None if side.metrics is None else getattr(side.metrics, name)
    return UNKNOWN if value is None else f"{value:.4f}"


def _time(side: Side) -> str:
    return UNKNOWN if side.time_ms is None else f"{side.time_ms:.1f} ms"


def _rows(side: Side) -> str:
    if not any(side.bank_rows):
        return UNKNOWN
    return " + ".join(_count(rows) for rows in side.bank_rows)


def _size(side: Side) -> str:
    return UNKNOWN if side.file_bytes is None else f"{side.file_bytes / 1e6:.1f} MB"


def _value(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, Mapping):  # a region of interest, as `RegionOfInterest.to_json` has it
        left, top, width, height = (value[name] for name in ("left", "top", "width", "height"))
        return f"{left},{top},{width},{height} ({percent_to_a_tenth(value['share'])})"
    text = str(value)
    return text[:12] if len(text) == 64 else text  # of a digest, as many digits as elsewhere
