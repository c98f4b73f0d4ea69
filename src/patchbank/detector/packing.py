"""The content of a detector file.

Its keys are literals here, except those of settings, which are in `settings_file`.  The keys of a
backbone's record are in `backbones.packing`, the names of a model's tensors in its method
(`tensors` and `restore`).
`docs/file-format.md` lists all of them with type, shape and meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import (
    SOURCES,
    FeatureExtractor,
    OnnxExtractor,
    Packed,
    export_backbone,
    is_exportable,
    pack_backbone,
    unpack_backbone,
)
from patchbank.choices import EngineName
from patchbank.core import int8
from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.bundle import Bundle
from patchbank.detector.card import NO_CARD, Card
from patchbank.detector.content_check import (
    check_bank_sizes,
    check_calibration,
    check_digests,
    check_extractor,
    check_settings,
)
from patchbank.detector.explanation.pictures import LearnedPhotographs
from patchbank.detector.explanation.pictures_file import pack_photographs, unpack_photographs
from patchbank.detector.likeness import Likeness
from patchbank.detector.likeness_file import pack_likeness, unpack_likeness
from patchbank.detector.lineage.chain import Lineage
from patchbank.detector.lineage.file import pack_lineage, unpack_lineage
from patchbank.detector.lineage.state import state_of
from patchbank.detector.member import Member, ScoreStandardization, origins
from patchbank.detector.record_check import check_record
from patchbank.detector.remembered import (
    RememberedDefect,
    pack_remembered,
    unpack_remembered,
)
from patchbank.detector.roi_file import pack_roi, unpack_roi
from patchbank.detector.settings_choice import SettingsChoice, pack_choice, unpack_choice
from patchbank.detector.settings_file import pack_settings, unpack_settings
from patchbank.detector.updates import (
    Updates,
    check_updates,
    n_in_sample,
    pack_updates,
    unpack_updates,
)
from patchbank.errors import BackboneError, DetectorFileError, ParameterError, PatchbankError
from patchbank.images.limits import max_pixels
from patchbank.images.roi import RegionOfInterest
from patchbank.methods import METHODS, FittedMethod, Method
from patchbank.methods.tensor_spec import check_tensors
from patchbank.runtime.devices import Device
from patchbank.runtime.printable import one_line, printable
from patchbank.settings import Settings, part_of

LONGEST_MESSAGE = 600


@dataclass(frozen=True, slots=True)
class DetectorParts:
    """The parts of a detector that a file holds."""

    members: tuple[Member, ...]
    calibration: Calibration
    bank_size_calibration: BankSizeCalibration | None
    likeness: Likeness | None
    roi: RegionOfInterest | None
    photograph_digests: NDArray[np.uint8] | None
    fitted_on: tuple[str, ...]
    versions: Mapping[str, str]
    settings_choice: SettingsChoice | None = None
    photographs: LearnedPhotographs | None = None
    updates: Updates | None = None
    remembered: tuple[RememberedDefect, ...] = ()
    card: Card = NO_CARD
    lineage: Lineage | None = None


def pack(parts: DetectorParts, *, as_onnx: bool) -> Bundle:
    """Convert the parts of a detector to the content of a file.

    Args:
        parts: to pack.
        as_onnx: whether backbones that run in torch are exported to ONNX.

    Raises:
        BackboneError: a backbone cannot be exported.
        ParameterError: the parts were changed without an entry in their history.
    """
    packed = [_pack_member(member, as_onnx=as_onnx) for member in parts.members]
    record: dict[str, Any] = {
        "members": [member for member, _ in packed],
        "fitted_on": parts.fitted_on,
        "false_alarm_rate": parts.calibration.false_alarm_rate,
        "views_of_one": parts.calibration.views_of_one,
        "calibration_rule": parts.calibration.rule,
        "set_threshold": parts.calibration.set_threshold,
        "set_pixel_threshold": parts.calibration.set_pixel_threshold,
        "versions": dict(parts.versions),
        **pack_choice(parts.settings_choice),
        **pack_updates(parts.updates),
    }
    tensors: dict[str, NDArray[Any]] = {
        "calibration.image_scores": parts.calibration.image_scores,
        "calibration.map_peaks": parts.calibration.map_peaks,
    }
    if parts.calibration.groups is not None:
        tensors["calibration.groups"] = parts.calibration.groups
    if parts.photograph_digests is not None:
        tensors["photographs.digests"] = parts.photograph_digests
    if parts.bank_size_calibration is not None:
        tensors["ladder.bank_rows"] = parts.bank_size_calibration.bank_rows
        tensors["ladder.image_scores"] = parts.bank_size_calibration.image_scores
        tensors["ladder.map_peaks"] = parts.bank_size_calibration.map_peaks
    kept = pack_photographs(parts.photographs)
    defects = pack_remembered(parts.remembered)
    for keys, own in (pack_likeness(parts.likeness), pack_roi(parts.roi), kept, defects):
        record |= keys
        tensors |= own
    for number, (_, of_member) in enumerate(packed):
        tensors |= {f"{number}.{name}": tensor for name, tensor in of_member.items()}
    content = Bundle(tensors, record, card=parts.card.to_json())
    if parts.lineage is None:
        return content
    lineage = parts.lineage.of_state(state_of(content))
    return replace(content, tensors={**tensors, **pack_lineage(lineage)})


def unpack(bundle: Bundle, name: str, device: Device, engine: EngineName | None) -> DetectorParts:
    """Build the parts of a detector from the content of a file; the inverse of `pack`.

    Args:
        bundle: content of the file.
        name: of the file in errors.
        device: where the members compute.
        engine: what runs ONNX backbones; None for the one that the file's precision needs.

    Raises:
        BackboneError: a backbone cannot be opened on this machine.
        DetectorFileError: a method is not installed, or its package cannot be used, or the content
            is not that of a detector.
        VariableError: an environment variable has a value that no inspection can use.
    """
    int8.status()
    max_pixels()
    try:
        return _parts_of(bundle, device, engine)
    except BackboneError as error:
        programs = bundle.record.get("versions", {})
        names = ("openvino", "torch", "timm")
        used = ", ".join(f"{n} {programs[n]}" for n in names if n in programs)
        fitted_with = f"; fitted with {used}" if used else ""
        raise BackboneError(f"{name}: {_message_of(error)}{fitted_with}") from None
    except DetectorFileError as error:
        raise DetectorFileError(f"{name}: {_message_of(error)}") from error
    except PatchbankError as error:
        raise DetectorFileError(
            f"{name}: expected a detector that this version knows, got: {_message_of(error)}; "
            "install a newer patchbank"
        ) from error
    except Exception as error:  # from content that no check has foreseen
        raise DetectorFileError(
            f"{name}: expected a whole detector file, got contradictory content "
            f"({type(error).__name__}: {_message_of(error)}); copy it again or fit anew"
        ) from error


def _message_of(error: Exception) -> str:
    """The message of an error, which may quote any part of the file, in one short line."""
    text = printable(one_line(str(error)))
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}..."


def _parts_of(bundle: Bundle, device: Device, engine: EngineName | None) -> DetectorParts:
    record, tensors = bundle.record, bundle.tensors
    check_record(record)
    check_updates(record)
    n_good = len(record["fitted_on"])
    check_calibration(tensors, None if record.get("views_of_one", False) else n_in_sample(record))
    check_digests(tensors, n_good)
    members = tuple(
        _unpack_member(member, _below(f"{number}.", tensors), n_good, device, engine)
        for number, member in enumerate(record["members"])
    )
    bank_sizes = _unpack_bank_sizes(tensors)
    if bank_sizes is not None:
        check_bank_sizes(bank_sizes.bank_rows, [member.model for member in members])
    parts = DetectorParts(
        members=members,
        calibration=_unpack_calibration(record, tensors, members),
        bank_size_calibration=bank_sizes,
        likeness=unpack_likeness(record, tensors),
        roi=unpack_roi(record, tensors, [member.settings for member in members]),
        photograph_digests=tensors.get("photographs.digests"),
        fitted_on=tuple(record["fitted_on"]),
        versions=record["versions"],
        settings_choice=unpack_choice(record),
        photographs=unpack_photographs(tensors, n_good),
        updates=unpack_updates(record),
        remembered=unpack_remembered(record, tensors, [member.model for member in members]),
        card=Card.from_json(bundle.card),
    )
    return replace(parts, lineage=unpack_lineage(bundle, partial(pack, parts, as_onnx=False)))


def _unpack_calibration(
    record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], members: Sequence[Member]
) -> Calibration:
    score_origin, map_origin = origins(members)
    return Calibration(
        tensors["calibration.image_scores"],
        tensors["calibration.map_peaks"],
        record["false_alarm_rate"],
        # The oldest files of format 2 were written before this key was added.
        record.get("views_of_one", False),
        # Files of format 2 have thresholds by ranks alone, and none that is set by hand.
        rule=record.get("calibration_rule", "ranks"),
        groups=tensors.get("calibration.groups"),
        score_origin=score_origin,
        map_origin=map_origin,
        set_threshold=record.get("set_threshold"),
        set_pixel_threshold=record.get("set_pixel_threshold"),
    )


def _pack_member(member: Member, *, as_onnx: bool) -> Packed:
    extractor = member.extractor
    if as_onnx and is_exportable(extractor):
        content = export_backbone(extractor)
        extractor = OnnxExtractor(content, extractor.info.name, extractor.layers)
    backbone, weights = pack_backbone(extractor)
    record = {
        "method": member.method,
        "settings": pack_settings(member.settings),
        "backbone": backbone,
        "facts": dict(member.model.summary()),
        "image_scale": asdict(member.image_scale),
        "map_scale": asdict(member.map_scale),
    }
    tensors = {f"model.{name}": tensor for name, tensor in member.model.tensors().items()}
    tensors |= {f"backbone.{name}": tensor for name, tensor in weights.items()}
    return record, tensors


def _unpack_member(
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    n_good: int,
    device: Device,
    engine: EngineName | None,
) -> Member:
    method = _method_of_file(record["method"])
    backbone = record["backbone"]
    extractor = _extractor(backbone, _below("backbone.", tensors), device, engine)
    check_extractor(extractor, backbone)
    stored = _Stored(record["settings"], _below("model.", tensors), n_good)
    settings, model = _restore(method, stored, extractor, device)
    return Member(
        method=method.name,
        settings=settings,
        extractor=extractor,
        model=model,
        device=device,
        image_scale=_unpack_standardization(record["image_scale"]),
        map_scale=_unpack_standardization(record["map_scale"]),
    )


def _extractor(
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    device: Device,
    engine: EngineName | None,
) -> FeatureExtractor:
    try:
        return unpack_backbone(record, tensors, device, engine)
    except PatchbankError:
        raise
    except Exception as error:
        package = SOURCES.package_of(record["kind"])
        if package is None:
            raise
        raise _foreign_error(package, f"backbone {record['kind']!r}", error) from error


def _foreign_error(package: str, part: str, error: Exception) -> DetectorFileError:
    """The error for what the code of another package raised, which may be anything."""
    reason = one_line(f"{type(error).__name__}: {error}")
    return DetectorFileError(
        f"{package}: its {part} cannot open the detector: {reason}; install "
        "the version of the package that it was fitted with"
    )


def _method_of_file(name: str) -> Method:
    known = METHODS.declared_names()
    if name not in known:
        raise DetectorFileError(
            f"method: expected one of {', '.join(known)}, got {name!r}; install the package that "
            "the detector was fitted with, or a newer patchbank"
        )
    try:
        return METHODS[name]
    except ParameterError as error:
        raise DetectorFileError(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Stored:
    """The part of a file that belongs to the model of one member."""

    settings: Mapping[str, Any]
    tensors: dict[str, NDArray[Any]]
    n_good: int
    """Number of good images."""


def _restore(
    method: Method, stored: _Stored, extractor: FeatureExtractor, device: Device
) -> tuple[Settings, FittedMethod]:
    """Restore settings and model of a member."""
    try:
        settings = method.settings.from_mapping(unpack_settings(stored.settings, method.settings))
        check_settings(settings, extractor)
        parameters = part_of(settings, method.parameters)
        layers = [extractor.info.available_layers[layer] for layer in extractor.layers]
        channels = [layer.channels for layer in layers] * len(settings.scales)
        lengths = {"n": stored.n_good, **method.lengths(parameters, channels)}
        check_tensors(stored.tensors, method.contents, lengths)
        return settings, method.restore(parameters, stored.tensors, device)
    except Exception as error:
        package = METHODS.package_of(method.name)
        if package is None:
            raise
        raise _foreign_error(package, f"method {method.name!r}", error) from error


def _unpack_standardization(record: Mapping[str, float]) -> ScoreStandardization:
    return ScoreStandardization(centre=record["centre"], spread=record["spread"])


def _unpack_bank_sizes(tensors: Mapping[str, NDArray[Any]]) -> BankSizeCalibration | None:
    if "ladder.bank_rows" not in tensors:
        return None
    return BankSizeCalibration(
        bank_rows=tensors["ladder.bank_rows"],
        image_scores=tensors["ladder.image_scores"],
        map_peaks=tensors["ladder.map_peaks"],
    )


def _below(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
