"""Fit, inspect, save, load: the whole way on synthetic parts."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from patchbank import (
    CalibrationWarning,
    DataError,
    DetectorFileError,
    Ensemble,
    ImageError,
    ImageTypeError,
    ParameterError,
    PatchCore,
    ShapeError,
    load,
)
from patchbank.detector.inspection import FailedInspection
from patchbank.runtime import threads
from tests.photographs import part, parts, save, write_dataset
from tests.unit.test_backbones import HALF, write_onnx

RECIPE = PatchCore(
    backbone="efficientnet_lite0",
    image_size=160,
    bank_limit=300,
    top_fraction=0.03,
    false_alarm_rate=0.2,
)


@pytest.fixture(scope="module")
def detector():
    return RECIPE.fit(parts(8))


@pytest.fixture
def saved(detector, tmp_path):
    detector.save(tmp_path / "plates.patchbank")
    return tmp_path / "plates.patchbank"


def test_a_defect_is_found_where_it_is(detector):
    good, bad = detector.predict(part(60)), detector.predict(part(60, defect=9))
    assert bad.is_anomalous
    assert not good.is_anomalous
    assert bad.score > bad.threshold >= good.score
    assert bad.p_value < good.p_value
    worst = bad.regions[0]
    assert worst.left <= 104 / 4 <= worst.left + worst.width
    assert worst.top <= 72 / 3 <= worst.top + worst.height


def test_the_map_has_the_pixels_of_the_photograph(detector):
    seen = detector.predict(part(60, defect=9, size=(88, 136)))
    assert seen.size == (136, 88)
    assert seen.anomaly_map.shape == (88, 136)
    assert seen.anomaly_map.dtype == np.float32
    y, x = np.unravel_index(seen.anomaly_map.argmax(), (88, 136))
    assert abs(y - 88 / 3) < 12
    assert abs(x - 136 / 4) < 12
    assert max(r.score for r in seen.regions) == pytest.approx(seen.anomaly_map.max())


def test_one_image_gives_one_inspection_and_many_give_an_iterator(detector, tmp_path):
    write_dataset(tmp_path, n_train=1)
    path = tmp_path / "test" / "blot" / "000.png"
    one = detector.predict(path)
    assert one.image == str(path)
    assert detector.predict(str(path)).score == one.score
    assert detector.predict(np.asarray(Image.open(path))).score == one.score
    many = detector.predict_each(tmp_path / "test")
    assert next(many).image == str(path)
    assert len(list(many)) == 7
    mixed = list(detector.predict([path, part(60)]))
    assert [i.image for i in mixed] == [str(path), "array"]
    assert mixed[0].score == one.score
    assert len(list(detector.predict(iter([path, path])))) == 2


def test_an_unreadable_image_is_never_scored(detector, tmp_path):
    good = save(tmp_path / "1.png", part(60))
    broken = tmp_path / "2.png"
    broken.write_bytes(b"no image")
    outcomes = list(detector.inspect([good, broken, good]))
    assert isinstance(outcomes[1], FailedInspection)
    assert outcomes[1].to_json() == {
        "schema_version": 1,
        "image": str(broken),
        "size": None,
        "score": None,
        "p_value": None,
        "threshold": None,
        "anomalous": None,
        "regions": None,
        "unlike": None,
        "error": outcomes[1].error,
        "error_type": "ImageError",
    }
    assert outcomes[1].error_class is ImageError
    assert str(broken) in outcomes[1].error
    assert outcomes[0].score == outcomes[2].score
    with pytest.raises(ImageError):
        detector.predict(broken)
    with pytest.raises(ImageError):
        list(detector.predict([good, broken]))


def test_images_side_by_side_are_seen_as_one_at_a_time(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 5)
    images = [part(40 + i, defect=i % 3 * 6, size=(60 + 7 * i, 104 - 3 * i)) for i in range(12)]
    given = [*images[:7], tmp_path / "missing.png", *images[7:]]
    outcomes = list(detector.inspect(given))
    assert [isinstance(outcome, FailedInspection) for outcome in outcomes] == [
        i == 7 for i in range(13)
    ]
    alone = [detector.predict(image) for image in images]
    for one, many in zip(alone, [*outcomes[:7], *outcomes[8:]], strict=True):
        assert one.score == many.score
        assert one.regions == many.regions
        assert (one.anomaly_map == many.anomaly_map).all()
    with pytest.raises(ImageError, match="missing.png"):
        list(detector.predict(given))


def test_a_fit_does_not_depend_on_the_number_of_cores(monkeypatch):
    recipe = PatchCore(image_size=96, bank_limit=200, rotations=3, false_alarm_rate=0.3)
    tensors = []
    for cores in (1, 5):
        monkeypatch.setattr(threads, "usable_cores", lambda cores=cores: cores)
        detector = recipe.fit(parts(4))
        tensors.append([*detector.members[0].model.tensors().values()])
        tensors[-1].append(detector.calibration.map_peaks)
    assert all((a == b).all() for a, b in zip(*tensors, strict=True))


def test_an_inspection_says_all_of_it_in_json(detector):
    seen = detector.predict(part(60, defect=9))
    line = json.loads(json.dumps(seen.to_json()))
    assert line["size"] == [104, 72]
    assert line["anomalous"] is True
    assert line["error"] is None
    assert line["error_type"] is None
    assert set(line["regions"][0]) == {"left", "top", "width", "height", "area", "score"}
    assert line["score"] == seen.score


def test_the_overlay_shows_the_defect_and_leaves_good_parts_alone(detector, tmp_path):
    bad, good = part(60, defect=9), part(60)
    detector.predict(bad).save(tmp_path / "bad.png")
    detector.predict(good).save(tmp_path / "good.png")
    pictures = [np.asarray(Image.open(tmp_path / f"{n}.png")).astype(int) for n in ("bad", "good")]
    scale = pictures[0].shape[1] // 104
    bar = pictures[0].shape[0] - 72 * scale
    assert bar > 0
    changed = []
    for picture, photograph in zip(pictures, (bad, good), strict=True):
        plain = np.asarray(Image.fromarray(photograph).resize((104 * scale, 72 * scale))).astype(
            int
        )
        changed.append(np.abs(picture[bar:] - plain).max(axis=2) > 30)
    assert changed[0].mean() > 0.02
    assert changed[1].mean() == 0.0
    with pytest.raises(DataError, match="suffix"):
        detector.predict(bad).save(tmp_path / "bad.nothing")


def test_a_saved_detector_gives_the_same_scores_in_a_new_process(detector, saved, tmp_path):
    photographs = [part(60), part(61, defect=6)]
    np.save(tmp_path / "photographs.npy", np.stack(photographs))
    code = (
        "import sys, json, numpy as np, patchbank\n"
        "d = patchbank.load(sys.argv[1])\n"
        "print(json.dumps([d.predict(p).to_json() for p in np.load(sys.argv[2])]))\n"
    )
    command = [sys.executable, "-c", code, str(saved), str(tmp_path / "photographs.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for theirs, photograph in zip(json.loads(done.stdout), photographs, strict=True):
        ours = detector.predict(photograph).to_json()
        assert theirs["score"] == pytest.approx(ours["score"], rel=1e-6)
        assert theirs["threshold"] == ours["threshold"]
        assert theirs["p_value"] == ours["p_value"]
        assert theirs["anomalous"] == ours["anomalous"]


def test_the_file_holds_all_and_says_the_same_when_saved_again(detector, saved, tmp_path):
    opened = load(saved)
    assert opened.members[0].settings.to_mapping() == detector.members[0].settings.to_mapping()
    assert opened.fitted_on == detector.fitted_on
    assert opened.members[0].extractor.info == detector.members[0].extractor.info
    assert opened.members[0].model.summary() == detector.members[0].model.summary()
    opened.save(tmp_path / "again.patchbank")
    assert (tmp_path / "again.patchbank").read_bytes() == saved.read_bytes()


@pytest.mark.approximate
@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_approximate_indexes_come_back_the_same(index, tmp_path):
    recipe = RECIPE.with_changes(index=index)
    detector = recipe.fit(parts(8))
    detector.save(tmp_path / "a.patchbank")
    assert (
        load(tmp_path / "a.patchbank").predict(part(60)).score == detector.predict(part(60)).score
    )
    assert 0 < detector.members[0].model.summary()["index_recall"] <= 1


def test_an_onnx_backbone_travels_with_its_detector(tmp_path):
    path = write_onnx(tmp_path / "small.onnx")
    mean, std = HALF
    recipe = PatchCore(backbone=path, mean=mean, std=std, image_size=96, false_alarm_rate=0.2)
    detector = recipe.fit(parts(6))
    detector.save(tmp_path / "a.patchbank")
    (tmp_path / "small.onnx").unlink()
    assert (
        load(tmp_path / "a.patchbank").predict(part(60)).score == detector.predict(part(60)).score
    )


def test_a_fixed_input_size_asks_for_itself(tmp_path):
    path = write_onnx(tmp_path / "small.onnx", size=(64, 96))
    mean, std = HALF
    recipe = PatchCore(backbone=path, mean=mean, std=std, false_alarm_rate=0.2)
    with pytest.raises(ParameterError, match="image_size: expected 64x96 and scales 1"):
        recipe.fit(parts(6))
    fitting = recipe.with_changes(image_size=(64, 96), scales=(1.0,))
    assert fitting.fit(parts(6)).predict(part(60)).predictions[0].geometry.input_size == (64, 96)


def test_one_photograph_of_another_shape_does_not_stop_the_others(tmp_path):
    path = write_onnx(tmp_path / "small.onnx", size=(64, 96))
    mean, std = HALF
    recipe = PatchCore(
        backbone=path, mean=mean, std=std, scales=(1.0,), image_size=78, false_alarm_rate=0.2
    )
    detector = recipe.fit(parts(6, size=(64, 96)))
    shapes = [(64, 96), (96, 64), (64, 96)]
    outcomes = list(detector.inspect([part(60, size=size) for size in shapes]))
    assert [isinstance(o, FailedInspection) for o in outcomes] == [False, True, False]


def test_parts_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match="got 6 that are the same to the pixel"):
        RECIPE.fit([part(0)] * 6)
    with pytest.raises(DataError, match="threshold: expected more than 0, got 0"):
        RECIPE.fit([part(0), part(0), part(1), part(1)], groups="none")


def test_more_neighbours_than_rows_are_refused_at_the_fit():
    with pytest.raises(ParameterError, match="n_neighbours: expected at most"):
        RECIPE.with_changes(bank_rows=6, n_neighbours=9).fit(parts(8))


def test_what_cannot_be_learned_from_is_named(tmp_path):
    with pytest.raises(DataError, match="at least one good image, got none"):
        RECIPE.fit([])
    with pytest.raises(ImageTypeError, match="got float64; if it is from 0 to 1"):
        RECIPE.fit([part(0), np.full((72, 104, 3), np.nan)])
    with pytest.raises(ShapeError, match=r"got \(72, 104, 2\)"):
        RECIPE.fit([part(0), np.zeros((72, 104, 2), np.uint8)])
    (tmp_path / "2.png").write_bytes(b"no image")
    save(tmp_path / "1.png", part(0))
    with pytest.raises(ImageError, match="2.png"):
        RECIPE.fit(tmp_path)
    with pytest.raises(DataError, match="nothing of that name"):
        RECIPE.fit(tmp_path / "nowhere")


def test_too_few_images_warn_once_in_one_line():
    strict = RECIPE.with_changes(false_alarm_rate=0.01)
    for recipe in (strict, Ensemble([strict])):
        with pytest.warns(CalibrationWarning, match="8 good images are too few") as warned:
            recipe.fit(parts(8))
        assert [w.filename for w in warned] == [__file__]  # it points at the caller


def test_one_photograph_says_what_it_cannot_tell(tmp_path):
    with pytest.warns(
        CalibrationWarning, match="one good image does not show what other good images"
    ):
        detector = RECIPE.fit([part(0)])
    assert len(detector.calibration.image_scores) == 9  # other views of it
    assert detector.calibration.image_scores.min() > 0
    assert detector.predict(part(0)).score < detector.calibration.threshold
    assert detector.predict(part(50, defect=9)).is_anomalous
    detector.save(tmp_path / "one.patchbank")
    restored = load(tmp_path / "one.patchbank").calibration
    assert restored.views_of_one
    assert restored.threshold == detector.calibration.threshold == restored.image_scores.max()


def test_one_photograph_in_many_orientations_is_calibrated_on_views_not_learned():
    with pytest.warns(CalibrationWarning, match="one good image"):
        detector = RECIPE.with_changes(rotations=4, zooms=(1.1,)).fit([part(0)])
    assert detector.calibration.image_scores.min() > 0


def test_a_detector_does_not_change(detector):
    with pytest.raises(AttributeError):
        detector.members = None
    before = detector.predict(part(60)).score
    list(detector.predict(parts(3, defect=9)))
    assert detector.predict(part(60)).score == before


def test_files_that_are_no_detectors_are_named(saved, tmp_path):
    with pytest.raises(DetectorFileError, match="nothing of that name"):
        load(tmp_path / "none.patchbank")
    other = tmp_path / "other.patchbank"
    other.write_bytes(b"rubbish" * 100)
    with pytest.raises(DetectorFileError, match="got something else; give"):
        load(other)
    from safetensors.numpy import save_file

    save_file({"bank": np.zeros((2, 3), np.float32)}, other)
    with pytest.raises(DetectorFileError, match="another kind of safetensors"):
        load(other)
