"""Write the golden detector files: run once, with the version whose files shall stay readable.

    python tests/golden/detectors/write.py

It needs that version with the extras ``torch`` and ``dev``. It uses only what every version has:
the public names, the command ``info`` and the detector file. The files, the photographs and what
was said of them are written next to this script; see README.md there.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import patchbank
from patchbank import SPADE, Ensemble, GraphCore, PaDiM, PatchCore, SimpleNet

HERE = Path(__file__).resolve().parent
CELL = 8
"""Steps of the map's pixels that are stored."""
REGION = ("left", "top", "width", "height", "area", "score")
TORCH_BACKBONE = "test_resnet.r160_in1k"


def part(seed, *, size=(72, 104), defect=0):
    """(H, W, 3) uint8: a plate with a ring; `defect` is the radius of a dark blot in pixels."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    plate = 120 + 25 * np.sin(x / 5 + rng.uniform(-0.2, 0.2)) + 15 * np.cos(y / 7)
    plate[np.abs(np.hypot(y - height / 2, x - width / 2) - height / 4) < 4] = 200
    plate += rng.normal(0, 3, size)
    if defect:
        plate[np.hypot(y - height / 3, x - width / 4) < defect] = 10
    return np.clip(plate[..., None] * np.array([1.0, 0.9, 0.8]), 0, 255).astype(np.uint8)


PHOTOGRAPHS = {
    "good": part(100),
    "good-tall": part(101, size=(112, 64)),
    "blot": part(200, defect=9),
    "blot-small": part(201, defect=5),
    "blot-large-photograph": part(202, size=(96, 120), defect=12),
}


def write_network(path):
    """A backbone of two layers with random weights: stride 4 and 8, normalisation in the file."""
    rng = np.random.default_rng(0)
    shapes = {"a": (6, 3, 4, 4), "b": (8, 6, 2, 2)}
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name
        )
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["a1"], strides=[4, 4], kernel_shape=[4, 4]),
        helper.make_node("Relu", ["a1"], ["shallow"]),
        helper.make_node("Conv", ["shallow", "b"], ["b1"], strides=[2, 2], kernel_shape=[2, 2]),
        helper.make_node("Relu", ["b1"], ["deep"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "golden",
        [value("x", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [value(name, TensorProto.FLOAT, None) for name in ("shallow", "deep")],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    record = {"mean": [0.45, 0.5, 0.55], "std": [0.2, 0.25, 0.3], "size_multiple": 8}
    helper.set_model_props(model, {"patchbank": json.dumps(record)})
    onnx.save(model, path)


def write_torch_weights(path):
    """Random weights of a timm network, with running statistics as training leaves them."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model(TORCH_BACKBONE.partition(".")[0], pretrained=False)
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.mul_(0).add_(0.5)
    save_file(network.state_dict(), path)


