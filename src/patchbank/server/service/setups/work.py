"""The work of jobs of set-ups, in the process of each: by the functions of the command line."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image as pillow

from patchbank.choices import AUTO_PRESET
from patchbank.detector.detector import Detector
from patchbank.errors import BackboneError, PatchbankError
from patchbank.images.source import ImageSource, image_source
from patchbank.runtime.atomic_file import replace_file
from patchbank.runtime.printable import json_text
from patchbank.runtime.progress import Progress
from patchbank.server.service.setups.earlier import seen_by

if TYPE_CHECKING:
    from patchbank.detector.inspection import Inspection
    from patchbank.methods import Method
    from patchbank.settings import Settings
    from patchbank.training.choose import AutomaticSettings
    from patchbank.training.photographs import Remarks

ODD_PX = 900
"""Longer side of the picture of an odd photograph."""


def check(terms: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Check photographs.  -> the JSON of `patchbank check`."""
    from patchbank.check import check_photographs

    good = _sources(terms["good"])
    return check_photographs(good, device=terms["device"], progress=progress).to_json()


def fit(terms: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Fit a detector, and write it into a folder with its facts, pictures and page.  -> its facts.

    Photographs that cannot be read are left out, and named.
    """
    from patchbank.backbones import ONNX_RUNTIME, Engine
    from patchbank.runtime.torch_device import open_device
    from patchbank.training.fit import PhotographChoice
    from patchbank.training.fit import fit as fit_detector
    from patchbank.training.left_out import LeftOutPhotographs
    from patchbank.training.photographs import Remarks
    from patchbank.training.report import write_fit_report

    begin, folder = time.monotonic(), Path(terms["folder"])
    remarks = Remarks(shown=LeftOutPhotographs())
    engine = ONNX_RUNTIME if terms["engine"] is None else Engine(terms["engine"])
    detector = fit_detector(
        _asked(terms["preset"], terms["false_alarm_rate"]),
        _sources(terms["good"]),
        progress,
        open_device(terms["device"]),
        engine=engine,
        choice=PhotographChoice(skip_unreadable=True, keep_crops=True),
        remarks=remarks,
    )
    with progress.task("saving", None):
        file = folder / "detector.patchbank"
        try:
            detector.save(file)
        except BackboneError:
            detector.save(file, backbone="torch")
        write_fit_report(detector, remarks, folder)
        in_use = terms["in_use"]
        good = _sources(terms["good"])
        facts = {
            "preset": terms["preset"],
            "names": [Path(one).name for one in terms["good"]],
            "seconds": time.monotonic() - begin,
            "file_bytes": file.stat().st_size,
            "seen_before": in_use and seen_by(in_use, good, terms["device"], terms["engine"]),
            **_facts(detector, remarks, folder),
        }
    replace_file(folder / "facts.json", json_text(facts).encode())
    return {}


def compare(terms: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Compare two detectors on photographs of inspections, and write the page.

    Returns:
        The JSON of `patchbank compare`, with the inspection of each photograph, those whose
        verdicts differ first.
    """
    from patchbank.comparison import compared, write_comparison
    from patchbank.comparison.comparing import Compared
    from patchbank.comparison.photographs import photographs_of
    from patchbank.detector.loading import load

    a, b = (
        Compared(
            load(file, device=terms["device"], engine=terms["engine"]), sha256[:12], Path(file)
        )
        for sha256, file in terms["detectors"]
    )
    parts = [image_source(Path(file), str(number)) for number, file in terms["photographs"]]
    found = compared(a, b, photographs_of(parts), progress)
    write_comparison(found, Path(terms["folder"]))
    content = found.to_json()
    images = [{"inspection": int(one.pop("image")), **one} for one in content["images"]]
    content["images"] = sorted(images, key=lambda one: (not one["changed"], -_distance(one)))
    for each in content["unread"]:
        each["inspection"] = int(each.pop("image"))
    return {key: content[key] for key in KEPT_KEYS}


KEPT_KEYS = ("a", "b", "photographs", "changed", "images", "unread", "settings", "remarks")
"""Keys of the JSON of a comparison that name no file of this computer."""


def inspect(terms: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Inspect one photograph, and draw it.  -> verdict, or the reason why there is none."""
    from patchbank.detector.inspection import FailedInspection
    from patchbank.detector.loading import load

    detector = load(terms["detector"], device=terms["device"], engine=terms["engine"])
    source = image_source(Path(terms["photograph"]), terms["name"])
    found = next(iter(detector.inspect(iter([source]))))
    if isinstance(found, FailedInspection):
        return {"error": found.error}
    replace_file(Path(terms["picture"]), _drawn(found), sync=False)
    share = found.score / found.threshold if found.threshold > 0 else None
    return {"error": None, "anomalous": found.is_anomalous, "share": share}


def _distance(image: Mapping[str, Any]) -> float:
    """Difference of both shares of the thresholds; 0 where one is not known."""
    a, b = image["a"]["share"], image["b"]["share"]
    return 0.0 if a is None or b is None else abs(a - b)


def _sources(files: Sequence[str]) -> list[ImageSource]:
    """Photographs by the names of their files, without the folder in errors."""
    return [image_source(Path(one), Path(one).name) for one in files]


def _asked(
    preset: str, false_alarm_rate: float
) -> Sequence[tuple[Method, Settings]] | AutomaticSettings:
    """Method and settings of a preset, or the request to choose them."""
    from patchbank.methods import METHODS
    from patchbank.training.choose import AutomaticSettings

    method, changes = METHODS["patchcore"], {"false_alarm_rate": false_alarm_rate}
    if preset == AUTO_PRESET:
        return AutomaticSettings(
            method, method.settings_from(None, changes), frozenset(changes), None
        )
    return [(method, method.settings_from(preset, changes))]


def _facts(detector: Detector, remarks: Remarks, folder: Path) -> dict[str, Any]:
    """Facts of a fit for its page; pictures of the oddest photographs are written."""
    from patchbank.detector.fit_facts import FitFacts

    facts = FitFacts.of(detector)
    calibration, choice = facts.calibration, detector.settings_choice
    unlike = set(calibration.unlike_others)
    odd = remarks.shown.oddest if remarks.shown is not None else []
    for number, (_, inspection) in enumerate(odd):
        replace_file(folder / f"odd-{number}.jpg", _drawn(inspection), sync=False)
    return {
        **facts.to_json(),
        "is_of_one": calibration.views_of_one,
        "scores": [] if calibration.views_of_one else calibration.image_scores.tolist(),
        "remarks": [*facts.remarks, *remarks.lines],
        "unread": list(remarks.unread),
        "choice": [] if choice is None else list(choice.lines),
        "oddest": [
            {
                "name": facts.names[index],
                "score": inspection.score,
                "is_above": inspection.is_anomalous,
                "is_unlike": index in unlike,
            }
            for index, inspection in odd
        ],
    }


def _drawn(inspection: Inspection) -> bytes:
    """A photograph with its marks as JPEG, or a grey picture where it cannot be drawn any more.

    Pages say its verdict in words of their own, so it has no caption.
    """
    from patchbank.detector.overlay import draw_overlay

    try:
        picture = draw_overlay(inspection.pixels, inspection, has_caption=False)
    except PatchbankError:
        picture = pillow.new("RGB", (ODD_PX, ODD_PX // 2), (128, 128, 128))
    picture.thumbnail((ODD_PX, ODD_PX))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return stream.getvalue()
