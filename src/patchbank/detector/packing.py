"""The content of a detector file: its keys are literals, independent of names in the code.

Renaming something in the code therefore never changes a file.  The keys of a backbone's record are
in `backbones.packing`, the names of a model's tensors in its method (`tensors` and `restore`).
`docs/file-format.md` lists all of them with type, shape and meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from patchbank.backbones import (
    EngineName,
    OnnxExtractor,
    Packed,
    export_backbone,
    is_exportable,
    pack_backbone,
    unpack_backbone,
)
from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.bundle import Bundle
from patchbank.detector.member import Member, ScoreStandardization
from patchbank.methods import find_method
from patchbank.runtime.devices import Device
from patchbank.settings import part_of

SETTING_KEYS = {
    "adaptor_learning_rate": "adaptor_learning_rate",
    "alignment": "alignment",
    "backbone": "backbone",
    "bank_limit": "bank_limit",
    "bank_rows": "bank_rows",
    "batch_patches": "batch_patches",
    "coreset": "coreset",
    "covering_radius": "covering_radius",
    "crop": "crop",
    "dims": "dims",
    "discriminator_learning_rate": "discriminator_learning_rate",
    "false_alarm_rate": "false_alarm_rate",
    "flips": "flips",
    "folds": "folds",
    "fusion": "fusion",
    "graph_neighbours": "graph_neighbours",
    "graph_weight": "graph_weight",
    "hidden_dims": "hidden_dims",
    "image_score": "image_score",
    "image_size": "image_size",
    "index": "index",
    "layer_dims": "layer_dims",
    "layers": "layers",
    "map_border": "map_border",
    "map_interpolation": "map_interpolation",
    "margin": "margin",
    "max_upscale": "largest_enlargement",
    "mean": "mean",
    "metric": "metric",
    "n_images": "n_images",
    "n_neighbours": "n_neighbours",
    "n_reweight_neighbours": "support",
    "n_starting_points": "n_starting_points",
    "noise_std": "noise_std",
    "normalise_score": "normalise_score",
    "patch_size": "patch_size",
    "patch_stride": "patch_stride",
    "pool_deepest_only": "deepest_apart",
    "projection": "projection",
    "projection_dims": "projection_dims",
    "rank": "rank",
    "resampling": "resampling",
    "resize": "resize",
    "ridge": "ridge",
    "rotations": "rotations",
    "scales": "scales",
    "schedule": "schedule",
    "seed": "seed",
    "selection": "selection",
    "smoothing": "smoothing",
    "start": "start",
    "std": "std",
    "steps": "steps",
    "target_dims": "target_dims",
    "top_fraction": "top_share",
    "translations": "translations",
    "weights": "weights",
    "zooms": "zooms",
}
"""Name of a setting -> its key in the file; a method of another package keeps its own names."""
IMAGE_SCORE_KEYS = {"top_fraction": "top_share"}
"""Value of `image_score` -> the word for it in the file, where the two differ."""


@dataclass(frozen=True, slots=True)
class DetectorParts:
    """The parts of a detector that a file holds."""

    members: tuple[Member, ...]
    calibration: Calibration
    bank_size_calibration: BankSizeCalibration | None
    fitted_on: tuple[str, ...]
    versions: Mapping[str, str]


def pack(parts: DetectorParts, *, as_onnx: bool) -> Bundle:
    """Convert the parts of a detector to the content of a file.

    Args:
        parts: to pack.
        as_onnx: whether backbones that run in torch are exported to ONNX.

    Raises:
        BackboneError: a backbone cannot be exported.
    """
    packed = [_pack_member(member, as_onnx=as_onnx) for member in parts.members]
    record = {
        "members": [member for member, _ in packed],
        "fitted_on": parts.fitted_on,
        "false_alarm_rate": parts.calibration.false_alarm_rate,
        "views_of_one": parts.calibration.views_of_one,
        "versions": dict(parts.versions),
    }
    tensors: dict[str, NDArray[Any]] = {
        "calibration.image_scores": parts.calibration.image_scores,
        "calibration.map_peaks": parts.calibration.map_peaks,
    }
    if parts.bank_size_calibration is not None:
        tensors["ladder.bank_rows"] = parts.bank_size_calibration.bank_rows
        tensors["ladder.image_scores"] = parts.bank_size_calibration.image_scores
        tensors["ladder.map_peaks"] = parts.bank_size_calibration.map_peaks
    for number, (_, of_member) in enumerate(packed):
        tensors |= {f"{number}.{name}": tensor for name, tensor in of_member.items()}
    return Bundle(tensors, record)


def unpack(bundle: Bundle, device: Device, engine: EngineName | None) -> DetectorParts:
    """Build the parts of a detector from the content of a file; the inverse of `pack`.

    Args:
        bundle: content of the file.
        device: where the members compute.
        engine: what runs ONNX backbones; None for the one that the file's precision needs.

    Raises:
        BackboneError: a backbone cannot be opened on this machine.
        KeyError, TypeError, PatchbankError: the content is not that of a detector.
    """
    record, tensors = bundle.record, bundle.tensors
    return DetectorParts(
        members=tuple(
            _unpack_member(member, _below(f"{number}.", tensors), device, engine)
            for number, member in enumerate(record["members"])
        ),
        calibration=Calibration(
            tensors["calibration.image_scores"],
            tensors["calibration.map_peaks"],
            record["false_alarm_rate"],
            # The oldest files of format 2 were written before this key was added.
            record.get("views_of_one", False),
        ),
        bank_size_calibration=_unpack_bank_sizes(tensors),
        fitted_on=tuple(record["fitted_on"]),
        versions=record["versions"],
    )


def pack_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their name -> by their key in the file.

    >>> pack_settings({"image_score": "top_fraction", "top_fraction": 0.01})
    {'image_score': 'top_share', 'top_share': 0.01}
    """
    record = {SETTING_KEYS.get(name, name): value for name, value in settings.items()}
    if "image_score" in record:
        score = record["image_score"]
        record["image_score"] = IMAGE_SCORE_KEYS.get(score, score)
    return record


