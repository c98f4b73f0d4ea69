"""Images come as paths, bytes, file objects, Pillow images and arrays, and give the same pixels."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from patchbank import ImageError, PatchCore, ShapeError
from patchbank.images.folders import list_images
from patchbank.images.source import image_source, is_one_image, n_pixels, read_image
from tests.photographs import part, parts, save

TURNED = 6  # EXIF orientation: the camera was held upright


@pytest.fixture
def path(tmp_path):
    return save(tmp_path / "a.png", part(3, size=(40, 72)))


@pytest.fixture(scope="module")
def detector():
    return PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2).fit(
        parts(5)
    )


class Once:
    """A file object that can be read once, as a socket can, and has no name."""

    def __init__(self, content):
        self.content, self.reads = content, 0

    def read(self, size=-1):
        self.reads += 1
        assert self.reads == 1, "its contents are gone"
        return self.content


def test_every_kind_of_image_gives_the_same_pixels(path):
    content = path.read_bytes()
    expected = part(3, size=(40, 72))
    with path.open("rb") as file, pillow.open(path) as opened:
        given = [str(path), path, content, bytearray(content), memoryview(content), file, opened]
        given += [io.BytesIO(content), Once(content), expected, pillow.fromarray(expected)]
        for image in given:
            np.testing.assert_array_equal(read_image(image), expected)


def test_names_are_those_of_paths_and_files_or_say_what_it_is(path):
    content = path.read_bytes()
    with path.open("rb") as file, pillow.open(path) as opened:
        assert image_source(str(path)).name == str(path)
        assert image_source(file).name == str(path)
        assert image_source(opened).name == str(path)
    assert image_source(content).name == "bytes"
    assert image_source(io.BytesIO(content)).name == "file"
    assert image_source(part(0)).name == "array"
    assert image_source(pillow.fromarray(part(0))).name == "image"
    with tempfile.TemporaryFile() as unnamed:  # its name is a number
        unnamed.write(content)
        unnamed.seek(0)
        assert image_source(unnamed).name == "file"
    for image in (path, content, part(0), image_source(content)):
        assert image_source(image, "camera 7").name == "camera 7"


def test_contents_are_read_once_and_number_of_pixels_comes_from_them(path):
    file = Once(path.read_bytes())
    source = image_source(file)
    assert file.reads == 1
    assert n_pixels(source) == 40 * 72
    np.testing.assert_array_equal(source.read(), source.read())
    assert file.reads == 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_the_orientation_that_the_camera_wrote_is_followed(kind):
    exif = pillow.Exif()
    exif[0x0112] = TURNED
    stream = io.BytesIO()
    pillow.fromarray(part(0, size=(40, 72))).save(stream, kind, exif=exif)
    opened = pillow.open(io.BytesIO(stream.getvalue()))
    from_bytes, from_pillow = read_image(stream.getvalue()), read_image(opened)
    assert from_bytes.shape == (72, 40, 3)
    np.testing.assert_array_equal(from_bytes, from_pillow)
    if kind != "TIFF":  # which Pillow itself turns when it decodes it
        assert opened.size == (72, 40)  # width, height: the caller's image is left as it was


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "I;16", "1"])
def test_pillow_images_of_every_mode_are_converted_as_files_are(mode, tmp_path):
    grey = pillow.fromarray(part(0, size=(20, 36))[..., 0])
    if mode == "I;16":
        image = pillow.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        image = grey.convert("RGB").convert(mode)
    image.save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(read_image(image), read_image(tmp_path / "a.tiff"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "bytes: expected a PNG, JPEG, .* or HEIC image, got an empty file"),
        (b"rubbish", "bytes: expected a PNG, JPEG, .* or HEIC image, got something else"),
        (io.StringIO("text"), r'file: expected a file object in binary mode \("rb"\), got text'),
        (Once("text"), "file: expected a file object in binary mode .* got str from its `read`"),
        (pillow.new("RGB", (5, 20)), "image: expected at least 8 x 8 pixels, got 5 x 20"),
        (pillow.new("F", (20, 20)), "image: expected 8 or 16 bits a channel, got floating-point"),
        (7, "image: expected a path, an array .*, bytes, a file object or a Pillow image, got int"),
    ],
)
def test_what_is_no_image_is_named(image, message):
    with pytest.raises(ImageError, match=message) as raised:
        read_image(image)
    assert len(str(raised.value).splitlines()) == 1


def test_errors_use_the_name_that_was_given():
    with pytest.raises(ImageError, match="^camera 7: expected a PNG"):
        read_image(b"rubbish", name="camera 7")
    with pytest.raises(ShapeError, match=r"got \(3, 4\)"):
        read_image(np.zeros((3, 4), np.uint8))


def test_a_file_that_fails_is_an_image_error(path):
    closed = path.open("rb")
    closed.close()
    with pytest.raises(ImageError, match="closed file"):
        read_image(closed)

    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(ImageError, match="file: expected a readable image, got: Connection reset"):
        read_image(Broken())


def test_detectors_take_every_kind_and_name_it(detector, path):
    content = path.read_bytes()
    expected = detector.predict(path).score
    with path.open("rb") as file, pillow.open(path) as opened:
        given = [content, io.BytesIO(content), file, opened, part(3, size=(40, 72))]
        found = [detector.predict(image) for image in given]
    assert [seen.score for seen in found] == [expected] * 5
    assert [seen.image for seen in found] == ["bytes", "file", str(path), str(path), "array"]
    each = list(detector.predict_each([content, path, io.BytesIO(content)]))
    assert [seen.score for seen in each] == [expected] * 3


def test_files_that_are_closed_after_they_were_given_are_inspected(detector, tmp_path):
    paths = [save(tmp_path / f"{i}.png", part(i)) for i in range(9)]

    def opened_one_by_one():
        for number, path in enumerate(paths):
            if number % 2:
                with path.open("rb") as file:
                    yield file
            else:
                with pillow.open(path) as image:
                    yield image

    found = list(detector.predict_each(opened_one_by_one()))
    assert [seen.score for seen in found] == [detector.predict(path).score for path in paths]
    assert [seen.image for seen in found] == [str(path) for path in paths]


def test_an_upload_that_is_no_image_does_not_stop_the_others(detector, path):
    content = path.read_bytes()
    given = [content, io.BytesIO(b"rubbish"), io.BytesIO(content), 7]
    outcomes = list(detector.inspect(given))
    assert outcomes[0].score == outcomes[2].score
    assert outcomes[3].error.endswith("a file object or a Pillow image, got int")
    assert (outcomes[1].image, outcomes[1].error_class) == ("file", ImageError)
    assert "got something else" in outcomes[1].error


def test_a_fit_takes_every_kind_and_gives_the_same_detector(tmp_path):
    arrays = parts(6)
    paths = [save(tmp_path / f"{number}.png", array) for number, array in enumerate(arrays)]
    contents = [path.read_bytes() for path in paths]

    def mixed():
        yield arrays[0]
        yield paths[1]
        yield contents[2]
        with paths[3].open("rb") as file:
            yield file
        yield Once(contents[4])
        yield pillow.fromarray(arrays[5])

    recipe = PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2)
    ours, theirs = recipe.fit(mixed()), recipe.fit(paths)
    np.testing.assert_array_equal(ours.calibration.image_scores, theirs.calibration.image_scores)
    assert ours.fitted_on == ("array 0", "1.png", "bytes 2", "3.png", "file 4", "image 5")
    with pytest.warns(match="one good image"):
        alone = recipe.fit(Once(contents[0]))
    assert alone.fitted_on == ("file 0",)


def test_one_image_is_distinguished_from_a_collection(path):
    images = [str(path), path, b"", io.BytesIO(), part(0), pillow.new("L", (9, 9))]
    assert all(map(is_one_image, images))
    assert not any(map(is_one_image, [[path], iter([path]), (b"",), {"a": path}]))
    (listed,) = list_images(io.BytesIO(path.read_bytes()))
    np.testing.assert_array_equal(read_image(listed), read_image(path))
    assert list_images([b"x", [Path(path)]]) == [b"x", path]


def test_an_empty_path_is_not_the_working_directory(detector, path, monkeypatch):
    monkeypatch.chdir(path.parent)
    rule = '^image: expected a path, got an empty text; the working directory is "."$'
    for use in (
        detector.predict,
        lambda empty: list(detector.predict_each(empty)),
        lambda empty: list(detector.predict_each([empty])),
        PatchCore().fit,
        lambda empty: PatchCore().fit([empty]),
    ):
        with pytest.raises(ImageError, match=rule):
            use("")
    assert [each.image for each in detector.predict_each(".")] == ["a.png"]