def recipes():
    """Name of each file -> recipe, number of good photographs, how its backbone is held."""
    network, weights = "golden.onnx", "weights.safetensors"
    write_network(network)
    write_torch_weights(weights)
    common = {"backbone": network, "image_size": 96, "false_alarm_rate": 0.1}
    bank = {**common, "bank_rows": 150, "patch_stride": 1}
    in_torch = {
        **bank,
        "backbone": TORCH_BACKBONE,
        "weights": weights,
        "layers": ("act1", "layer1"),
    }
    few = {"scales": (1.0,), "bank_rows": 60}
    projected = {
        "projection": "sparse",
        "projection_dims": 6,
        "start": "random",
        "seed": 3,
        "image_score": "reweighted",
        "map_interpolation": "nearest",
        "map_border": "mirror",
        "normalise_score": True,
    }
    augmented = {"rotations": 4, "flips": "horizontal", "zooms": (0.9,), "crop": (72, 64)}
    network_of_methods = {"hidden_dims": 16, "steps": 60, "folds": 2, "batch_patches": 64}
    return {
        "patchcore": (PatchCore(**bank), 10, "onnx"),
        "patchcore-one-photograph": (PatchCore(**bank), 1, "onnx"),
        "patchcore-projection": (PatchCore(**{**bank, **projected}), 10, "onnx"),
        "patchcore-augmented": (
            PatchCore(**{**bank, **augmented, "n_neighbours": 2, "metric": "squared"}),
            4,
            "onnx",
        ),
        "patchcore-hnsw": (PatchCore(**bank, index="hnsw"), 10, "onnx"),
        "patchcore-torch": (PatchCore(**{**in_torch, **few}), 6, "torch"),
        "graphcore": (GraphCore(**bank), 10, "onnx"),
        "padim": (PaDiM(**{**common, "image_size": 64, "dims": 8, "rank": 4}), 10, "onnx"),
        "spade": (SPADE(**{**common, "image_size": 48, "n_images": 4}), 8, "onnx"),
        "simplenet": (SimpleNet(**{**common, **network_of_methods}), 8, "onnx"),
        "ensemble": (
            Ensemble(
                (
                    PatchCore(**{**bank, "bank_rows": 80}),
                    PaDiM(**{**common, "image_size": 64, "dims": 6}),
                )
            ),
            8,
            "onnx",
        ),
    }


def info(path):
    """The JSON that ``patchbank info FILE --json -`` prints."""
    command = [sys.executable, "-c", "from patchbank.cli import main; main()"]
    command += ["info", str(path), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def said(seen):
    """What an inspection says, but for its map."""
    return {
        "size": list(seen.size),
        "score": seen.score,
        "p_value": seen.p_value,
        "is_anomalous": seen.is_anomalous,
        "normalised_score": seen.normalised_score,
        "regions": [[getattr(region, name) for name in REGION] for region in seen.regions],
    }


def cut(path, paths):
    """What the same file says with the first 32 rows of its bank."""
    smaller = patchbank.load(path, device="cpu", bank_rows=32)
    seen = {shown: smaller.predict(paths[shown]) for shown in paths}
    return {
        "bank_rows": 32,
        "threshold": seen["good"].threshold,
        "scores": {shown: one.score for shown, one in seen.items()},
    }


def provenance():
    """Versions and commit that wrote the files."""
    home = Path(patchbank.__file__).parent
    names = ("patchbank", "numpy", "scipy", "onnxruntime", "safetensors", "faiss-cpu", "torch")
    commit = subprocess.run(
        ["git", "-C", str(home), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    return {
        "commit": commit.stdout.strip(),
        "format_version": 2,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in (*names, "timm")},
    }


def main():
    """Write photographs, files, and what the files say of the photographs."""
    paths = {name: HERE / "photographs" / f"{name}.png" for name in PHOTOGRAPHS}
    for name, pixels in PHOTOGRAPHS.items():
        Image.fromarray(pixels).save(paths[name], optimize=True)
    files, maps = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the files hold the name of their backbone as it was given
        for name, (recipe, n_good, backbone) in recipes().items():
            path = HERE / f"{name}.patchbank"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", patchbank.CalibrationWarning)
                detector = recipe.fit([part(seed) for seed in range(n_good)], device="cpu")
            detector.save(path, backbone=backbone)
            seen = {shown: detector.predict(paths[shown]) for shown in paths}
            first = seen["good"]
            files[name] = {
                "threshold": first.threshold,
                "pixel_threshold": first.pixel_threshold,
                "info": info(path),
                "photographs": {shown: said(one) for shown, one in seen.items()},
            }
            if name == "patchcore":
                files[name]["cut"] = cut(path, paths)
            for shown, one in seen.items():
                maps[f"{name}.{shown}"] = one.anomaly_map[CELL // 2 :: CELL, CELL // 2 :: CELL]
    record = {"written_by": provenance(), "files": files}
    (HERE / "expected.json").write_text(json.dumps(record, indent=1) + "\n")
    np.savez_compressed(HERE / "expected_maps.npz", **maps)


if __name__ == "__main__":
    main()
