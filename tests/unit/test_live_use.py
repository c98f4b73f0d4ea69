"""Inspections of a camera: each verdict comes before the next photograph is asked for."""

import threading
from collections import deque

import numpy as np
import pytest

from patchbank import FailedInspection, ImageError, PatchCore
from patchbank.detector.overlay import draw_overlay
from tests.photographs import part, parts, save


@pytest.fixture(scope="module")
def detector():
    return PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2).fit(
        parts(5)
    )


FRAMES = [part(i, defect=i % 3 * 8) for i in range(6)]


def grabber(buffer):
    """The frames of a camera, always in the same memory."""
    for frame in FRAMES:
        buffer[:] = frame
        yield buffer


def ways(detector):
    """Each method that takes an iterator, as a function to inspections."""
    yield detector.predict
    yield detector.predict_each
    yield detector.inspect
    yield lambda images: (seen for seen, _ in detector.inspect_with(images, lambda seen: None))


def test_each_verdict_is_that_of_its_frame_and_comes_before_the_next_is_asked_for(detector):
    expected = [detector.predict(frame).score for frame in FRAMES]
    for inspect in ways(detector):
        events = []

        def line(events=events):
            for number, frame in enumerate(grabber(np.empty_like(FRAMES[0]))):
                events.append(("asked for", number))
                yield frame

        for number, seen in enumerate(inspect(line())):
            assert seen.score == expected[number]
            events.append(("verdict", number))
        assert events == [(what, n) for n in range(6) for what in ("asked for", "verdict")]


@pytest.mark.parametrize("kind", [iter, deque, lambda frames: (f for f in frames)])
def test_whatever_is_no_list_is_asked_one_by_one_in_the_thread_of_the_caller(detector, kind):
    threads = [
        threads
        for _, threads in detector.inspect_with(
            kind(FRAMES[:3]), lambda seen: threading.current_thread()
        )
    ]
    assert threads == [threading.current_thread()] * 3


@pytest.mark.parametrize("kind", [list, tuple, np.stack, lambda f: dict(enumerate(f)).values()])
def test_what_is_there_already_is_inspected_on_all_cores(detector, kind):
    threads = {
        thread.name.split("_")[0]
        for _, thread in detector.inspect_with(
            kind(FRAMES[:3]), lambda seen: threading.current_thread()
        )
    }
    assert threads == {"patchbank-images"}


def test_an_overlay_shows_the_frame_that_was_inspected_though_its_memory_was_used_again(detector):
    for inspect in list(ways(detector))[:3]:
        for keep_image in (False, True):
            seen = list(inspect(grabber(np.empty_like(FRAMES[0])), keep_image=keep_image))
            for frame, each in zip(FRAMES, seen, strict=True):
                np.testing.assert_array_equal(each.pixels, frame)
                np.testing.assert_array_equal(each.overlay(), draw_overlay(frame, each))


def test_single_arrays_and_those_of_lists_may_change_too(detector):
    buffers = [frame.copy() for frame in FRAMES]
    seen = [detector.predict(buffers[0]), *detector.predict_each(buffers)]
    for buffer in buffers:
        buffer[:] = 0
    for frame, each in zip([FRAMES[0], *FRAMES], seen, strict=True):
        np.testing.assert_array_equal(each.pixels, frame)


def test_kept_pixels_are_in_memory_once(detector):
    seen = detector.predict(FRAMES[0], keep_image=True)
    assert seen.source.content is seen.kept.image
    grey = detector.predict(FRAMES[0][..., 0])
    assert grey.source.content.shape == FRAMES[0].shape


def test_an_inspection_without_pixels_holds_none_and_says_so(detector, tmp_path):
    path = save(tmp_path / "a.png", FRAMES[0])
    of_file, of_array, of_bytes = (
        seen for seen, _ in detector.inspect_with([path, FRAMES[0], path.read_bytes()], str)
    )
    np.testing.assert_array_equal(of_file.pixels, FRAMES[0])
    for seen in (of_array, of_bytes):
        assert isinstance(seen.source.content, ImageError)
        with pytest.raises(ImageError, match="expected pixels, got an inspection that has none"):
            seen.overlay()


def test_an_error_of_the_camera_comes_after_the_verdicts_before_it(detector):
    class Unplugged(Exception):
        pass

    def camera():
        yield from FRAMES[:2]
        raise Unplugged("no frame")

    for inspect in ways(detector):
        stream = inspect(camera())
        assert [next(stream).score for _ in range(2)] == [
            detector.predict(frame).score for frame in FRAMES[:2]
        ]
        with pytest.raises(Unplugged, match="no frame"):
            next(stream)


def test_a_frame_that_is_no_image_does_not_stop_a_line(detector):
    given = iter([FRAMES[0], None, FRAMES[1]])
    first, failed, last = detector.inspect(given)
    assert isinstance(failed, FailedInspection)
    assert failed.error_type == "ImageTypeError"
    assert first.score != last.score


def test_a_photograph_that_vanished_after_its_inspection_is_one_line_and_the_others_are_drawn(
    detector, tmp_path
):
    paths = [save(tmp_path / f"{i}.png", frame) for i, frame in enumerate(FRAMES[:4])]
    seen = list(detector.inspect(paths))
    paths[1].unlink()
    save(paths[2], part(77))
    for number, each in enumerate(seen):
        if number in (1, 2):
            with pytest.raises(ImageError, match=f"{number}.png: expected .*changed one") as raised:
                each.overlay()
            assert "\n" not in str(raised.value)
        else:
            np.testing.assert_array_equal(each.pixels, FRAMES[number])
