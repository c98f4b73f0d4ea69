"""Export of a network in torch to an ONNX file that runs without torch (extra ``torch``)."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchbank.backbones.extractor import FeatureExtractor
from patchbank.backbones.onnx_extractor import METADATA_KEY, OnnxExtractor
from patchbank.backbones.packing import pack_info, pack_layers
from patchbank.backbones.torch_extractor import TorchExtractor, in_one_line
from patchbank.core.array_api import to_numpy
from patchbank.errors import BackboneError
from patchbank.types import Image

TOLERANCE = 1e-3  # largest difference of a map, relative to its largest value
TRIAL_CELLS = ((6, 9), (10, 7))  # input sizes to compare, in steps of 32 or of the patch
TRIAL_CELLS_OF_GRAPHS = ((2, 3), (4, 3))  # few nodes, so that few distances are tied
N_TRIALS_OF_GRAPHS = 8  # images per size


def to_onnx(extractor: TorchExtractor, *, input_size: tuple[int, int] | None = None) -> bytes:
    """Export the network up to the deepest chosen layer, and check it against torch.

    Args:
        extractor: to export; its layers become the outputs, under their names.
        input_size: (H, W) if the file shall accept one size only; None for any size.

    Returns:
        An ONNX file whose metadata states layers, strides, preprocessing, licence and source.

    Raises:
        BackboneError: the network cannot be exported, or the file computes something else.
    """
    info = extractor.info
    input_size = input_size or info.input_size
    sizes = [input_size] if input_size else _trial_sizes(extractor)
    ordered = [layer for layer in info.available_layers if layer in extractor.layers]
    try:
        model = _traced(extractor, ordered, sizes[0], fixed=input_size is not None)
    except ImportError as error:
        raise BackboneError(
            f"expected onnx and onnxscript to export {info.name}, got: {error}; "
            "pip install 'patchbank[torch]'"
        ) from None
    except Exception as error:  # the exporter raises many exception types
        raise BackboneError(
            f"{info.name}: expected a network that ONNX can express, got: {in_one_line(error)}"
        ) from None
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(_metadata(extractor, ordered))
    content: bytes = model.SerializeToString()
    _check(extractor, OnnxExtractor(content, info.name, extractor.layers), sizes)
    return content


def _metadata(extractor: TorchExtractor, outputs: list[str]) -> dict[str, Any]:
    record = pack_info(extractor.info)
    del record["input_size"]  # the input of the model states it
    record["source_sha256"] = record.pop("sha256")  # a file cannot contain its own digest
    layers = extractor.info.available_layers
    record["taps"] = pack_layers({layer: layers[layer] for layer in outputs})
    record["default_layers"] = extractor.layers
    return record


def largest_difference(
    one: FeatureExtractor, other: FeatureExtractor, sizes: Sequence[tuple[int, int]]
) -> float:
    """Largest difference of any map, relative to the map's largest value, on noise images."""
    rng = np.random.default_rng(0)
    differences = [_differences(one, other, _noise(size, rng)) for size in sizes]
    return max(float(d.max()) for maps in differences for d in maps)


def typical_difference(
    one: FeatureExtractor, other: FeatureExtractor, sizes: Sequence[tuple[int, int]]
) -> float:
    """Median difference over the nodes of a map, on the best image of each size.

    For networks that are not continuous: if two neighbours are at the same distance, rounding
    chooses one of them, and all later features differ by a few per cent.  This happens on some
    images; an error of the export shows on all of them, so the smallest difference reveals it.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for size in sizes:
        best = float("inf")
        for _ in range(N_TRIALS_OF_GRAPHS):
            maps = _differences(one, other, _noise(size, rng))
            best = min(best, max(float(np.median(d)) for d in maps))
            if best <= TOLERANCE:
                break
        worst = max(worst, best)
    return worst


def _noise(size: tuple[int, int], rng: np.random.Generator) -> Image:
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def _differences(
    one: FeatureExtractor, other: FeatureExtractor, image: Image
) -> list[NDArray[np.float32]]:
    """(h, w) per layer: largest difference over the channels, relative to the map's maximum."""
    differences = []
    for ours, theirs in zip(map(to_numpy, one(image)), map(to_numpy, other(image)), strict=True):
        if ours.shape != theirs.shape:
            differences.append(np.array([np.inf], dtype=np.float32))
        else:
            scale = max(float(np.abs(ours).max()), 1e-12)
            differences.append(np.abs(ours - theirs).max(axis=0) / scale)
    return differences


def _trial_sizes(extractor: TorchExtractor) -> list[tuple[int, int]]:
    multiple = extractor.info.size_multiple
    step = multiple if multiple > 1 else 32
    cells = TRIAL_CELLS if extractor.network.is_continuous else TRIAL_CELLS_OF_GRAPHS
    sizes = [(height * step, width * step) for height, width in cells]
    if multiple == 1:
        sizes.append((sizes[0][0] + 3, sizes[0][1] - 5))  # not a multiple of anything
    return sizes


def _traced(
    extractor: TorchExtractor, outputs: list[str], size: tuple[int, int], *, fixed: bool
) -> Any:
    network = copy.deepcopy(extractor.network).cpu()
    image = torch.zeros(1, 3, *size)
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the exporter logs every optional pass that it skips
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


def _check(
    extractor: TorchExtractor, exported: OnnxExtractor, sizes: list[tuple[int, int]]
) -> None:
    measure = largest_difference if extractor.network.is_continuous else typical_difference
    difference = measure(extractor, exported, sizes)
    if not difference <= TOLERANCE:
        raise BackboneError(
            f"{extractor.info.name}: expected the ONNX file to give the features of torch to "
            f"{TOLERANCE:g}, got a difference of {difference:.2g}; keep the torch backbone"
        )
