"""The check of a detector file's parts against each other: calibration, backbone, settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor, OnnxExtractor, unpack_info
from patchbank.detector.preprocessing import input_sizes
from patchbank.detector.tiling import grid_unit
from patchbank.errors import DetectorFileError
from patchbank.images.digest import DIGEST_BYTES
from patchbank.methods import FittedMethod, ResizableBank
from patchbank.methods.tensor_spec import TensorSpec, check_tensors
from patchbank.settings import Settings

MAX_SCALES = 32
MAX_POOLED_PATCH = 31
"""Side of the largest neighbourhood with `target_dims`: that pooling compares all offsets."""
LARGEST_SCORE = 1e30
CALIBRATION: Mapping[str, TensorSpec] = {
    name: TensorSpec("float64", ("n",), low=-LARGEST_SCORE, high=LARGEST_SCORE)
    for name in ("calibration.image_scores", "calibration.map_peaks")
}
GROUPS: Mapping[str, TensorSpec] = {"calibration.groups": TensorSpec("int32", ("n",), low=0)}
DIGESTS: Mapping[str, TensorSpec] = {
    "photographs.digests": TensorSpec("uint8", ("n", str(DIGEST_BYTES)))
}
BANK_SIZES: Mapping[str, TensorSpec] = {
    "ladder.bank_rows": TensorSpec("int64", ("s",), low=1),
    **{
        name: TensorSpec("float64", ("s", "n"), low=-LARGEST_SCORE, high=LARGEST_SCORE)
        for name in ("ladder.image_scores", "ladder.map_peaks")
    },
}


def check_calibration(tensors: Mapping[str, NDArray[Any]], n_photographs: int | None) -> None:
    """Check the scores of the good images.

    Args:
        tensors: all of the file.
        n_photographs: their number; None where the scores are those of views of one.

    Raises:
        ShapeError: one is missing, or has another type, shape or range.
        DetectorFileError: all photographs are of one group, so that none was left out.
    """
    lengths = {} if n_photographs is None else {"n": n_photographs}
    check_tensors(tensors, CALIBRATION, lengths)
    n_scores = len(tensors["calibration.image_scores"])
    if "calibration.groups" in tensors:
        check_tensors(tensors, GROUPS, {"n": n_scores})
        groups = tensors["calibration.groups"]
        if (groups == groups[0]).all():
            raise DetectorFileError(
                f"calibration.groups: expected at least 2 groups, got 1 of all {n_scores} scores"
            )
    if any(name in tensors for name in BANK_SIZES):
        check_tensors(tensors, BANK_SIZES, {"n": n_scores})


def check_digests(tensors: Mapping[str, NDArray[Any]], n_photographs: int) -> None:
    """Check the digests of the good images, where they are stored.

    Raises:
        ShapeError: they have another type or shape.
    """
    if "photographs.digests" in tensors:
        check_tensors(tensors, DIGESTS, {"n": n_photographs})


def check_bank_sizes(bank_rows: NDArray[Any], models: list[FittedMethod]) -> None:
    """Check that the last calibrated size is that of the bank.

    Raises:
        DetectorFileError: it is not, or there is no such bank.
    """
    model = models[0]
    if len(models) != 1 or not isinstance(model, ResizableBank) or model.n_rows != bank_rows[-1]:
        raise DetectorFileError(
            f"ladder.bank_rows: expected one member with {bank_rows[-1]} rows, got another bank"
        )


def check_extractor(extractor: FeatureExtractor, record: Mapping[str, Any]) -> None:
    """Check that a backbone is the one that its record describes.

    Raises:
        DetectorFileError: it has other layers, another preprocessing or another digest.
    """
    stated, found = unpack_info(record["info"]), extractor.info
    if tuple(record["layers"]) != extractor.layers:
        raise DetectorFileError(
            f"backbone.layers: expected {', '.join(extractor.layers)}, "
            f"got {', '.join(record['layers'])}"
        )
    if not isinstance(extractor, OnnxExtractor):
        return  # its own source compares it with the record
    for name in ("mean", "std", "size_multiple", "input_size", "sha256"):
        if getattr(stated, name) != getattr(found, name):
            raise DetectorFileError(
                f"backbone.info.{name}: expected {getattr(found, name)} (what its network says), "
                f"got {getattr(stated, name)}"
            )
    for layer in extractor.layers:
        if stated.available_layers[layer] != found.available_layers[layer]:
            raise DetectorFileError(
                f"backbone.info.taps: expected {found.available_layers[layer]} of {layer!r} (what "
                f"its network says), got {stated.available_layers[layer]}"
            )


def check_settings(settings: Settings, extractor: FeatureExtractor) -> None:
    """Check that an image of the usual shape can be inspected with these settings.

    Raises:
        DetectorFileError: a size is out of all proportion.
        ParameterError: the backbone does not accept such images.
    """
    sides = settings.image_size
    height, width = (sides, sides) if isinstance(sides, int) else sides
    is_canonical = settings.position == "canonical"
    if settings.position == "auto" or is_canonical == (settings.part_size is None):
        raise DetectorFileError(
            "position: expected 'as_photographed', or 'canonical' with part_size, got "
            f"{settings.position!r} and {settings.part_size}"
        )
    if len(settings.scales) > MAX_SCALES:
        raise DetectorFileError(
            f"scales: expected at most {MAX_SCALES}, got {len(settings.scales):,}"
        )
    if settings.tiles:  # photographs keep their size, which a crop is compared with
        grid_unit(extractor, settings)
    elif not isinstance(settings.crop, tuple) or isinstance(settings.image_size, tuple):
        input_sizes(extractor, settings, extractor.info.input_size or (height, width))
    patch_size = getattr(settings, "patch_size", 1)
    if getattr(settings, "target_dims", None) is not None and patch_size > MAX_POOLED_PATCH:
        raise DetectorFileError(
            f"patch_size: expected at most {MAX_POOLED_PATCH} with target_dims, got {patch_size}"
        )
