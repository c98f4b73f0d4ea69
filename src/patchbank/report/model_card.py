"""A model card: what a detector is, was learned from, promises and does not, as Markdown.

It begins as the Hugging Face hub wants model cards to: metadata as YAML.  No photograph is named.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from patchbank.backbones import runtime_of
from patchbank.detector.bundle import file_digest
from patchbank.detector.detector import Detector
from patchbank.detector.explanation.pictures import LearnedPhotographs
from patchbank.detector.fit_facts import FitFacts
from patchbank.detector.member import Member
from patchbank.runtime.arguments import DETECTOR, of_kind, path_argument
from patchbank.runtime.percent import percent
from patchbank.runtime.printable import one_line, printable
from patchbank.settings import settings_of

TAGS = ("anomaly-detection", "defect-detection", "visual-inspection")
LICENSES = frozenset(
    (
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "mpl-2.0", "unlicense", "cc0-1.0"),
        *("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0"),
        *("gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "openrail"),
    )
)
"""Names of licenses that the hub knows."""
PATHS = ("backbone", "weights")
"""Settings that may be paths of somebody's disk; the backbone is named by its own name."""
USUAL_TITLE = "Defect detector"
USUAL_USE = (
    "Photographs of the product that it has learned, made by the same camera in the same light. It "
    "finds what differs from good parts, and shows where. It is not meant for other products or "
    "cameras, nor as the only safeguard where a missed defect can hurt somebody."
)


def model_card(detector: Detector, file: str | os.PathLike[str] | None = None) -> str:
    """The model card of a detector as Markdown, with the texts of its author (`Detector.card`).

    Args:
        detector: to describe.
        file: path of its file, whose name and SHA-256 are then in the card; None where there is
            none yet.

    Raises:
        DetectorFileError: the file cannot be read.
    """
    card = of_kind("detector", detector, Detector, DETECTOR).card
    path = None if file is None else path_argument("file", file)
    name = "detector.patchbank" if path is None else path.name
    digest = None if path is None else file_digest(path)
    sections: list[tuple[str, Sequence[str]]] = [
        ("Intended use", [card.intended_use or USUAL_USE]),
        ("Training data", _training_data(detector)),
        ("Method and settings", _method(detector)),
        ("Threshold and false alarms", _threshold(detector)),
        ("Limits", _limits(detector)),
        ("How to use it", _use(printable(name), digest)),
        ("Origin", _origin(detector, digest)),
    ]
    parts = [_front_matter(detector), f"# {_shown(card.title or USUAL_TITLE)}"]
    parts += [card.description] if card.description else []
    for heading, paragraphs in sections:
        parts += [f"## {heading}", *paragraphs]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _front_matter(detector: Detector) -> str:
    """The metadata of the hub, as YAML between lines of dashes."""
    methods = sorted({member.method for member in detector.members})
    lines = ["---", "library_name: patchbank"]
    lines += [f"{name}: {_yaml(value)}" for name, value in _license(detector).items()]
    lines += ["tags:", *(f"- {_yaml(tag)}" for tag in (*TAGS, *methods)), "---"]
    return "\n".join(lines)


def _license(detector: Detector) -> dict[str, str]:
    """The license in the words of the hub: that of the author, or else of the backbones."""
    weights = {member.extractor.info.license for member in detector.members}
    names = {detector.card.license} if detector.card.license else weights
    text = " and ".join(sorted(name for name in names if name))
    if not text:
        return {"license": "unknown"}
    if text.lower() in LICENSES:
        return {"license": text.lower()}
    slug = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "own"
    return {"license": "other", "license_name": slug}


def _yaml(text: str) -> str:
    """A scalar of YAML, with quotation marks where it needs some.

    >>> _yaml("apache-2.0"), _yaml("no"), _yaml("a: b")
    ('apache-2.0', '"no"', '"a: b"')
    """
    words = ("yes", "no", "on", "off", "y", "n", "true", "false", "null")
    is_plain = re.fullmatch(r"[a-z][a-z0-9.-]*", text) and text not in words
    return text if is_plain else json.dumps(text)


def _training_data(detector: Detector) -> list[str]:
    facts = FitFacts.of(detector)
    learned = [f"- {facts.sample}"]
    if facts.n_normal:
        learned.append(f"- {facts.n_normal} more, said to be normal after a false alarm")
    if detector.likeness is not None:
        traits = detector.likeness.to_json()
        sizes = ["{} x {}".format(*traits[name]) for name in ("smallest_size", "largest_size")]
        learned.append(f"- size (width x height): {' to '.join(dict.fromkeys(sizes))} pixels")
        learned.append(f"- format: {_counts(traits['formats'])}; mode: {_counts(traits['modes'])}")
    if detector.roi is not None:
        learned.append(f"- {detector.roi.line}")
    kept = "" if detector.photographs is None else _pictures(detector.photographs)
    return [
        "Good photographs alone; no defect was needed.",
        "\n".join(learned),
        f"This card does not name them. The file of the detector holds their names{kept}: whoever "
        "has the file can see them.",
    ]