def unpack_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their key in the file -> by their name; the inverse of `pack_settings`."""
    names = {key: name for name, key in SETTING_KEYS.items()}
    settings = {names.get(key, key): value for key, value in record.items()}
    if "image_score" in settings:
        scores = {key: name for name, key in IMAGE_SCORE_KEYS.items()}
        score = settings["image_score"]
        settings["image_score"] = scores.get(score, score)
    return settings


def _pack_member(member: Member, *, as_onnx: bool) -> Packed:
    extractor = member.extractor
    if as_onnx and is_exportable(extractor):
        content = export_backbone(extractor)
        extractor = OnnxExtractor(content, extractor.info.name, extractor.layers)
    backbone, weights = pack_backbone(extractor)
    record = {
        "method": member.method,
        "settings": pack_settings(member.settings.to_mapping()),
        "backbone": backbone,
        "facts": dict(member.model.summary()),
        "image_scale": _pack_standardization(member.image_scale),
        "map_scale": _pack_standardization(member.map_scale),
    }
    tensors = {f"model.{name}": tensor for name, tensor in member.model.tensors().items()}
    tensors |= {f"backbone.{name}": tensor for name, tensor in weights.items()}
    return record, tensors


def _unpack_member(
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    device: Device,
    engine: EngineName | None,
) -> Member:
    method = find_method(record["method"])
    settings = method.settings.from_mapping(unpack_settings(record["settings"]))
    return Member(
        method=method.name,
        settings=settings,
        extractor=unpack_backbone(record["backbone"], _below("backbone.", tensors), device, engine),
        model=method.restore(
            part_of(settings, method.parameters), _below("model.", tensors), device
        ),
        device=device,
        image_scale=_unpack_standardization(record["image_scale"]),
        map_scale=_unpack_standardization(record["map_scale"]),
    )


def _pack_standardization(scale: ScoreStandardization) -> dict[str, float]:
    return {"centre": scale.centre, "spread": scale.spread}


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
