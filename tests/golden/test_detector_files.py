"""Detector files that an older version wrote open, and say what they said.

A file that was once written can always be opened: these are never written anew, see
detectors/README.md. Scores agree to 1e-4, which is the promise between machines.
"""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from patchbank import DetectorFileError, GuardError, load

HERE = Path(__file__).parent / "detectors"
RECORDS = ("expected", "expected_later", "expected_history")
EXPECTED = {
    name: facts
    for record in RECORDS
    for name, facts in json.loads((HERE / f"{record}.json").read_text())["files"].items()
}
PHOTOGRAPHS = {path.stem: path for path in sorted((HERE / "photographs").glob("*.png"))}
CELL = 8
"""Steps of the map's pixels that are stored."""
CLOSE = {"rel": 1e-4}
IN_TORCH = "patchcore-torch"
NEEDS = {IN_TORCH: [pytest.mark.torch], "patchcore-hnsw": [pytest.mark.approximate]}
RENAMED = {
    "largest_enlargement": "max_upscale",
    "support": "n_reweight_neighbours",
    "deepest_apart": "pool_deepest_only",
    "top_share": "top_fraction",
}
"""Settings, and values of ``image_score``, that ``info`` calls by another name since then."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=NEEDS.get(name, [])) for name in sorted(EXPECTED)],
)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def detector(name):
    return load(HERE / f"{name}.patchbank", device="cpu")


@pytest.fixture(scope="module")
def seen(detector, name):
    shown = EXPECTED[name]["photographs"]
    return {one: detector.predict(path) for one, path in PHOTOGRAPHS.items() if one in shown}


def same_facts(found, expected, where=""):
    """Assert that every expected fact is found; a newer version may know more."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in found, f"{where}.{key} is missing"
            same_facts(found[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, value in enumerate(expected):
            same_facts(found[number], value, f"{where}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, **CLOSE), where
    else:
        assert found == expected, where


def renamed(facts):
    """The facts of ``info`` with settings by the names of today."""
    members = []
    for member in facts["members"]:
        settings = {RENAMED.get(name, name): v for name, v in member["settings"].items()}
        if settings.get("tiles"):  # a size without a meaning, the default of then
            del settings["image_size"]
        if "image_score" in settings:
            settings["image_score"] = RENAMED.get(settings["image_score"], settings["image_score"])
        members.append({**member, "settings": settings})
    return {**facts, "members": members}


def with_header(content, change):
    """The bytes of a file whose header was changed by `change`, and its tensors left alone."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    own = json.loads(header["__metadata__"]["patchbank"])
    change(own)
    header["__metadata__"]["patchbank"] = json.dumps(own, sort_keys=True)
    changed = json.dumps(header).encode()
    return struct.pack("<Q", len(changed)) + changed + content[8 + length :]


def test_every_file_has_its_expectation_and_is_small():
    files = list(HERE.glob("*.patchbank"))
    assert {path.stem for path in files} == EXPECTED.keys()
    assert all(path.stat().st_size <= 150_000 for path in files)
    methods = {m["method"] for one in EXPECTED.values() for m in one["info"]["members"]}
    assert methods == {"patchcore", "graphcore", "padim", "spade", "simplenet"}


def test_scores_p_values_and_verdicts_are_those_of_the_writer(name, seen):
    expected = EXPECTED[name]["photographs"]
    assert seen.keys() == expected.keys()
    for shown, one in seen.items():
        then = expected[shown]
        assert one.score == pytest.approx(then["score"], **CLOSE), shown
        assert one.p_value == then["p_value"], shown
        assert one.is_anomalous is then["is_anomalous"], shown
        assert list(one.size) == then["size"], shown
        if then["normalised_score"] is None:
            assert one.normalised_score is None
        else:
            assert one.normalised_score == pytest.approx(then["normalised_score"], **CLOSE)
    assert {one.is_anomalous for one in seen.values()} == {True, False}


def test_thresholds_are_those_of_the_writer(name, seen):
    for one in seen.values():
        assert one.threshold == EXPECTED[name]["threshold"]  # it is made of what the file holds
        assert one.pixel_threshold == EXPECTED[name]["pixel_threshold"]


def test_maps_are_those_of_the_writer(name, seen):
    stored = {}
    for record in RECORDS:
        with np.load(HERE / f"{record}_maps.npz") as maps:
            stored |= maps
    for shown, one in seen.items():
        then = stored[f"{name}.{shown}"]
        found = one.anomaly_map
        assert found.shape == one.size[::-1]
        np.testing.assert_allclose(
            found[CELL // 2 :: CELL, CELL // 2 :: CELL],
            then,
            rtol=1e-4,
            atol=1e-4 * float(np.abs(then).max()),
        )


def test_regions_are_those_of_the_writer(name, seen):
    """Regions that barely reach the threshold may come and go with the last bits of a map."""
    clear = EXPECTED[name]["pixel_threshold"] + 1e-3 * abs(EXPECTED[name]["pixel_threshold"])
    n_regions = 0
    for shown, one in seen.items():
        then = [r for r in EXPECTED[name]["photographs"][shown]["regions"] if r[-1] > clear]
        found = [region for region in one.regions if region.score > clear]
        assert len(found) == len(then), shown
        for region, (left, top, width, height, area, score) in zip(found, then, strict=True):
            box = (region.left, region.top, region.width, region.height)
            assert box == pytest.approx((left, top, width, height), abs=1), shown
            assert region.area == pytest.approx(area, rel=0.02, abs=2), shown
            assert region.score == pytest.approx(score, **CLOSE), shown
        n_regions += len(found)
    assert n_regions >= min(3, len(seen) - 1)


def test_info_states_every_fact_that_it_stated(name):
    command = [sys.executable, "-c", "from patchbank.cli import main; main()"]
    command += ["info", str(HERE / f"{name}.patchbank"), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    same_facts(json.loads(done.stdout), renamed(EXPECTED[name]["info"]), "info")


def test_saved_again_it_holds_the_same_tensors_and_says_the_same(name, detector, seen, tmp_path):
    again = tmp_path / "again.patchbank"
    detector.save(again, backbone="torch" if name == IN_TORCH else "onnx")
    with (
        safe_open(HERE / f"{name}.patchbank", framework="numpy") as then,
        safe_open(again, framework="numpy") as now,
    ):
        assert set(then.keys()) <= set(now.keys())
        for tensor in then.keys():  # noqa: SIM118 - it is no mapping
            first, second = then.get_tensor(tensor), now.get_tensor(tensor)
            assert (first.dtype, first.shape) == (second.dtype, second.shape), tensor
            assert first.tobytes() == second.tobytes(), tensor
    opened = load(again, device="cpu")
    for shown in seen:
        other = opened.predict(PHOTOGRAPHS[shown])
        assert other.score == seen[shown].score, shown
        assert other.threshold == seen[shown].threshold
        assert (other.anomaly_map == seen[shown].anomaly_map).all(), shown


@pytest.mark.parametrize("file", ["patchcore-history", "ensemble-history"])
def test_earlier_states_of_a_history_say_what_they_said(file):
    expected, detector = EXPECTED[file], load(HERE / f"{file}.patchbank", device="cpu")
    lineage = detector.lineage
    assert lineage.head == expected["head"]
    kinds = [entry.kind for entry in lineage.entries]
    assert kinds == ["fit", "update", "normal", "remember", "threshold"]
    assert [entry.by for entry in lineage.entries[1:4]] == ["Eva", "Eva", "Jo"]
    assert lineage.restorable == ((0, 1, 2, 3) if file == "patchcore-history" else (1, 2, 3))
    for number in lineage.restorable:
        then, earlier = expected["earlier"][number], detector.undone(number)
        assert earlier.calibration.threshold == then["threshold"]
        for shown, path in PHOTOGRAPHS.items():
            assert earlier.predict(path).score == pytest.approx(then["scores"][shown], **CLOSE)


def test_a_remembered_defect_still_has_to_be_found():
    detector = load(HERE / "patchcore-history.patchbank", device="cpu")
    (remembered,) = detector.remembered
    assert remembered.name.endswith("blot-large-photograph.png")
    hidden = PHOTOGRAPHS["blot-large-photograph"]
    with pytest.raises(GuardError, match="blot-large-photograph"):
        detector.updated(normal=detector.predict(hidden))


def test_a_bank_is_still_cut_with_the_threshold_of_its_size():
    expected = EXPECTED["patchcore"]["cut"]
    smaller = load(HERE / "patchcore.patchbank", device="cpu", bank_rows=expected["bank_rows"])
    for shown, path in PHOTOGRAPHS.items():
        one = smaller.predict(path)
        assert one.score == pytest.approx(expected["scores"][shown], **CLOSE), shown
        assert one.threshold == expected["threshold"]
    assert expected["threshold"] != EXPECTED["patchcore"]["threshold"]


def test_a_threshold_from_views_of_one_photograph_is_still_called_so():
    detector = load(HERE / "patchcore-one-photograph.patchbank", device="cpu")
    assert "one good image" in detector.calibration.remark


@pytest.mark.parametrize("file", sorted(EXPECTED))
@pytest.mark.parametrize("part", ["first", "middle", "last"])
def test_a_flipped_bit_of_a_tensor_is_refused(file, part, tmp_path):
    content = bytearray((HERE / f"{file}.patchbank").read_bytes())
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    last = len(content) - 1
    content[{"first": begin, "middle": (begin + last) // 2, "last": last}[part]] ^= 1
    path = tmp_path / "flipped.patchbank"
    path.write_bytes(content)
    with pytest.raises(DetectorFileError, match="altered.*copy (it|the file) again"):
        load(path, device="cpu")


def test_a_changed_setting_is_refused(tmp_path):
    def change(own):
        own["record"]["members"][0]["settings"]["smoothing"] = 5.0

    path = tmp_path / "changed.patchbank"
    path.write_bytes(with_header((HERE / "padim.patchbank").read_bytes(), change))
    with pytest.raises(DetectorFileError, match="altered.*copy it again or fit anew"):
        load(path, device="cpu")


def test_a_header_written_again_without_change_is_accepted(tmp_path):
    """The two tests beside it fail for what they change, not for how they write."""
    path = tmp_path / "same.patchbank"
    path.write_bytes(with_header((HERE / "padim.patchbank").read_bytes(), lambda own: None))
    score = load(path, device="cpu").predict(PHOTOGRAPHS["blot"]).score
    assert score == pytest.approx(EXPECTED["padim"]["photographs"]["blot"]["score"], **CLOSE)


@pytest.mark.parametrize(
    ("version", "advice"), [(1, "got 1; fit anew"), (7, "got 7; install a newer patchbank")]
)
def test_other_formats_are_refused_with_what_to_do(version, advice, tmp_path):
    path = tmp_path / "other.patchbank"
    content = (HERE / "spade.patchbank").read_bytes()
    path.write_bytes(with_header(content, lambda own: own.update(format_version=version)))
    with pytest.raises(DetectorFileError, match=f"expected format 2 to 6, {advice}"):
        load(path, device="cpu")
