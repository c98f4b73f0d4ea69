"""Write the report of a fit as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.detector import Detector
from patchbank.detector.fit_facts import FitFacts
from patchbank.images.folders import few
from patchbank.report import Gallery, draw_inspection, draw_photograph, render, write_page
from patchbank.report.plots import Histogram, histogram
from patchbank.runtime.percent import percent, percent_at_most
from patchbank.training.left_out import LeftOutPhotographs, PhotographGroup
from patchbank.training.photographs import Remarks

MOST_GROUPS = 12
"""Groups that are drawn at most."""
MOST_PICTURES = 6
"""Photographs of a group that are drawn at most."""
MOST_IN_SENTENCE = 3
"""Photographs that the first sentence names."""
MOST_NAMES = 20
"""Photographs of a group that are named without being drawn."""


def write_fit_report(detector: Detector, remarks: Remarks, folder: Path) -> Path:
    """Write one self-contained page into a folder, which is made if it is not there.

    -> the path of the page.  A photograph that cannot be read any more has the reason in its place.

    Args:
        detector: that was fitted.
        remarks: that `fit` received, with the photographs that it kept for this page.
        folder: in which the page is written as ``index.html``.

    Raises:
        DataError: the page cannot be written.
    """
    facts, shown = FitFacts.of(detector), remarks.shown or LeftOutPhotographs()
    page = render(
        "patchbank.training.report",
        detector=detector,
        facts=facts,
        sentence=_sentence(facts),
        rates=_rates(facts),
        figures=_figures(facts),
        remarks=[*facts.remarks, *remarks.lines],
        unread=remarks.unread,
        choice=detector.settings_choice,
        histogram=_histogram(facts),
        region=_region(shown, facts),
        oddest=_oddest(shown, facts),
        groups=[_group(group, shown, facts) for group in shown.groups[:MOST_GROUPS]],
        more_groups=max(len(shown.groups) - MOST_GROUPS, 0),
    )
    return write_page(folder, page)


def _sentence(facts: FitFacts) -> str:
    """One or two sentences about what was learned, and what to expect of it."""
    if facts.calibration.views_of_one:
        return (
            "Learned from one good photograph: how many good parts it will flag is not known. "
            "Learn more of them."
        )
    rate = percent(facts.calibration.expected_rate)
    expected = f"Learned from {facts.sample}. Expect it to flag {rate} of the good parts."
    odd = facts.unlike_others
    if not odd:
        return expected
    names = few([one.name for one in odd], "photograph", MOST_IN_SENTENCE)
    verb = "is" if len(odd) == 1 else "are"
    return f"{expected} {names} {verb} unlike the others: decide whether that is a good part."


def _rates(facts: FitFacts) -> list[tuple[str, str]]:
    """The two figures that are asked for first."""
    learned = (str(len(facts.names)), "good photographs")
    calibration = facts.calibration
    if calibration.views_of_one:
        return [learned]
    return [(percent(calibration.expected_rate), "false alarms expected"), learned]


def _figures(facts: FitFacts) -> list[tuple[str, str]]:
    """Further figures, each with its name."""
    calibration = facts.calibration
    figures = [(f"{calibration.threshold:.4g}", "threshold")]
    if not calibration.views_of_one:
        figures.append((percent_at_most(calibration.guaranteed_rate), "at most, on average"))
    if calibration.groups is not None:
        figures.append((str(calibration.n_groups), "groups"))
    if not calibration.views_of_one:
        figures += [
            (str(len(facts.above_threshold)), "above the threshold when left out"),
            (str(len(facts.unlike_others) or "none"), "unlike the others"),
        ]
    return figures


def _histogram(facts: FitFacts) -> Histogram:
    """Scores of photographs that were left out, with the thresholds at several rates."""
    calibration: Calibration = facts.calibration
    marks = [(threshold, percent(rate)) for rate, threshold, _ in facts.thresholds]
    if calibration.threshold not in [threshold for threshold, _ in marks]:
        marks.insert(0, (calibration.threshold, "threshold"))
    return histogram({"good": calibration.image_scores}, sorted(marks, reverse=True))


def _region(shown: LeftOutPhotographs, facts: FitFacts) -> Gallery | None:
    """The region of interest on the first photograph."""
    if facts.roi is None or not shown.sources:
        return None
    drawn = draw_photograph(facts.names[0], shown.sources[0], facts.roi)
    return Gallery("Region of interest", "What is dark is neither learned nor scored.", (drawn,))


def _oddest(shown: LeftOutPhotographs, facts: FitFacts) -> Gallery | None:
    if not shown.oddest:
        return None
    unlike = set(facts.calibration.unlike_others)
    return Gallery(
        "Oddest good photographs",
        "The highest scores of photographs that were left out. A picture on the right shows where "
        "its photograph differs from all that were learned without it.",
        tuple(
            draw_inspection(
                f"{facts.names[number]} · score {inspection.score:.4g}"
                + (" · unlike the others" if number in unlike else ""),
                inspection,
            )
            for number, inspection in shown.oddest
        ),
    )


def _group(group: PhotographGroup, shown: LeftOutPhotographs, facts: FitFacts) -> Gallery:
    scores = None if facts.calibration.views_of_one else facts.calibration.image_scores
    drawn = group.numbers[:MOST_PICTURES]
    captions = [
        facts.names[number] + ("" if scores is None else f" · score {scores[number]:.4g}")
        for number in drawn
    ]
    return Gallery(
        f"{len(group.numbers)} photographs: {group.reason}",
        _more(group.numbers[MOST_PICTURES:], facts.names),
        tuple(
            draw_photograph(caption, shown.sources[number], facts.roi)
            for caption, number in zip(captions, drawn, strict=True)
        ),
    )


def _more(numbers: Sequence[int], names: Sequence[str]) -> str:
    """The photographs of a group that are not drawn, as a line."""
    if not numbers:
        return ""
    return f"not drawn: {few([names[number] for number in numbers], 'photograph', MOST_NAMES)}"
