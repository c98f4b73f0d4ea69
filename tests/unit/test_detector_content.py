"""Detector files with a right digest and contradictory content are refused when opened."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks.quality.detector_files.mutations import changed_field, mutated_bytes
from benchmarks.quality.detector_files.outcome import AT_PREDICT, BAD, OTHER, REFUSED, outcome
from benchmarks.quality.detector_files.seeds import photographs, seeds

from patchbank.detector.bundle import Bundle, bundle_of, content_digest, to_bytes
from patchbank.detector.content_check import BANK_SIZES, CALIBRATION, DIGESTS, GROUPS
from patchbank.detector.detector import detector_from_bytes
from patchbank.detector.explanation.pictures_file import OF_PICTURES, OF_POSES
from patchbank.detector.likeness_file import BY_SIZE
from patchbank.detector.likeness_file import TENSORS as OF_PHOTOGRAPHS
from patchbank.detector.record_check import RULES
from patchbank.detector.roi_file import MASK
from patchbank.detector.settings_choice import KEY as CHOICE
from patchbank.detector.updates import KEY as UPDATES
from patchbank.errors import DetectorFileError
from patchbank.methods import METHODS

PAGE = (Path(__file__).parents[2] / "docs" / "file-format.md").read_text()
NEW = photographs(7)[6]
BUILT_IN = ("patchcore", "graphcore", "padim", "spade", "simplenet")
MEMBER = ("members", 0)
BACKBONE = (*MEMBER, "backbone")
INFO = (*BACKBONE, "info")
KIND = ("photograph_kinds", 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Name -> content of a small detector file of each method."""
    return seeds(str(tmp_path_factory.mktemp("network") / "tiny.onnx"))


def opened(bundle):
    return detector_from_bytes(to_bytes(bundle), device="cpu")