def _pictures(kept: LearnedPhotographs) -> str:
    facts = kept.to_json()
    return "" if facts is None else f", and small pictures of {facts['count']} of them"


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{_shown(name)} ({count})" for name, count in numbers.items())


def _method(detector: Detector) -> list[str]:
    parts = []
    for member in detector.members:
        info, (program, precision) = member.extractor.info, runtime_of(member.extractor)
        facts = {
            "method": member.method,
            "backbone": f"{info.name}, layers {', '.join(member.extractor.layers)}",
            "weights": f"{info.source}; license: {info.license or 'not known'}",
            "runs in": f"{program}, {precision}",
            **{_words(k): v for k, v in member.model.summary().items() if v is not None},
            **_changed_settings(member),
        }
        rows = [f"| {_shown(name)} | {_shown(str(value))} |" for name, value in facts.items()]
        parts.append("\n".join(["| | |", "|---|---|", *rows]))
    if len(parts) > 1:
        parts.insert(0, f"An ensemble of {len(parts)}, whose scores are standardised and averaged.")
    return [*parts, "Settings that are not listed have their defaults."]


def _changed_settings(member: Member) -> dict[str, Any]:
    """Settings that differ from the defaults of the method, and the size of the input."""
    declared, given = settings_of(type(member.settings)), member.settings.to_mapping()
    return {
        _words(name): value
        for name, value in given.items()
        if name not in PATHS
        and (name == "image_size" or name not in declared or value != declared[name].default)
    }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _threshold(detector: Detector) -> list[str]:
    facts, calibration = FitFacts.of(detector), detector.calibration
    origin = facts.to_json()["threshold_from"]
    first = (
        f"A photograph is anomalous where its score is above {calibration.threshold:.4g} (pixels "
        f"of the map: {calibration.pixel_threshold:.4g}). Origin of the threshold: {origin}."
    )
    if calibration.views_of_one:
        return [first, "It has learned a single photograph: its false-alarm rate is not known."]
    table = [
        "| false-alarm rate | threshold | pixel threshold |",
        "|---|---|---|",
        *(
            f"| {percent(rate)} | {one:.4g} | {pixels:.4g} |"
            for rate, one, pixels in facts.thresholds
        ),
    ]
    return [
        first,
        f"Expected false-alarm rate: {percent(calibration.expected_rate)} of good parts, if they "
        f"vary as the learned ones do. Bound: {facts.bound}. The rate says nothing about which "
        "share of defects is found.",
        "\n".join(table),
    ]


def _limits(detector: Detector) -> list[str]:
    facts, choice = FitFacts.of(detector), detector.settings_choice
    lines = [
        "What differs from the learned photographs is found, whatever the reason: another camera, "
        "light or position too. A defect that looks like a good part is not.",
        "Which share of defects is found is not known from good photographs: measure it with "
        "photographs of defects (`patchbank evaluate`).",
        *(remark.rstrip(".") + "." for remark in facts.remarks),
    ]
    if choice is not None and choice.missed_below_px is not None:
        lines.append(
            f"Of plain synthetic spots with a diameter below {choice.missed_below_px:.3g} pixels, "
            "fewer than half were found."
        )
    if n_odd := len(facts.unlike_others):
        verb = "is" if n_odd == 1 else "are"
        lines.append(
            f"{n_odd} of the learned photographs {verb} unlike the others: good parts of which "
            "there are few, or defects that were learned as good."
        )
    return ["\n".join(f"- {line[:1].upper()}{line[1:]}" for line in lines)]


def _use(name: str, digest: str | None) -> list[str]:
    pin = "" if digest is None else f" --sha256 {digest}"
    argument = "" if digest is None else f', sha256="{digest}"'
    return [
        "The file runs no code and needs no network.",
        f"```sh\npatchbank predict {shlex.quote(name)} photographs/{pin}\n```",
        f"```python\nfrom patchbank import load\n\ndetector = load({name!r}{argument})\n"
        'seen = detector.predict("photograph.png")\n'
        "print(seen.score, seen.threshold, seen.is_anomalous, seen.regions)\n```",
    ]


def _origin(detector: Detector, digest: str | None) -> list[str]:
    return ["\n".join(f"- {line}" for line in _origin_lines(detector, digest))]


def _origin_lines(detector: Detector, digest: str | None) -> Iterator[str]:
    if detector.card.contact:
        yield f"contact: {_shown(detector.card.contact)}"
    if detector.card.license:
        yield f"license of the detector: {_shown(detector.card.license)}"
    if digest is not None:
        yield f"SHA-256 of the file: `{digest}`"
    yield f"SHA-256 of the content: `{detector.sha256}`"
    versions = ", ".join(f"{name} {number}" for name, number in sorted(detector.versions.items()))
    yield f"fitted with {_shown(versions)}"
    if detector.lineage is not None:
        yield (
            f"changes since the fit: {len(detector.lineage.entries) - 1}, with reasons in the "
            "history of the file"
        )


def _shown(text: str) -> str:
    r"""A text on one line in which nothing is Markdown of a table, a link, code or HTML.

    >>> print(_shown("a|b <c> d_e"))
    a\|b \<c\> d_e
    """
    return re.sub(r"([\\`|<>\[\]*])", r"\\\1", printable(one_line(text)))
