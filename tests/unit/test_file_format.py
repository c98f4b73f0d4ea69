"""The page about the detector file says what is in the files, key by key."""

import hashlib
import json
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from patchbank import SPADE, Edit, Ensemble, GraphCore, PaDiM, PatchCore, load
from patchbank.backbones import open_backbone
from patchbank.detector.bundle import Bundle, read_bundle
from patchbank.detector.explanation.pictures import LearnedPhotographs
from patchbank.detector.packing import DetectorParts, pack
from patchbank.detector.packing import unpack as unpack_bundle
from patchbank.detector.remembered import RememberedDefect, RememberedPatches
from patchbank.detector.settings_choice import SettingsChoice, SettingsTrial
from patchbank.detector.settings_file import RENAMED_KEYS, pack_settings, unpack_settings
from patchbank.detector.updates import Updates
from patchbank.images.roi import RegionOfInterest
from patchbank.methods import METHODS, PatchCoreSettings
from patchbank.runtime.devices import HOST
from patchbank.settings import Settings, setting, settings_of
from patchbank.settings.rules import Choice, Integer
from tests.photographs import part, parts

BUILT_IN = ("patchcore", "graphcore", "padim", "spade", "simplenet")
PAGE = Path(__file__).parents[2] / "docs" / "file-format.md"
SMALL = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
NUMPY_TYPES = {"float32": "<f4", "float64": "<f8", "int32": "<i4", "int64": "<i8", "uint8": "|u1"}
UNITS = ("facts", "versions", "taps", "roi", "chosen")  # objects that the page describes as one


class TorchBackbone:
    """A backbone whose weights are stored for torch."""

    kind = "timm"

    def __init__(self, info, layers):
        self.info, self.layers = replace(info, name="resnet18.tv_in1k"), layers

    def state(self):
        return {"conv1.weight": np.ones((2, 3), np.float32)}


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    """Name -> path of a file; together they hold every key."""
    folder = tmp_path_factory.mktemp("files")
    recipes = {
        "patchcore": PatchCore(bank_rows=60, banks="joint", **SMALL),
        "banks": PatchCore(bank_rows=60, **SMALL),
        "graphcore": GraphCore(bank_rows=60, **SMALL),
        "padim": PaDiM(dims=8, rank=4, **SMALL),
        "spade": SPADE(n_images=3, **SMALL),
        "ensemble": Ensemble([PatchCore(bank_rows=40, **SMALL), PaDiM(dims=8, **SMALL)]),
    }
    for name, recipe in recipes.items():
        recipe.fit(parts(6)).save(folder / f"{name}.patchbank")
    return {name: folder / f"{name}.patchbank" for name in recipes}


@pytest.fixture(scope="module")
def bundles(detectors):
    """Contents of those files, and of two that cannot be fitted without torch."""
    found = {name: read_bundle(path) for name, path in detectors.items()}
    parts_of = unpack_bundle(found["patchcore"], "x", HOST, None)
    member, method = parts_of.members[0], METHODS["simplenet"]
    settings = method.settings(backbone="efficientnet_lite0")
    tensors = {
        "weight": np.ones((5, 4), np.float32),
        "bias": np.zeros(5, np.float32),
        "tail": np.ones(5, np.float32),
        "steps": np.array([3]),
    }
    model = method.restore(settings, tensors, HOST)
    simplenet = replace(member, method="simplenet", settings=settings, model=model)
    extractor = TorchBackbone(member.extractor.info, member.extractor.layers)
    torch = replace(member, extractor=extractor)
    in_int8 = replace(member, extractor=open_backbone("efficientnet_lite0_int8"))
    found |= {
        name: as_written(pack(replace(parts_of, members=(other,)), as_onnx=False))
        for name, other in (("simplenet", simplenet), ("torch", torch), ("int8", in_int8))
    }
    grouped = replace(parts_of.calibration, groups=np.array([0, 0, 1, 1, 2, 2], np.int32))
    trials = (SettingsTrial({"scales": (1.0,)}, 0.9), SettingsTrial({"scales": (0.5,)}, None, "no"))
    choice = SettingsChoice({"scales": (1.0,)}, "best", trials, 12, 10, 30, 4.5, 0.02)
    found["choice"] = as_written(pack(replace(parts_of, settings_choice=choice), as_onnx=False))
    updated = replace(parts_of, updates=Updates((1,), (60,)))
    found["updated"] = as_written(pack(updated, as_onnx=False))
    features = np.ones((2, parts_of.members[0].model.n_features), dtype=np.float32)
    patches = RememberedPatches(features, np.array([[0, 1], [2, 3]]), (4, 5), 1)
    defect = RememberedDefect("scratch.png", 3.5, (patches,))
    found["remembered"] = as_written(pack(replace(parts_of, remembered=(defect,)), as_onnx=False))
    found["groups"] = as_written(pack(replace(parts_of, calibration=grouped), as_onnx=False))
    poses = LearnedPhotographs(None, np.ones((2, 4)))
    found["poses"] = as_written(pack(replace(parts_of, photographs=poses), as_onnx=False))
    region = RegionOfInterest(np.eye(5, 13, dtype=bool), ["0,0,9,9"], ["mask.png"])
    before = load(detectors["patchcore"])
    more = PatchCore(bank_rows=60, banks="joint", **SMALL).fit(parts(7))
    changed = more.recorded(before, Edit("update", by="Eva"))
    found["history"] = as_written(pack(changed._parts(), as_onnx=False))
    found["roi"] = as_written(pack(replace(parts_of, roi=region), as_onnx=False))
    return found


