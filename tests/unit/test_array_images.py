"""Arrays as images: what is accepted, what it means, and what is refused at once."""

import numpy as np
import pytest
from PIL import Image as pillow

from patchbank import ImageError, ImageTypeError, ParameterError, PatchCore, ShapeError
from patchbank.images.arrays import ArrayLayout
from patchbank.images.source import image_source, read_image
from tests.photographs import part, parts, save

SIZE = (12, 20)
RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2)


@pytest.fixture(scope="module")
def detector():
    return RECIPE.fit(parts(5))


def grey():
    """(12, 20) uint8: every pixel differs."""
    return np.arange(240, dtype=np.uint8).reshape(SIZE)


def read(array, **layout):
    return image_source(array, layout=ArrayLayout(**layout)).read()


def test_grey_arrays_are_repeated_as_grey_files_are(tmp_path):
    expected = np.dstack([grey()] * 3)
    for array in (grey(), grey()[..., None]):
        np.testing.assert_array_equal(read_image(array), expected)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", grey())), expected)


def test_alpha_is_composited_on_black_as_that_of_files_is(tmp_path):
    array = np.dstack([part(0, size=SIZE), grey()])
    from_array = read_image(array)
    np.testing.assert_array_equal(from_array, read_image(save(tmp_path / "a.png", array)))
    assert from_array[0, 0].tolist() == [0, 0, 0]
    exact = array[..., :3] * (array[..., 3:] / 255)
    assert np.abs(from_array - exact).max() <= 1


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_of_16_bits_the_upper_eight_are_read_as_of_files(tmp_path, dtype):
    deep = (np.arange(240).reshape(SIZE) * 273).astype(np.uint16)
    from_array = read_image(deep.astype(dtype))
    np.testing.assert_array_equal(from_array[..., 0], deep // 256)
    pillow.fromarray(deep).save(tmp_path / "a.png")
    np.testing.assert_array_equal(from_array, read_image(tmp_path / "a.png"))
    colours = np.dstack([deep, deep // 2, deep // 3, np.full(SIZE, 65535, np.uint16)])
    np.testing.assert_array_equal(read_image(colours), colours[..., :3] // 256)


def test_blue_first_and_channels_first_are_the_same_picture(detector):
    image, alpha = part(3), np.full((72, 104, 1), 255, np.uint8)
    bgr, first = image[..., ::-1], image.transpose(2, 0, 1)
    np.testing.assert_array_equal(read(bgr, colour_order="bgr"), image)
    np.testing.assert_array_equal(
        read(np.dstack([bgr, alpha]), colour_order="bgr"), read_image(np.dstack([image, alpha]))
    )
    np.testing.assert_array_equal(read(first, channels="first"), image)
    np.testing.assert_array_equal(read(first[::-1], colour_order="bgr", channels="first"), image)
    np.testing.assert_array_equal(read(grey(), colour_order="bgr")[..., 1], grey())
    np.testing.assert_array_equal(read(grey(), channels="first")[..., 1], grey())

    expected = detector.predict(image).score
    assert detector.predict(bgr).score != expected
    assert detector.predict(bgr, colour_order="bgr").score == expected
    assert detector.predict(first, channels="first").score == expected
    stack = np.stack([bgr, bgr])
    for inspect in (detector.predict_each, detector.inspect):
        assert [seen.score for seen in inspect(stack, colour_order="bgr")] == [expected] * 2
        assert [seen.score for seen in inspect(iter([first]), channels="first")] == [expected]
    (worked,) = detector.inspect_with([bgr], lambda seen: seen.pixels, colour_order="bgr")
    np.testing.assert_array_equal(worked[1], image)


def test_a_fit_is_told_the_colour_order_too():
    images = parts(6)
    expected = RECIPE.fit(images).calibration.image_scores
    stack = np.stack(images)
    for given, layout in (
        ([image[..., ::-1] for image in images], {"colour_order": "bgr"}),
        (stack[..., ::-1], {"colour_order": "bgr"}),
        (stack.transpose(0, 3, 1, 2), {"channels": "first"}),
        (stack, {}),
    ):
        found = RECIPE.fit(given, **layout).calibration.image_scores
        np.testing.assert_array_equal(found, expected)


def test_a_fit_keeps_each_frame_of_a_buffer_that_is_used_again():
    buffer = np.empty_like(part(0))

    def grabber():
        for image in parts(6):
            buffer[:] = image
            yield buffer

    expected = RECIPE.fit(parts(6)).calibration.image_scores
    np.testing.assert_array_equal(RECIPE.fit(grabber()).calibration.image_scores, expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((20, 30, 2), np.uint8), r"got \(20, 30, 2\); a stack of grey images is"),
        (np.zeros((3, 20, 30), np.uint8), r'got \(3, 20, 30\); give channels="first"'),
        (np.zeros((2, 20, 30, 3), np.uint8), r"got \(2, 20, 30, 3\); predict_each inspects"),
        (np.zeros(240, np.uint8), r"got \(240,\)$"),
        (np.zeros((), np.uint8), r"got \(\)$"),
        (np.zeros((0, 30, 3), np.uint8), r"at least 8 x 8 pixels, got \(0, 30, 3\)"),
        (np.zeros((2, 3, 3), np.uint8), r"at least 8 x 8 pixels, got \(2, 3, 3\)"),
    ],
)
def test_arrays_of_other_axes_are_named(detector, array, message):
    for read_or_predict in (read_image, detector.predict):
        with pytest.raises(ShapeError, match=message):
            read_or_predict(array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((20, 30, 3)), r"got float64; if it is from 0 to 1, give \(255 \* image\)"),
        (np.zeros((20, 30, 3), np.float16), "got float16; if it is from 0 to 1"),
        (np.zeros((20, 30, 3), np.int64), r"got int64; .* from 0 to 255, give image\.astype"),
        (np.zeros((20, 30), ">i2"), r"got >i2; if it is from 0 to 255, give image\.astype"),
        (np.zeros((20, 30), bool), r"got bool; if true is white, give 255 \* image\.astype"),
        (np.zeros((20, 30), np.int8), r"give \(image\.astype\(np\.int16\) \+ 128\)\.astype"),
        (np.zeros((20, 30, 3), object), "got object; give the numbers of its pixels, or paths"),
        (np.array([b"a.png", b"b.png"]), r"got \|S5; give the numbers of its pixels, or paths"),
        (np.ma.masked_less(np.ones((20, 30), np.uint8), 2), r"a masked one; give image\.filled"),
    ],
)
def test_arrays_of_other_numbers_are_type_errors(detector, array, message):
    for read_or_predict in (read_image, detector.predict):
        with pytest.raises(TypeError, match=message) as raised:
            read_or_predict(array)
        assert isinstance(raised.value, ImageTypeError)
        assert len(str(raised.value).splitlines()) == 1


