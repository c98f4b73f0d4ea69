"""Small detectors of each method, whose files are mutated."""

from __future__ import annotations

import json
import warnings
from dataclasses import fields

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from patchbank import SPADE, Detector, Ensemble, GraphCore, PaDiM, PatchCore
from patchbank.backbones import OnnxExtractor
from patchbank.detector.bundle import Bundle, bundle_of, to_bytes
from patchbank.detector.packing import DetectorParts, pack
from patchbank.detector.settings_file import pack_settings
from patchbank.errors import CalibrationWarning
from patchbank.methods import METHODS
from patchbank.runtime.devices import HOST

SIDE = 48
WITH_HISTORY = ("patchcore-banks", "ensemble")
METADATA = {
    "name": "tiny",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.2, 0.2],
    "size_multiple": 8,
    "taps": {"shallow": {"channels": 4, "stride": 4}, "deep": {"channels": 6, "stride": 8}},
    "default_layers": ["shallow", "deep"],
}


def network() -> bytes:
    """A network of two convolutions, as an ONNX file."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(0, 0.3, (4, 3, 4, 4)).astype(np.float32),
        "w2": rng.normal(0, 0.3, (6, 4, 2, 2)).astype(np.float32),
        "b2": rng.normal(0, 0.3, 6).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], strides=[4, 4], kernel_shape=[4, 4]),
        helper.make_node("Relu", ["c1"], ["shallow"]),
        helper.make_node("Conv", ["shallow", "w2", "b2"], ["c2"], strides=[2, 2]),
        helper.make_node("Clip", ["c2", "low", "high"], ["deep"]),
    ]
    value = helper.make_tensor_value_info
    constants = [numpy_helper.from_array(w, name) for name, w in weights.items()]
    limits = [("low", -6.0), ("high", 6.0)]
    constants += [numpy_helper.from_array(np.float32(v), name) for name, v in limits]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [value("image", TensorProto.FLOAT, ["b", 3, "H", "W"])],
        [value(name, TensorProto.FLOAT, None) for name in ("shallow", "deep")],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"patchbank": json.dumps(METADATA)})
    content: bytes = model.SerializeToString()
    return content


def photographs(n: int) -> list[np.ndarray]:
    """Textured plates, (40, 56, 3); the last has a dark blot."""
    made = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:40, :56]
        plate = 120 + 25 * np.sin(x / 5) + 15 * np.cos(y / 7) + rng.normal(0, 3, (40, 56))
        if seed == n - 1:
            plate[12:20, 30:40] = 10
        made.append(np.clip(plate[..., None] * [1, 0.9, 0.8], 0, 255).astype(np.uint8))
    return made


def _changed(detector: Detector) -> Detector:
    """The detector after an update, a correction, an undo and a new threshold."""
    new, odd, _ = photographs(9)[6:]
    after = detector.updated([new], reason="one more", force=True)
    after = after.with_threshold(after.predict(odd).score - 0.1)
    after = after.updated(normal=after.predict(odd), reason="allowed").undone()
    return after.with_false_alarm_rate(0.3)


def _file_of(detector: Detector) -> Bundle:
    """The content of its file."""
    names = [each.name for each in fields(DetectorParts)]
    parts = DetectorParts(**{name: getattr(detector, name) for name in names})
    return bundle_of(to_bytes(pack(parts, as_onnx=True)), "seed")


def seeds(path: str) -> dict[str, Bundle]:
    """Name -> content of a small detector file of each method.

    Args:
        path: where the ONNX file of the backbone is written.
    """
    content = network()
    with open(path, "wb") as file:
        file.write(content)
    common = {"backbone": path, "image_size": SIDE, "false_alarm_rate": 0.2}
    recipes = {
        "patchcore": PatchCore(bank_rows=24, banks="joint", **common),
        "patchcore-banks": PatchCore(bank_rows=24, **common),
        "patchcore-pooled": PatchCore(
            bank_rows=24, target_dims=8, layer_dims=6, image_score="reweighted", **common
        ),
        "graphcore": GraphCore(bank_rows=24, **common),
        "padim": PaDiM(dims=6, rank=3, **common),
        "spade": SPADE(n_images=3, **common),
        "ensemble": Ensemble([PatchCore(bank_rows=16, **common), PaDiM(dims=6, **common)]),
    }
    good = photographs(7)[:6]
    detectors = {name: recipe.fit(good) for name, recipe in recipes.items()}
    found = {name: _file_of(detector) for name, detector in detectors.items()}
    found |= {f"{name}-history": _file_of(_changed(detectors[name])) for name in WITH_HISTORY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)  # one photograph is enough here
        one = PatchCore(bank_rows=16, **common).fit(good[:1])
    found["patchcore-one"] = _file_of(one)
    found["simplenet"] = _with_simplenet(found["patchcore"])
    return found


def _with_simplenet(patchcore: Bundle) -> Bundle:
    """A detector of SimpleNet with random weights: its fit needs torch."""
    rng = np.random.default_rng(5)
    method = METHODS["simplenet"]
    settings = method.settings(backbone="tiny", image_size=SIDE, hidden_dims=7)
    extractor = OnnxExtractor(patchcore.tensors["0.backbone.onnx"].tobytes(), "tiny")
    d = sum(layer.channels for layer in extractor.info.available_layers.values())
    d *= len(settings.scales)
    tensors = {
        "weight": rng.normal(0, 1, (7, d)).astype(np.float32),
        "bias": rng.normal(0, 1, 7).astype(np.float32),
        "tail": rng.normal(0, 1, 7).astype(np.float32),
        "steps": np.array([3]),
    }
    method.restore(settings, tensors, HOST)
    record = json.loads(json.dumps(patchcore.record))
    record["members"][0] |= {
        "method": "simplenet",
        "settings": json.loads(json.dumps(pack_settings(settings))),
    }
    kept = {k: t for k, t in patchcore.tensors.items() if ".model." not in k and "ladder" not in k}
    return Bundle(kept | {f"0.model.{name}": t for name, t in tensors.items()}, record)