def with_record(bundle, path, value):
    """The same file but for one value of the record, which is left out where it is `...`."""
    record = copy.deepcopy(bundle.record)
    parent = record
    for key in path[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return Bundle(bundle.tensors, record)


def with_tensor(bundle, name, change):
    return Bundle({**bundle.tensors, name: change(np.array(bundle.tensors[name]))}, bundle.record)


def refused(bundle, match):
    with pytest.raises(DetectorFileError, match=match) as caught:
        opened(bundle)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000


RECORDS = [
    (("members",), [], "members: expected 1 to 64 objects, got"),
    (("members",), {}, "members: expected 1 to 64 objects, got"),
    (("members",), ..., "members: expected 1 to 64 objects, got nothing"),
    (("members", 0), "patchcore", "members: expected 1 to 64 objects"),
    (("fitted_on",), [1, 2], "fitted_on: expected at least one name"),
    (("fitted_on",), ["a"], "calibration.image_scores: expected the shape"),
    (("false_alarm_rate",), 1, "false_alarm_rate: expected a number between 0 and 1, got 1"),
    (("false_alarm_rate",), 0.0, "false_alarm_rate: expected a number between 0 and 1"),
    (("false_alarm_rate",), True, "false_alarm_rate: expected a number between"),
    (("false_alarm_rate",), float("nan"), "damaged header .*not finite"),
    (("views_of_one",), 1, "views_of_one: expected true or false, got 1"),
    (("versions",), {"patchbank": 7}, "versions: expected an object of texts"),
    ((*MEMBER, "method"), ["padim"], r"members\[0\]\.method: expected a text"),
    ((*MEMBER, "method"), "padim", "expected a setting of PadimSettings"),
    ((*MEMBER, "settings"), ["a"], r"members\[0\]\.settings: expected an object"),
    ((*MEMBER, "settings", "image_size"), 10**9, "image_size: expected a side"),
    ((*MEMBER, "settings", "image_size"), 10**400, "image_size: expected"),
    ((*MEMBER, "settings", "scales"), [0.5] * 100, "scales: expected at most 32, got 100"),
    ((*MEMBER, "settings", "scales"), [1.0], "bank: expected the shape .*d = 10"),
    (
        (*MEMBER, "settings", "patch_size"),
        9999999,
        "patch_size: expected an odd integer from 1 to 99",
    ),
    ((*MEMBER, "settings", "n_neighbours"), 25, "n_neighbours: expected at most 24"),
    ((*MEMBER, "settings", "crop"), 33, "crop: expected multiples of 8"),
    ((*MEMBER, "settings", "crop"), 800, "crop: expected at most 48 x 48"),
    ((*MEMBER, "settings", "image_score"), [], "image_score: expected one of"),
    ((*MEMBER, "settings", "no_such"), 1, "expected a setting of PatchCoreSettings"),
    ((*MEMBER, "image_scale", "spread"), 0, r"image_scale\.spread: expected a positive number"),
    ((*MEMBER, "map_scale", "centre"), "0", r"map_scale\.centre: expected a finite number"),
    ((*MEMBER, "map_scale"), None, r"map_scale: expected an object, got None"),
    ((*BACKBONE, "kind"), "nobody", "expected an installed package that provides the backbones"),
    ((*BACKBONE, "layers"), ["deep", "deep"], "layers: expected names, each once"),
    ((*BACKBONE, "layers"), ["none"], r"backbone\.layers: expected layers of the backbone"),
    ((*BACKBONE, "layers"), ["deep"], "bank: expected the shape"),
    ((*BACKBONE, "precision"), "float8", "precision: expected float32, bfloat16 or int8"),
    ((*BACKBONE, "normalisation"), [[0, 0, 0], [1, 1, 0]], "normalisation: expected null, or"),
    ((*INFO, "taps", "deep", "channels"), 7, r"info\.taps: expected .* of 'deep'"),
    ((*INFO, "taps", "deep", "stride"), 16, r"info\.taps: expected .* of 'deep'"),
    ((*INFO, "taps", "deep", "stride"), 0, "taps: expected layers with channels and stride"),
    ((*INFO, "taps"), {}, "taps: expected layers with channels and stride"),
    ((*INFO, "mean"), [0.5, 0.4], "mean: expected three numbers"),
    ((*INFO, "mean"), [0.5, 0.4, 0.2], r"info\.mean: expected \(0.5, 0.4, 0.3\)"),
    ((*INFO, "std"), [0.2, 0.2, 0], "std: expected three positive numbers"),
    ((*INFO, "size_multiple"), 2**40, "size_multiple: expected an integer, 1 or more"),
    ((*INFO, "input_size"), [64], "input_size: expected null, or height and width"),
    ((*INFO, "sha256"), "0" * 64, r"info\.sha256: expected "),
    ((*KIND, "count"), 7, "photograph_kinds: expected 6 photographs altogether, got 7"),
    ((*KIND, "count"), -1, "photograph_kinds: expected kinds of photographs, each with its"),
    ((*KIND, "mode"), "\x1b[31m", "photograph_kinds: expected kinds of photographs"),
    ((*KIND, "mode"), "R" * 17, "photograph_kinds: expected kinds of photographs"),
    ((*KIND, "format"), 5, "photograph_kinds: expected kinds of photographs"),
    ((*KIND, "jpeg_quality"), 0, "photograph_kinds: expected kinds of photographs"),
    ((*KIND, "bit_depth"), 32, "photograph_kinds: expected kinds of photographs"),
    ((*KIND, "is_grey"), 1, "photograph_kinds: expected kinds of photographs"),
    ((*KIND, "bits_in_use"), ..., "photograph_kinds: expected kinds of photographs"),
    (("photograph_kinds",), [], "photograph_kinds: expected kinds of photographs"),
    (("photograph_kinds",), {"a": 1}, "photograph_kinds: expected kinds of photographs"),
    ((*INFO, "name"), "a\nb\x1b[31m" * 500, None),
]


@pytest.mark.parametrize(
    ("path", "value", "match"), RECORDS, ids=[f"{n}-{r[0][-1]}" for n, r in enumerate(RECORDS)]
)
def test_a_value_of_the_record_that_contradicts_the_rest_is_refused(files, path, value, match):
    changed = with_record(files["patchcore"], path, value)
    if match is None:  # a name is free
        assert np.isfinite(opened(changed).predict(NEW).score)
        return
    refused(changed, match)


@pytest.mark.parametrize("depth", [65, 500, 100_000])
def test_a_record_without_bottom_is_refused(files, depth):
    content = to_bytes(files["patchcore"])
    n = int.from_bytes(content[:8], "little")
    deep = b'\\"fitted_on\\": [' + b"[" * depth + b"]" * depth + b", "
    header = content[8 : 8 + n].replace(b'\\"fitted_on\\": [', deep, 1)
    assert len(header) > n
    with pytest.raises(DetectorFileError, match="damaged header .*nested too deep"):
        detector_from_bytes(len(header).to_bytes(8, "little") + header + content[8 + n :])


def first(value):
    def change(tensor):
        tensor.reshape(-1)[0] = value
        return tensor

    return change


TENSORS = [
    ("patchcore", "calibration.image_scores", first(np.nan), "expected values from"),
    ("patchcore", "calibration.image_scores", first(np.inf), "expected values from"),
    ("patchcore", "calibration.map_peaks", lambda t: t.astype(np.float32), "expected float64"),
    ("patchcore", "calibration.map_peaks", lambda t: t[:0], "expected the shape"),
    ("patchcore", "ladder.bank_rows", lambda t: t[::-1], "expected ascending sizes"),
    ("patchcore", "ladder.bank_rows", lambda t: t + 1, "expected one member with 25 rows"),
    ("patchcore", "ladder.image_scores", lambda t: t[:, :-1], "expected the shape"),
    ("patchcore", "ladder.map_peaks", first(np.nan), "expected values from"),
    ("patchcore", "photographs.sizes", first(0), "expected values from 1"),
    ("patchcore", "photographs.sizes", lambda t: t[:, :1], "expected the shape"),
    ("patchcore", "photographs.brightness", first(-1), "expected values from 0"),
    ("patchcore", "photographs.sharpness", first(np.nan), "expected values from 0"),
    ("patchcore", "photographs.blockiness", lambda t: t[:-1], "expected the shape"),
    ("patchcore", "photographs.patch_distances", lambda t: t[:-1], "expected the shape"),
    ("patchcore", "photographs.patch_distances_by_size", lambda t: t[1:], "expected the shape"),
    ("patchcore", "photographs.patch_distances_by_size", first(np.inf), "expected values"),
    ("patchcore", "0.model.bank", first(np.nan), "bank: expected values from"),
    ("patchcore", "0.model.bank", first(-np.inf), "bank: expected values from"),
    ("patchcore", "0.model.bank", first(3e19), "bank: expected values from"),
    ("patchcore", "0.model.bank", lambda t: t.astype(np.float16), "bank: expected float32"),
    ("patchcore", "0.model.bank", lambda t: t[:, :-1], "bank: expected the shape"),
    ("patchcore", "0.model.bank", lambda t: t[:-1], "expected the shape"),
    ("patchcore", "0.model.bank", lambda t: t[:0], "bank: expected the shape"),
    ("patchcore", "0.model.bank", lambda t: t[None], "bank: expected the shape"),
    ("patchcore", "0.model.bank_origins", first(-1), "bank_origins: expected values from 0"),
    ("patchcore", "0.model.index_recall", first(1.5), "index_recall: expected values from 0"),
    ("patchcore", "0.backbone.onnx", lambda t: t[:-9], "expected an ONNX model"),
    ("patchcore", "0.backbone.onnx", lambda t: t.astype(np.int8), "expected the bytes of a netw"),
    ("padim", "0.model.variances", first(0), "variances: expected values from 1e-30"),
    ("padim", "0.model.bases", first(40), "bases: expected values from -1.01 to 1.01"),
    ("padim", "0.model.grid", lambda t: t[::-1] + 1, "grid: expected"),
    ("padim", "0.model.n_channels", first(19), "n_channels: expected values"),
    ("spade", "0.model.counts", lambda t: t + 1, "counts: expected"),
    ("spade", "0.model.photographs", first(6), "photographs: expected values from 0 to 5"),
    ("spade", "0.model.plane1", lambda t: t[:, 1:], "plane1: expected the shape"),
    ("spade", "0.model.pooled", lambda t: t[:, 1:], "pooled: expected the shape"),
    ("simplenet", "0.model.tail", lambda t: t[1:], "tail: expected the shape"),
    ("ensemble", "1.model.means", lambda t: t[:, 1:], "means: expected the shape"),
]


@pytest.mark.parametrize(("name", "tensor", "change", "match"), TENSORS, ids=range(len(TENSORS)))
def test_a_tensor_that_contradicts_the_rest_is_refused(files, name, tensor, change, match):
    changed = with_tensor(files[name], tensor, change)
    refused(changed, match)


@pytest.mark.parametrize(
    "tensor",
    [
        "calibration.image_scores",
        "ladder.map_peaks",
        "photographs.sizes",
        "0.model.bank",
        "0.backbone.onnx",
    ],
)
def test_a_tensor_that_is_missing_is_named(files, tensor):
    kept = {name: t for name, t in files["patchcore"].tensors.items() if name != tensor}
    refused(
        Bundle(kept, files["patchcore"].record), tensor.removeprefix("0.model.").removeprefix("0.")
    )


def test_tensors_and_keys_of_newer_programs_are_ignored(files):
    bundle = files["patchcore"]
    score = opened(bundle).predict(NEW).score
    newer = Bundle({**bundle.tensors, "0.model.new": np.ones(3)}, {**bundle.record, "new": {}})
    assert opened(newer).predict(NEW).score == score


def test_a_file_without_traits_of_photographs_calls_none_unlike_them(files):
    bundle = files["patchcore"]
    tensors = {k: t for k, t in bundle.tensors.items() if not k.startswith("photographs.")}
    record = {k: v for k, v in bundle.record.items() if k != "photograph_kinds"}
    dark = NEW // 8
    with_traits, without = opened(bundle).predict(dark), opened(Bundle(tensors, record))
    assert "brightness" in [difference.kind for difference in with_traits.unlike]
    assert without.likeness is None
    assert without.predict(dark).unlike == ()
    assert without.predict(dark).score == with_traits.score
    assert without.with_bank_rows(without.bank_sizes[0]).likeness is None


def test_files_with_one_field_changed_are_refused_or_give_finite_scores(files):
    scores = {name: opened(bundle).predict(NEW).score for name, bundle in files.items()}
    names, found = list(files), {}
    for number in range(250):
        rng = np.random.default_rng([1, number])
        name = names[number % len(names)]
        what, content = changed_field(files[name], rng)
        came = outcome(content, NEW, scores[name])
        assert came.kind != BAD, (number, name, what, came.detail)
        found[came.kind] = found.get(came.kind, 0) + 1
    assert found[REFUSED] > 150
    assert found.get(AT_PREDICT, 0) < 5


def test_files_with_changed_bytes_are_refused_or_give_the_same_score(files):
    contents = [to_bytes(bundle) for bundle in files.values()]
    scores = [opened(bundle).predict(NEW).score for bundle in files.values()]
    for number in range(400):
        kind, which, content = mutated_bytes(contents, np.random.default_rng([2, number]))
        came = outcome(content, NEW, scores[which])
        assert came.kind not in (BAD, OTHER, AT_PREDICT), (number, kind, came.detail)


def test_the_page_lists_the_keys_that_are_checked():
    text = PAGE.split("## Record")[1].split("### Settings")[0]
    listed = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    for whole in (CHOICE, UPDATES):
        checked_whole = {key for key in listed if key.startswith(f"{whole}.")}
        assert checked_whole
        listed = listed - checked_whole | {whole}
    objects = {key for key in RULES if any(other.startswith(f"{key}.") for other in RULES)}
    assert set(RULES) - objects - {"members[].settings"} == listed


def test_the_page_lists_the_types_and_axes_that_are_checked():
    text = PAGE.split("## Tensors")[1].split("## Record")[0]
    listed = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            name, dtype, shape, *_ = line.strip("| ").split(" | ")
            listed[name.strip("`")] = (dtype, shape)
    specs = {f"N.model.{k}": v for name in BUILT_IN for k, v in METHODS[name].contents.items()}
    photographs = {**OF_PHOTOGRAPHS, **BY_SIZE, **DIGESTS, **OF_POSES, **OF_PICTURES}
    for name, spec in {**CALIBRATION, **GROUPS, **BANK_SIZES, **photographs, **specs}.items():
        dtype, shape = listed.pop(name)
        assert dtype == spec.dtype, name
        count = len(re.findall(r"[\w]+", shape.split(" or ")[0]))
        assert count == len(spec.axes), name
    assert listed.pop(MASK) == ("uint8", "(h, ⌈w / 8⌉)")
    remembered = {"remembered.scores"}  # see test_remembered
    remembered |= {
        f"remembered.N.{name}" for name in ("features", "cells", "ends", "grids", "counts")
    }
    history = {"lineage.json", "lineage.sha256", "lineage.D.I"}  # see test_lineage_file
    assert set(listed) == {"N.backbone.onnx", "N.backbone.*", *history, *remembered}


def test_a_bundle_survives_its_bytes(files):
    for bundle in files.values():
        assert bundle_of(to_bytes(bundle), "x").sha256 == content_digest(bundle)
