"""Sentences about a drift, for the console and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from patchbank.drift.follow import Drift, Lot, Shift

HOW = {
    "higher": "their scores are higher",
    "lower": "their scores are lower",
    "wider": "their scores differ more from each other",
    "narrower": "their scores differ less from each other",
}
ADVICE = (
    "compare photographs from before and since: light, lens, focus, position, compression, dirt, "
    "material, a frozen picture; if the new parts are good and here to stay, fit again with some "
    "of them"
)
ADVICE_FLAGGED = (
    "if the flagged ones are defects, the parts have become worse; if they are good, the parts or "
    "the camera have changed, and the detector must be fitted again with some of them"
)


def counts(drift: Drift) -> str:
    """The parts of all runs, by their outcome."""
    state = drift.state
    read = state.passed + state.flagged
    share = f" ({percent(state.flagged / read)})" if read else ""
    return (
        f"{count(state.parts, 'part')}: {state.passed:,} passed, {state.flagged:,} flagged{share}, "
        f"{state.failed:,} not inspected"
    )


def share_flagged(drift: Drift) -> str:
    """Share of the inspected parts that are flagged, as text."""
    inspected = drift.state.passed + drift.state.flagged
    return percent(drift.state.flagged / inspected) if inspected else "none"


def verdict(drift: Drift) -> Iterator[str]:
    """Each change that was found, and what to do; one sentence where there is none."""
    if drift.change is not None:
        yield _changed(drift, drift.change)
        yield ADVICE
    if drift.more_flagged is not None:
        yield _more_flagged(drift, drift.more_flagged)
        yield ADVICE_FLAGGED
    if not drift.alarm:
        yield (
            f"no sign that good parts have changed: evidence {drift.state.evidence:.1f} for the "
            f"parts that passed, {drift.state.flagged_evidence:.1f} for more flagged ones; the "
            f"alarm is at {drift.alarm_line:.1f}"
        )


def promise(drift: Drift) -> str:
    """The rate of false alarms that is promised, and for what."""
    return (
        f"of runs in which nothing changes, of any length, at most "
        f"{percent(drift.false_alarm_rate)} have a false alarm, for each of the two"
    )


def of_lot(drift: Drift, lot: Lot) -> str:
    """The flagged parts of a lot, and how many of them are expected to be good."""
    found = lot.found
    text = (
        f"parts {lot.first:,} to {lot.last:,}: {found.flagged:,} flagged, of which about "
        f"{found.expected_false:.1f} are expected to be good"
    )
    if not found.flagged:
        return f"parts {lot.first:,} to {lot.last:,}: none flagged"
    if drift.alarm:
        text += " if good parts had not changed"
    if not found.rejected:
        return f"{text}; none stands out so far that of such at most {percent(found.level)} are"
    return (
        f"{text}; at most {percent(found.level)} of the {found.rejected:,} from score "
        f"{found.rejected_score:.4g} up are ({found.rejected_by_ranks:,} by ranks alone)"
    )


def count(number: int, name: str) -> str:
    """A number of things, as text."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """A share as text.

    >>> percent(0.0123)
    '1.2 %'
    """
    return f"{100 * share:.2g} %" if share < 0.995 else f"{share:.0%}".replace("%", " %")


def _changed(drift: Drift, shift: Shift) -> str:
    change = shift.change
    how = HOW[change.direction]
    sizes = _sizes(shift, "median ", "{:.4g}".format)
    where = (
        "good parts differ from the learned ones from the first part on"
        if change.since == 1
        else f"good parts have changed since about part {change.since:,}{_image(shift)}"
    )
    return f"{where}: {how}{sizes}; alarm at part {change.part:,}"


def _more_flagged(drift: Drift, shift: Shift) -> str:
    change = shift.change
    sizes = _sizes(shift, "", percent)
    where = (
        "from the first part on"
        if change.since == 1
        else f"since about part {change.since:,}{_image(shift)}"
    )
    return f"more parts are flagged {where}{sizes}; alarm at part {change.part:,}"


def _sizes(shift: Shift, name: str, shown: Callable[[float], str]) -> str:
    """Values before and since a change, as text, where both are known."""
    if shift.before is None or shift.since is None:
        return ""
    earlier = "of the learned ones" if shift.change.since == 1 else "before"
    return f" ({name}{shown(shift.before)} {earlier}, {shown(shift.since)} since)"


def _image(shift: Shift) -> str:
    return "" if shift.image is None else f" ({shift.image})"
