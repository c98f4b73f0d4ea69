"""Photographs that differ from the others of their set in a trait that is no matter of the part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.check.findings import Finding, FindingKind
from patchbank.check.reading import Photograph
from patchbank.core.scores.tail_model import TailModel
from patchbank.images.file_facts import relative_steps
from patchbank.training.photographs import NEARLY_BLACK, Content

MAJORITY = 0.7
"""Share of the photographs that have the usual value of a trait, where there is a usual one."""
FEWEST = 5
"""Photographs from which on one is compared with the others."""
RATE = 0.001
"""Share of the photographs of a regular set that are accused for one measured trait."""
BLUR_FACTOR, SIZE_FACTOR, SHAPE_FACTOR = 1.3, 1.5, 1.25
"""Factors from the middle of the set that are no difference, however alike the others are."""
NEARLY_ALL = 0.97
"""Share of the sizes of a set, beyond which by these factors a size is odd whatever the spread."""
STEPS_FACTOR = 1.7
"""Factor between quantisation steps of JPEG files that is no difference."""
TRACES = 0.15
"""Difference of traces of compression in the pixels (`Traits.blockiness`) that is none."""
SATURATED, SATURATED_MORE = 0.5, 0.3
"""Share of saturated pixels of an overexposed photograph; and in excess of the usual share."""

Read: TypeAlias = Sequence[tuple[str, Content]]
"""Name and facts of photographs that were read."""


def unusual_traits(photographs: Sequence[Photograph]) -> tuple[list[Finding], list[str]]:
    """Findings about traits of the photographs, and lines about traits without a usual value.

    Args:
        photographs: to learn from.
    """
    known = [(one.name, one.facts) for one in photographs if one.facts is not None]
    findings: list[Finding] = []
    notes: list[str] = []
    shown = _dark_and_flat(known)
    for kind, details in shown.items():
        findings.append(Finding(kind, details))
    for kind, (value_of, text_of) in _CATEGORIES.items():
        details, note = _odd_ones(known, kind, value_of, text_of)
        findings.append(Finding(kind, details))
        notes += note
    empty = {name for details in shown.values() for name in details}
    rest = [(name, facts) for name, facts in known if name not in empty]
    findings += [
        Finding("size", _odd_sizes(known)),
        Finding("compression", _odd_compression(rest)),
        Finding("blurred", _blurred(rest)),
        Finding("saturated", _saturated(rest)),
    ]
    return [finding for finding in _merged(findings) if finding.details], notes


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    merged: dict[FindingKind, dict[str, str]] = {}
    for finding in findings:
        merged.setdefault(finding.kind, {}).update(finding.details)
    return [Finding(kind, details) for kind, details in merged.items()]


def _dark_and_flat(known: Read) -> dict[FindingKind, dict[str, str]]:
    black = {
        name: "all black" if facts.largest == 0 else f"no value above {facts.largest} of 255"
        for name, facts in known
        if facts.largest <= NEARLY_BLACK
    }
    flat = {
        name: f"every value {facts.largest}" if facts.traits.is_grey else "every pixel the same"
        for name, facts in known
        if facts.is_constant and name not in black
    }
    return {"black": black, "one_colour": flat}


def _odd_ones(
    known: Read,
    kind: FindingKind,
    value_of: Callable[[Content], Hashable],
    text_of: Callable[[Content], str],
) -> tuple[dict[str, str], list[str]]:
    """Photographs without the value that most have; a line where there is no such value."""
    counts = Counter(value_of(facts) for _, facts in known)
    if len(counts) < 2:
        return {}, []
    texts = {value_of(facts): text_of(facts) for _, facts in known}
    usual, count = counts.most_common(1)[0]
    if count >= MAJORITY * len(known) or (len(known) < FEWEST and count >= len(known) - 1 >= 2):
        return {
            name: f"{text_of(facts)}, most {texts[usual]}"
            for name, facts in known
            if value_of(facts) != usual
        }, []
    if kind == "size":  # many sizes are usual where photographs are cut out of larger ones
        return {}, []
    parts = ", ".join(f"{n} {texts[value]}" for value, n in counts.most_common(4))
    return {}, [f"several kinds of {_WORDS[kind]}: {parts}"]


def _odd_sizes(known: Read) -> dict[str, str]:
    """Photographs of unusual size or shape in a set of many sizes."""
    if len(known) < FEWEST:
        return {}
    sizes = np.array([(facts.traits.height, facts.traits.width) for _, facts in known], dtype=float)
    scales, shapes = np.sqrt(sizes.prod(axis=1)), sizes[:, 1] / sizes[:, 0]
    odd = np.zeros(len(known), dtype=bool)
    for values, factor in ((scales, SIZE_FACTOR), (shapes, SHAPE_FACTOR)):
        for each in (values, 1 / values):
            odd |= _unusually_high(each, factor) | (each > factor * np.quantile(each, NEARLY_ALL))
    middle = f"{np.median(sizes[:, 1]):.0f} x {np.median(sizes[:, 0]):.0f}"
    return {
        known[number][0]: f"{_size(known[number][1])}, most about {middle}"
        for number in _numbers(odd)
    }


def _odd_compression(known: Read) -> dict[str, str]:
    details = {}
    with_quality = [
        (name, quality)
        for name, facts in known
        if (quality := facts.traits.jpeg_quality) is not None
    ]
    if len(with_quality) >= FEWEST:
        steps = np.array([relative_steps(quality) for _, quality in with_quality])
        ratios = steps / np.median(steps)
        ordinary = (ratios <= STEPS_FACTOR) & (ratios >= 1 / STEPS_FACTOR)
        usual = int(np.median([quality for _, quality in with_quality]))
        if ordinary.mean() >= MAJORITY:
            details = {
                with_quality[number][0]: f"JPEG of quality {with_quality[number][1]}, most {usual}"
                for number in _numbers(~ordinary)
            }
    if len(known) >= FEWEST:
        traces = np.array([facts.traits.blockiness for _, facts in known])
        odd = _unusually_high(np.exp(traces), float(np.exp(TRACES)))
        for number in _numbers(odd):
            details.setdefault(known[number][0], "traces of JPEG compression in the pixels")
    return details


def _blurred(known: Read) -> dict[str, str]:
    sharp = [(name, facts) for name, facts in known if facts.traits.sharpness > 0]
    if len(sharp) < FEWEST:
        return {}
    values = np.array([facts.traits.sharpness for _, facts in sharp])
    return {
        sharp[number][0]: f"sharpness {values[number]:.2f}, usual {np.median(values):.2f}"
        for number in _numbers(_unusually_high(1 / values, BLUR_FACTOR))
    }


def _saturated(known: Read) -> dict[str, str]:
    shares = np.array([facts.traits.share_saturated for _, facts in known])
    if not len(shares):
        return {}
    limit = max(SATURATED, float(np.median(shares)) + SATURATED_MORE if len(known) > 1 else 0)
    return {
        known[number][0]: f"{100 * shares[number]:.0f} % of the pixels at the largest value"
        for number in _numbers(shares > limit)
    }


def _unusually_high(values: NDArray[np.float64], factor: float) -> NDArray[np.bool_]:
    """Values that are improbable among the others, and more than a factor above their middle."""
    model = TailModel.fit(values, np.ones(len(values)), 0.0)
    high: NDArray[np.bool_] = values > factor * np.median(values)
    high &= np.array([model.tail_probability(float(value)) < RATE for value in values])
    return high


def _numbers(chosen: NDArray[np.bool_]) -> list[int]:
    return [int(number) for number in np.flatnonzero(chosen)]


def _size(facts: Content) -> str:
    return f"{facts.traits.width} x {facts.traits.height}"


def _bits(facts: Content) -> str:
    bits = facts.traits.bit_depth
    return f"{bits} bit{'s' if bits > 1 else ''} a channel"


_WORDS: dict[FindingKind, str] = {
    "mode": "modes",
    "bit_depth": "bit depths",
    "format": "file formats",
}
_CATEGORIES: dict[FindingKind, tuple[Callable[[Content], Hashable], Callable[[Content], str]]] = {
    "size": (_size, _size),
    "mode": (
        lambda facts: (facts.traits.mode, facts.traits.is_grey),
        lambda facts: f"{facts.traits.mode}{' in colour' if not facts.traits.is_grey else ''}",
    ),
    "bit_depth": (lambda facts: facts.traits.bit_depth, _bits),
    "format": (lambda facts: facts.traits.format, lambda facts: facts.traits.format or "array"),
}