class Rows:
    """An array of another library: iterating it would give its rows."""

    ndim, shape = 3, (20, 30, 3)

    def __array__(self, dtype=None, copy=None):
        return np.zeros(self.shape, np.uint8)

    def __iter__(self):
        return iter(self.__array__())


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (7, "int"),
        (0.5, "float"),
        (None, "NoneType"),
        ({"a": "b.png"}, "dict"),
        (object(), "object"),
        (np.float64(3), "numpy.float64; give np.asarray"),
        (Rows(), r"test_array_images\.Rows; give np\.asarray\(image\)"),
    ],
)
def test_what_is_no_image_is_a_type_error_at_once_that_names_what_is_accepted(
    detector, given, found
):
    message = (
        f"expected a path, an array .*, bytes, a file object or a Pillow image.*, got .*{found}"
    )
    calls = [detector.predict, detector.predict_each, detector.inspect, RECIPE.fit]
    for call in [*calls, lambda images: detector.inspect_with(images, str)]:
        with pytest.raises(TypeError, match=message):
            call(given)


def test_a_path_is_always_one_photograph_and_a_folder_says_who_takes_it(detector, tmp_path):
    save(tmp_path / "a.png", part(0))
    with pytest.raises(ImageError, match="expected one photograph, got a folder; predict_each"):
        detector.predict(tmp_path)
    assert len(list(detector.predict_each(tmp_path))) == 1
    assert len(list(detector.predict_each(f"{tmp_path / 'a.png'}"))) == 1


def test_an_array_of_paths_is_a_list_of_them(detector, tmp_path):
    paths = [f"{save(tmp_path / f'{i}.png', part(i))}" for i in range(3)]
    for array in (np.array(paths), np.array(paths, object)):
        assert [seen.image for seen in detector.predict_each(array)] == paths


@pytest.mark.parametrize("layout", [{"colour_order": "BGR"}, {"channels": "middle"}])
def test_other_words_for_a_layout_are_refused_before_the_first_image(detector, layout):
    with pytest.raises(ParameterError, match="^(colour_order|channels): expected .* or "):
        detector.predict_each([part(0)], **layout)
    with pytest.raises(ParameterError, match="^(colour_order|channels): expected .* or "):
        RECIPE.fit([part(0)], **layout)
