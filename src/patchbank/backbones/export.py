"""From a timm network to an ONNX file that runs without torch (extra ``torch``)."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from patchbank.backbones.extractor import FeatureExtractor
from patchbank.backbones.onnx import METADATA_KEY, OnnxExtractor
from patchbank.backbones.timm import TimmExtractor, in_one_line
from patchbank.core.arrays import to_numpy
from patchbank.errors import BackboneError

TOLERANCE = 1e-3  # largest difference of a map, relative to its largest value
TRIAL_CELLS = ((6, 9), (10, 7))  # inputs tried, in steps of 32 or of the patch: never square


def to_onnx(extractor: TimmExtractor, *, input_size: tuple[int, int] | None = None) -> bytes:
    """Export the network up to the layers that are taken, and check it against torch.

    Args:
        extractor: to export; its layers become the outputs, under their names.
        input_size: (H, W) that the file shall accept; None for any.

    Returns:
        An ONNX file that says layers, strides, preprocessing, licence and source itself.

    Raises:
        BackboneError: the network cannot be exported, or the file computes something else.
    """
    info = extractor.info
    input_size = input_size or info.input_size
    step = info.size_multiple if info.size_multiple > 1 else 32
    sizes = [input_size] if input_size else [(h * step, w * step) for h, w in TRIAL_CELLS]
    if input_size is None and info.size_multiple == 1:
        sizes.append((sizes[0][0] + 3, sizes[0][1] - 5))  # of no multiple at all
    ordered = [layer for layer in info.taps if layer in extractor.layers]
    try:
        model = _traced(extractor, ordered, sizes[0], fixed=input_size is not None)
    except ImportError as error:
        raise BackboneError(
            f"expected onnx and onnxscript to export {info.name}, got: {error}; "
            "pip install 'patchbank[torch]'"
        ) from None
    except Exception as error:  # torch's exporter has many types for what it cannot do
        raise BackboneError(
            f"{info.name}: expected a network that ONNX can express, got: {in_one_line(error)}"
        ) from None
    record = asdict(info)
    del record["input_size"]  # the file's own input says it
    record["source_sha256"] = record.pop("sha256")  # the file's own hash cannot stand in it
    record["taps"] = {layer: record["taps"][layer] for layer in ordered}
    record["default_layers"] = extractor.layers
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(record)
    content: bytes = model.SerializeToString()
    _check(extractor, OnnxExtractor(content, info.name, extractor.layers), sizes)
    return content


def largest_difference(
    one: FeatureExtractor, other: FeatureExtractor, sizes: list[tuple[int, int]]
) -> float:
    """Largest difference of any map, relative to its largest value, on images of noise."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for size in sizes:
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        for ours, theirs in zip(
            map(to_numpy, one(image)), map(to_numpy, other(image)), strict=True
        ):
            if ours.shape != theirs.shape:
                return float("inf")
            scale = max(float(np.abs(ours).max()), 1e-12)
            worst = max(worst, float(np.abs(ours - theirs).max()) / scale)
    return worst


def _traced(
    extractor: TimmExtractor, outputs: list[str], size: tuple[int, int], *, fixed: bool
) -> Any:
    network = copy.deepcopy(extractor.network).cpu()
    image = torch.zeros(1, 3, *size)
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it tells of every optional pass that it skips
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (image,),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=outputs,
                dynamic_shapes=None if fixed else {"images": sides},
            )
    finally:
        logger.setLevel(level)
    return program.model_proto


def _check(extractor: TimmExtractor, exported: OnnxExtractor, sizes: list[tuple[int, int]]) -> None:
    difference = largest_difference(extractor, exported, sizes)
    if not difference <= TOLERANCE:
        raise BackboneError(
            f"{extractor.info.name}: expected the ONNX file to give the features of torch to "
            f"{TOLERANCE:g}, got a difference of {difference:.2g}; keep the torch backbone"
        )