def as_written(bundle):
    return Bundle(bundle.tensors, json.loads(json.dumps(bundle.record)))


def keys_of_record(record, prefix=""):
    for key, value in record.items():
        if key == "members":
            for member in value:
                yield from keys_of_record(member, "members[].")
        elif isinstance(value, dict) and key not in UNITS:
            yield from keys_of_record(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def listed_name(key, of_torch):
    """The name under which the page lists a tensor."""
    key = re.sub(r"^\d+\.", "N.", key)
    if of_torch and key.startswith("N.backbone."):
        return "N.backbone.*"
    key = re.sub(r"^remembered\.\d+\.", "remembered.N.", key)
    key = re.sub(r"^lineage\.\d+\.\d+$", "lineage.D.I", key)
    return re.sub(r"(plane|bank)\d+(?=_|$)", r"\1I", key)


def listed():
    """Key -> the cells of its row on the page."""
    text = PAGE.read_text().split("## Tensors")[1].split("## Reading one")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    keys = [row[0].strip("`") for row in rows]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, rows, strict=True))


def test_every_key_of_a_file_is_on_the_page_and_every_key_of_the_page_is_in_a_file(bundles):
    found = {"members"}
    for name, bundle in bundles.items():
        found |= set(keys_of_record(bundle.record))
        found |= {listed_name(key, name == "torch") for key in bundle.tensors}
    assert found == set(listed())


def test_tensors_have_the_types_and_dimensions_of_the_page(bundles):
    rows = listed()
    for bundle in bundles.values():
        for key, tensor in bundle.tensors.items():
            _, kind, shape, *_ = rows.get(listed_name(key, False), rows["N.backbone.*"])
            if kind in ("as trained", "as coded"):
                continue
            assert tensor.dtype.str == NUMPY_TYPES[kind], key
            dimensions = shape.split(" or ")[0].strip("()").rstrip(",").split(", ")
            assert tensor.ndim == len(dimensions), key


def test_the_digest_is_the_one_that_the_page_describes(detectors):
    content = detectors["patchcore"].read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    text = header.pop("__metadata__")["patchbank"]
    record = text[text.index('"record": ') + len('"record": ') : text.rindex(', "sha256": ')]
    digest = hashlib.sha256(record.encode("ascii"))
    types = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1"}
    for name in sorted(header):
        shape = header[name]["shape"]
        sides = f"({shape[0]},)" if len(shape) == 1 else f"({', '.join(map(str, shape))})"
        digest.update(f"{name} {types[header[name]['dtype']]} {sides}".encode())
        digest.update(data[slice(*header[name]["data_offsets"])])
    assert json.loads(text)["sha256"] == digest.hexdigest()
    assert json.loads(record) == json.loads(text)["record"]
    assert json.loads(text)["format_version"] == 3


def text(content):
    """JSON as the page describes it."""
    return json.dumps(content, sort_keys=True).encode("ascii")


