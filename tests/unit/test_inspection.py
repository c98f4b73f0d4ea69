"""Overlays show the pixels that were inspected, and inspections keep pixels only when asked to."""

import threading

import numpy as np
import pytest
from PIL import Image as pillow

from patchbank import DataError, ImageError, PaDiM, ParameterError, PatchCore
from patchbank.cli import main
from patchbank.cli import predict as cli_predict
from patchbank.detector import inspecting
from patchbank.detector.inspection import FailedInspection
from patchbank.detector.overlay import draw_overlay
from patchbank.images import source
from tests.photographs import part, parts, save


@pytest.fixture(scope="module")
def detector():
    return PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2).fit(
        parts(5)
    )


@pytest.fixture
def photographs(tmp_path):
    return [save(tmp_path / "in" / f"{i}.png", part(i, defect=i % 2 * 9)) for i in range(6)]


def test_an_overlay_is_the_picture_that_is_saved(detector, photographs, tmp_path):
    for path in photographs[:2]:
        seen = detector.predict(path)
        overlay = seen.overlay()
        seen.save(tmp_path / "overlay.png")
        assert overlay.dtype == np.uint8
        np.testing.assert_array_equal(overlay, np.asarray(pillow.open(tmp_path / "overlay.png")))
        np.testing.assert_array_equal(
            overlay, np.asarray(draw_overlay(source.read_image(path), seen))
        )


def test_pixels_and_map_are_kept_only_when_asked_for(detector, photographs):
    path = photographs[1]
    light, full = detector.predict(path), detector.predict(path, keep_image=True)
    assert light.kept is None
    np.testing.assert_array_equal(full.kept.image, part(1, defect=9))
    np.testing.assert_array_equal(full.anomaly_map, light.anomaly_map)
    assert full.anomaly_map is full.anomaly_map
    assert full.regions == light.regions
    assert full.without_pixels().kept is None
    for inspect in (detector.inspect, detector.predict_each):
        assert [seen.kept is None for seen in inspect([path], keep_image=True)] == [False]
        assert [seen.kept is None for seen in inspect([path])] == [True]


def test_a_file_that_changed_is_never_drawn_under_the_old_verdict(detector, photographs):
    path = photographs[1]
    light, full = detector.predict(path), detector.predict(path, keep_image=True)
    before = full.overlay()
    save(path, part(50, size=(60, 80)))
    with pytest.raises(ImageError, match="1.png: expected the file that was inspected, got a chan"):
        light.overlay()
    np.testing.assert_array_equal(full.overlay(), before)
    path.unlink()
    with pytest.raises(ImageError, match="1.png"):
        light.overlay()
    np.testing.assert_array_equal(full.overlay(), before)


def test_more_work_is_done_in_the_worker_with_pixels_that_are_not_kept(detector, photographs):
    broken = photographs[2]
    broken.write_bytes(b"rubbish")

    def work(inspection):
        return threading.current_thread().name, inspection.pixels, inspection.overlay()

    found = list(detector.inspect_with(photographs, work))
    assert [isinstance(result, FailedInspection) for result in found] == [
        number == 2 for number in range(6)
    ]
    assert found[2].error_type == "ImageError"
    for number in (0, 1, 3, 4, 5):
        inspection, (thread, pixels, overlay) = found[number]
        assert thread.startswith("patchbank-images")
        np.testing.assert_array_equal(pixels, part(number, defect=number % 2 * 9))
        assert inspection.kept is None
        np.testing.assert_array_equal(overlay, inspection.overlay())


@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError, ParameterError])
def test_an_error_of_the_work_is_not_one_of_the_photograph(detector, photographs, error):
    def work(inspection):
        raise error("from the work")

    with pytest.raises(error, match="from the work"):
        list(detector.inspect_with(photographs, work))


def test_too_little_memory_for_an_overlay_is_an_error_of_the_command(
    detector, photographs, tmp_path, monkeypatch, capsys
):
    def draw(image, inspection):
        raise MemoryError("no room to draw")

    monkeypatch.setattr(cli_predict, "draw_overlay", draw)
    file = tmp_path / "a.patchbank"
    detector.save(file)
    options = [f"{file}", f"{tmp_path / 'in'}", f"--out={tmp_path / 'out'}"]
    monkeypatch.setattr("sys.argv", ["patchbank", "predict", *options])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 2
    assert "expected enough memory, got: no room to draw" in capsys.readouterr().err


