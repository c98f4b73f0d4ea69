"""Photographs of 16 bits are read by the bits that are in use; others are as ever."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from patchbank import PatchCore, PhotographWarning, load
from patchbank.errors import CalibrationWarning, ImageError, ParameterError
from patchbank.images.bit_depth import to_8_bits, usual_depth
from patchbank.images.source import image_source, read_image
from tests.photographs import part, save
from tests.tiff_files import tiff_bytes

RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=96, bank_limit=80)
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def grey(seed, **options):
    return part(seed, **options)[..., 1]


def png(values, colour_type, filters=(0,), extra=b""):
    """A PNG of 16 bits, (H, W, channels)."""
    height, width, channels = values.shape
    rows, before = [], np.zeros(width * channels * 2, np.int64)
    for number, row in enumerate(values.astype(">u2")):
        raw = np.frombuffer(row.tobytes(), np.uint8).astype(np.int64)
        kind = filters[number % len(filters)]
        left = np.concatenate([np.zeros(channels * 2, np.int64), raw[: -channels * 2]])
        rows.append(
            bytes([kind])
            + ((raw - {0: 0, 1: left, 2: before}[kind]) % 256).astype(np.uint8).tobytes()
        )
        before = raw

    def chunk(kind, data):
        checksum = struct.pack(">L", zlib.crc32(kind + data))
        return struct.pack(">L", len(data)) + kind + data + checksum

    header = struct.pack(">LLBBBBB", width, height, 16, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(rows))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
    return start + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("filters", [(0,), (1, 2)])
def test_all_16_bits_of_every_kind_of_png_are_read(colour_type, channels, filters):
    values = np.random.default_rng(0).integers(0, 4096, (19, 31, channels)).astype(np.uint16)
    if colour_type in (4, 6):
        values[..., -1] = 65535
    content = png(values, colour_type, filters)
    n_colours = 3 if channels > 2 else 1
    colours = np.broadcast_to(values[..., :n_colours], (19, 31, 3))
    assert image_source(content).header == (19, 31, True)
    assert (read_image(content) == colours >> 8).all()
    assert (read_image(content, bit_depth=12) == colours >> 4).all()
    with pytest.raises(ImageError, match=r"up to 1,023 \(bit_depth 10.*fit with bit_depth=12"):
        read_image(content, bit_depth=10)


def test_alpha_of_16_bits_makes_black():
    values = np.full((19, 31, 2), 4095, np.uint16)
    values[..., 1] = 65535
    values[:9, :, 1] = 0
    read = read_image(png(values, 4), bit_depth=12)
    assert (read[:9] == 0).all()
    assert (read[9:] == 255).all()


def test_a_transparent_colour_of_16_bits_is_black():
    values = np.full((19, 31, 3), 300, np.uint16)
    values[:5] = (301, 2, 3)
    key = struct.pack(">HHH", 301, 2, 3)
    chunk = struct.pack(">L", 6) + b"tRNS" + key + struct.pack(">L", zlib.crc32(b"tRNS" + key))
    read = read_image(png(values, 2, extra=chunk), bit_depth=9)
    assert (read[:5] == 0).all()
    assert (read[5:] == 150).all()


def test_the_scale_that_a_pnm_states_is_used():
    values = (np.arange(20 * 30).reshape(20, 30) * 1023 // 599).astype(">u2")
    read = read_image(b"P5 30 20 1023\n" + values.tobytes())
    expected = np.round(values.astype(int) / 1023 * 65535).astype(int) >> 8
    assert (read == expected[..., None]).all()
    assert not image_source(b"P5 30 20 1023\n" + values.tobytes()).header.is_deep
    assert image_source(b"P5 30 20 65535\n" + values.tobytes()).header.is_deep


def test_colours_of_16_bits_of_a_pnm_are_deep():
    values = np.random.default_rng(0).integers(0, 1024, (20, 30, 3)).astype(">u2")
    content = b"P6 30 20 65535\n" + values.tobytes()
    assert image_source(content).header.is_deep
    assert image_source(content).largest_deep_value == values.max()
    assert (read_image(content, bit_depth=10) == values >> 2).all()
    assert (read_image(content) == values >> 8).all()


DEPTHS = {0: 16, 1: 8, 255: 8, 256: 10, 1023: 10, 1024: 12, 4095: 12, 4096: 14, 16383: 14}


@pytest.mark.parametrize(("largest", "depth"), [*DEPTHS.items(), (16384, 16), (65535, 16)])
def test_the_depth_is_the_smallest_usual_one_that_holds_the_largest_value(largest, depth):
    assert usual_depth(largest) == depth


@pytest.mark.parametrize("depth", range(8, 17))
def test_eight_bits_are_the_upper_ones_of_those_in_use(depth):
    values = np.array([0, 1, 2 ** (depth - 1), 2**depth - 1], np.uint16)
    expected = [int(value) >> (depth - 8) for value in values]
    assert to_8_bits(values, depth).tolist() == expected
    if depth < 16:
        with pytest.raises(ImageError, match="bit_depth"):
            to_8_bits(np.array([2**depth], np.uint16), depth)


def folder(root, convert, suffix=".png", n=6):
    for seed in range(n):
        save(root / f"{seed}{suffix}", convert(grey(seed)))
    return root


@pytest.mark.parametrize(
    ("shift", "depth"), [(8, None), (4, 12), (2, 10), (0, 8)], ids=["16", "12", "10", "8"]
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_detector_of_shallow_photographs_is_that_of_the_same_ones_in_8_bits(
    tmp_path, shift, depth, suffix
):
    good = folder(tmp_path / "good", lambda g: g.astype(np.uint16) << shift, suffix)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector = RECIPE.fit(good)
    lines = [str(w.message) for w in caught if w.category is PhotographWarning]
    if depth is None:
        assert lines == []
    else:
        (line,) = lines
        assert line.startswith("6 of 6 photographs with 16 bits a channel and values of up to ")
        assert f"they are read as {depth} bits" in line
    plain = RECIPE.fit([np.stack([grey(seed)] * 3, axis=2) for seed in range(6)])
    detector.save(tmp_path / "a.patchbank")
    opened = load(tmp_path / "a.patchbank", device="cpu")
    assert opened.members[0].settings.bit_depth == (depth or 16)
    stained = grey(7, defect=9)
    deep = save(tmp_path / "new.png", stained.astype(np.uint16) << shift)
    expected = plain.predict(np.stack([stained] * 3, axis=2)).score
    inspection = opened.predict(deep)
    assert inspection.score == detector.predict(deep).score == expected
    shown = inspection.without_pixels() if hasattr(inspection, "without_pixels") else inspection
    assert (shown.source.read() == stained[..., None]).all()  # an overlay shows what was inspected
    ordinary = save(tmp_path / "ordinary.png", np.stack([stained] * 3, axis=2))
    assert opened.predict(ordinary).score == expected  # 8 bits are not affected


def test_a_value_beyond_what_was_learned_is_refused_with_the_option(tmp_path):
    good = folder(tmp_path / "good", lambda g: g.astype(np.uint16) << 2)
    with pytest.warns(PhotographWarning, match="they are read as 10 bits"):
        detector = RECIPE.fit(good)
    brighter = grey(7).astype(np.uint16) << 4
    path = save(tmp_path / "new.png", brighter)
    with pytest.raises(ImageError) as caught:
        detector.predict(path)
    assert str(caught.value) == (
        f"{path}: expected 16-bit values of up to 1,023 (bit_depth 10, as the photographs that "
        f"were learned), got {brighter.max():,}; fit with bit_depth=12 (--bit-depth)"
    )


def test_a_bit_depth_that_is_given_is_taken_without_a_word(tmp_path):
    good = folder(tmp_path / "good", lambda g: g.astype(np.uint16) << 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PhotographWarning)
        detector = RECIPE.with_changes(bit_depth=12).fit(good)
    assert detector.members[0].settings.bit_depth == 12
    with pytest.raises(ImageError, match="expected 6 photographs that can be read, got 6"):
        RECIPE.with_changes(bit_depth=8).fit(good)


def test_a_detector_of_8_bits_reads_16_bits_as_their_upper_eight(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        detector = RECIPE.fit([np.stack([grey(seed)] * 3, axis=2) for seed in range(6)])
    assert detector.members[0].settings.bit_depth is None
    deep = tiff_bytes(grey(7).astype(int) << 8, 16)
    plain = io.BytesIO()
    Image.fromarray(grey(7)).save(plain, "PNG")
    assert detector.predict(deep).score == detector.predict(plain.getvalue()).score


def test_members_of_an_ensemble_read_alike():
    from patchbank import Ensemble

    with pytest.raises(ParameterError, match="bit_depth: expected the same for all members"):
        Ensemble((RECIPE, RECIPE.with_changes(bit_depth=12)))


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_arrays_are_read_as_files_are(dtype, channels):
    shallow = grey(7).astype(np.uint16) << 4
    array = shallow if channels is None else np.stack([shallow] * channels, axis=2)
    if channels == 4:
        array[..., 3] = 65535
    array = array.astype(dtype)
    source = image_source(array)
    assert source.header == (72, 104, True)
    assert source.largest_deep_value == shallow.max()
    assert (source.read(12) == grey(7)[..., None]).all()
    with pytest.raises(ImageError, match="bit_depth"):
        source.read(10)