def digest_of_tensors(tensors):
    digest = hashlib.sha256()
    for name in sorted(tensors):
        shape = ", ".join(map(str, tensors[name].shape)) + ("," if tensors[name].ndim == 1 else "")
        digest.update(f"{name} {tensors[name].dtype.str} ({shape})".encode())
        digest.update(tensors[name].tobytes())
    return digest


def test_the_history_is_the_one_that_the_page_describes(bundles):
    bundle = bundles["history"]
    tensors = {n: t for n, t in bundle.tensors.items() if n.startswith("lineage.")}
    digest = tensors.pop("lineage.sha256")
    assert digest.tobytes() == digest_of_tensors(tensors).digest()
    content = json.loads(tensors["lineage.json"].tobytes().decode("ascii"))
    fit, change = content["entries"]
    assert fit["previous"] is None
    assert change["previous"] == hashlib.sha256(text(fit)).hexdigest()
    assert content["head"] == hashlib.sha256(text(change)).hexdigest()
    learned = {
        name: tensor
        for name, tensor in bundle.tensors.items()
        if not name.startswith(("lineage.", "0.backbone."))
    }
    record = json.loads(text(bundle.record))
    backbone = record["members"][0].pop("backbone")
    identity = {
        "is_onnx": True,
        "layers": backbone["layers"],
        "normalisation": backbone["normalisation"],
        "precision": backbone["precision"],
        "sha256": backbone["info"]["sha256"],
        "source_sha256": None,
    }
    tensors_digest = digest_of_tensors(learned).hexdigest()
    state = {"record": record, "backbones": [identity], "tensors": tensors_digest}
    assert change["state"] == hashlib.sha256(text(state)).hexdigest()


def rows_of_page(how, later, arrays):
    """A tensor of the earlier state, as the page describes it."""
    if "whole" in how:
        return arrays[how["whole"]]
    if "index" in how:
        numbers = arrays[how["index"]].tolist()
    else:
        runs = arrays[how["runs"]].tolist()
        n = len(later)
        numbers = [n if first == n else first + i for first, count in runs for i in range(count)]
    stored = iter(arrays[how["new"]])
    return np.array([next(stored) if k == len(later) else later[k] for k in numbers])


def test_a_way_back_is_one_that_the_page_describes(bundles):
    later, earlier = bundles["history"].tensors, bundles["patchcore"].tensors
    content = json.loads(later["lineage.json"].tobytes().decode("ascii"))
    (delta,) = content["deltas"]
    assert (delta["later"], delta["earlier"]) == (1, 0)
    arrays = [later[f"lineage.0.{index}"] for index in range(delta["arrays"])]
    kinds = {kind for how in delta["tensors"].values() for kind in how}
    assert kinds >= {"whole", "new"}
    for name, tensor in earlier.items():
        how = delta["tensors"].get(name)
        found = later[name] if how is None else rows_of_page(how, later.get(name), arrays)
        assert found.tobytes() == tensor.tobytes(), name
    assert delta["removed"] == []
    assert delta["record"]["keys"]["fitted_on"] == {"runs": [[0, 6]]}


# Written out, since the files of every version have these.
KEYS = [
    "adaptor_learning_rate",
    "alignment",
    "backbone",
    "bank_limit",
    "bank_rows",
    "batch_patches",
    "coreset",
    "covering_radius",
    "crop",
    "deepest_apart",
    "dims",
    "discriminator_learning_rate",
    "false_alarm_rate",
    "flips",
    "folds",
    "fusion",
    "graph_neighbours",
    "graph_weight",
    "hidden_dims",
    "image_score",
    "image_size",
    "index",
    "largest_enlargement",
    "bit_depth",
    "part_size",
    "position",
    "banks",
    "layer_dims",
    "layers",
    "map_border",
    "map_interpolation",
    "margin",
    "mean",
    "metric",
    "n_images",
    "n_neighbours",
    "n_starting_points",
    "noise_std",
    "normalise_score",
    "patch_size",
    "patch_stride",
    "projection",
    "projection_dims",
    "rank",
    "resampling",
    "resize",
    "ridge",
    "rotations",
    "scales",
    "schedule",
    "seed",
    "selection",
    "smoothing",
    "start",
    "std",
    "steps",
    "support",
    "target_dims",
    "tiles",
    "top_share",
    "translations",
    "weights",
    "zooms",
]