def test_on_the_command_line_files_are_decoded_and_maps_computed_once(
    detector, photographs, tmp_path, monkeypatch, capsys
):
    decoded, maps, threads = [], [], set()
    rgb, combined_map, draw = source.rgb, inspecting.combined_map, cli_predict.draw_overlay

    def counted_rgb(name, pixels, **options):
        decoded.append(name)
        return rgb(name, pixels, **options)

    def counted_map(predictions):
        maps.append(1)
        return combined_map(predictions)

    def watched_draw(image, inspection):
        threads.add(threading.current_thread().name)
        return draw(image, inspection)

    detector.save(tmp_path / "a.patchbank")
    monkeypatch.setattr(source, "rgb", counted_rgb)
    monkeypatch.setattr(inspecting, "combined_map", counted_map)
    monkeypatch.setattr("patchbank.detector.inspection.combined_map", counted_map)
    monkeypatch.setattr(cli_predict, "draw_overlay", watched_draw)
    file, folder, out = tmp_path / "a.patchbank", tmp_path / "in", tmp_path / "out"
    monkeypatch.setattr(
        "sys.argv", ["patchbank", "predict", f"{file}", f"{folder}", f"--out={out}"]
    )
    try:
        main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code
    assert not status
    capsys.readouterr()
    assert sorted(decoded) == [str(path) for path in photographs]
    assert len(maps) == len(photographs)
    assert all(name.startswith("patchbank-images") for name in threads)
    monkeypatch.undo()
    for path in photographs:
        expected = draw_overlay(source.read_image(path), detector.predict(path))
        np.testing.assert_array_equal(np.asarray(pillow.open(out / path.name)), expected)


def test_a_large_overlay_is_blended_in_strips_without_a_seam(detector):
    seen = detector.predict(part(1, defect=40, size=(300, 420)), keep_image=True)
    strips = seen.overlay()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("patchbank.detector.overlay.BAND_PIXELS", 7 * 420)
        np.testing.assert_array_equal(seen.overlay(), strips)


def test_failures_say_their_class(tmp_path, photographs):
    settings = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
    cropped = PatchCore(**settings, crop=64, resize="short_side").fit(parts(5, size=(80, 96)))
    given = [np.zeros((72, 104, 2), np.uint8), part(0, size=(20, 300)), tmp_path / "missing.png"]
    shape, fine, missing = cropped.inspect(given)
    assert (shape.error_type, shape.image) == ("ShapeError", "array")
    assert fine.score > 0
    assert missing.to_json()["error_type"] == "ImageError"
    assert issubclass(missing.error_class, ImageError)
    assert FailedInspection("a", "b", ParameterError).error_type == "ParameterError"


def test_a_stack_and_a_folder_are_inspected_one_by_one(detector, photographs):
    stack = np.stack([part(i, defect=i % 2 * 9) for i in range(6)])
    by_stack = [seen.score for seen in detector.predict_each(stack)]
    by_folder = [seen.score for seen in detector.predict_each(photographs[0].parent)]
    assert by_stack == by_folder == [detector.predict(path).score for path in photographs]
    folder = photographs[0].parent

    def score_and_width(inspection):
        return inspection.score, inspection.pixels.shape[1]

    for given, expected in (
        (photographs[0], by_folder[:1]),
        (str(photographs[0]), by_folder[:1]),
        (photographs[0].read_bytes(), by_folder[:1]),
        (stack[1], by_folder[1:2]),
        (stack, by_folder),
        (folder, by_folder),
        (str(folder), by_folder),
    ):
        assert [seen.score for seen in detector.predict_each(given)] == expected
        assert [seen.score for seen in detector.inspect(given)] == expected
        worked = [result for _, result in detector.inspect_with(given, score_and_width)]
        assert worked == [(score, stack.shape[2]) for score in expected]


def test_a_folder_that_is_missing_is_an_error_before_the_first_image_is_asked_for(
    detector, tmp_path
):
    nowhere = tmp_path / "nowhere"
    for inspect in (detector.predict_each, detector.inspect):
        with pytest.raises(DataError, match="nowhere: expected a folder or an image"):
            inspect(nowhere)
    with pytest.raises(DataError, match="nowhere: expected a folder or an image"):
        detector.inspect_with(nowhere, str)


def test_members_of_an_ensemble_share_the_kept_map(photographs):
    from patchbank import Ensemble

    settings = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
    detector = Ensemble([PatchCore(**settings), PaDiM(**settings)]).fit(parts(5))
    seen = detector.predict(photographs[1], keep_image=True)
    np.testing.assert_array_equal(seen.kept.anomaly_map, seen.without_pixels().anomaly_map)