def test_every_setting_of_every_method_has_a_key_of_its_own():
    packed = {
        method.name: pack_settings(method.settings())
        for method in METHODS.values()
        if method.name in BUILT_IN
    }
    assert {key for record in packed.values() for key in record} == set(KEYS)
    rows = listed()
    for key in KEYS:
        methods = [name for name in packed if key in packed[name]]
        name = {old: new for new, old in RENAMED_KEYS.items()}.get(key, key)
        assert rows[f"members[].settings.{key}"][3].split()[0] == f"`{name}`"
        of = "all" if len(methods) == len(packed) else ", ".join(methods)
        assert rows[f"members[].settings.{key}"][2] == of
        assert all(name in settings_of(METHODS[method].settings) for method in methods)


def test_settings_come_back_from_their_keys():
    settings = PatchCoreSettings(top_fraction=0.02, max_upscale=2, n_reweight_neighbours=5)
    record = pack_settings(settings)
    assert (record["image_score"], record["top_share"]) == ("top_share", 0.02)
    assert (record["largest_enlargement"], record["support"]) == (2, 5)
    assert not {"top_fraction", "max_upscale", "n_reweight_neighbours"} & set(record)
    unpacked = unpack_settings(record, PatchCoreSettings)
    assert PatchCoreSettings.from_mapping(unpacked) == settings


@dataclass(frozen=True, kw_only=True)
class FormerNames(Settings):
    """Settings of another package, called as some of ours were called before."""

    support: int = setting(3, "Support.", rule=Integer(1), group="Other")
    largest_enlargement: int = setting(4, "Enlargement.", rule=Integer(1), group="Other")
    top_share: int = setting(5, "Share.", rule=Integer(1), group="Other")
    image_score: str = setting(
        "top_share", "Score.", rule=Choice(("top_share", "top_fraction")), group="Other"
    )


@pytest.mark.parametrize("score", ["top_share", "top_fraction"])
def test_settings_of_other_packages_may_have_former_names_of_ours(score):
    settings = FormerNames(
        support=7, largest_enlargement=8, top_share=9, image_score=score, max_upscale=2.5
    )
    record = pack_settings(settings)
    assert record == settings.to_mapping()
    assert unpack_settings(record, FormerNames) == settings.to_mapping()


@dataclass(frozen=True, kw_only=True)
class Support(Settings):
    """Settings of another package with one such name."""

    support: int = setting(3, "Support.", rule=Integer(1), group="Other")


def test_the_other_settings_of_such_a_package_keep_the_keys_of_earlier_files():
    record = pack_settings(Support(support=7, max_upscale=2.5))
    assert (record["support"], record["largest_enlargement"]) == (7, 2.5)
    unpacked = unpack_settings(record, Support)
    assert Support.from_mapping(unpacked) == Support(support=7, max_upscale=2.5)


def test_a_file_without_optional_keys_opens_with_their_defaults(bundles):
    bundle = bundles["patchcore"]
    record = {key: value for key, value in bundle.record.items() if key != "views_of_one"}
    tensors = {k: t for k, t in bundle.tensors.items() if not k.startswith("ladder.")}
    opened = unpack_bundle(Bundle(tensors, record), "x", HOST, None)
    assert opened.calibration.views_of_one is False
    assert opened.bank_size_calibration is None


@pytest.mark.parametrize("name", ["patchcore", "graphcore", "padim", "spade", "ensemble"])
def test_what_is_unpacked_is_packed_to_the_same_content(detectors, bundles, name):
    opened = unpack_bundle(bundles[name], "x", HOST, None)
    again = as_written(pack(opened, as_onnx=True))
    assert again.record == bundles[name].record
    assert again.tensors.keys() == bundles[name].tensors.keys()
    for key, tensor in again.tensors.items():
        np.testing.assert_array_equal(tensor, bundles[name].tensors[key])
    assert isinstance(opened, DetectorParts)
    detector = load(detectors[name])
    assert detector.calibration.threshold == opened.calibration.threshold
    assert np.isfinite(detector.predict(part(9, defect=9)).score)


def test_the_record_of_a_backbone_gives_the_same_backbone(bundles):
    info = unpack_bundle(bundles["patchcore"], "x", HOST, None).members[0].extractor.info
    assert info == open_backbone("efficientnet_lite0").info
