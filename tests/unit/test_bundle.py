"""The detector file: never half-written, never silently altered."""

import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load, save

from patchbank.detector import bundle
from patchbank.detector.bundle import (
    FORMAT_VERSION,
    Bundle,
    bundle_of,
    content_digest,
    file_digest,
    read_bundle,
    to_bytes,
    write_bundle,
)
from patchbank.detector.container import ContainerError, read_container
from patchbank.errors import DetectorFileError

CONTENT = Bundle(
    {"bank": np.arange(5000, dtype=np.float32).reshape(100, 50), "origins": np.arange(7)},
    {"method": "patchcore", "settings": {"image_size": 320}, "names": ["ä.png"]},
)


@pytest.fixture
def path(tmp_path):
    write_bundle(tmp_path / "a.patchbank", CONTENT)
    return tmp_path / "a.patchbank"


def test_what_is_written_is_read(path):
    read = read_bundle(path)
    assert read.record == CONTENT.record
    assert set(read.tensors) == set(CONTENT.tensors)
    for name, tensor in CONTENT.tensors.items():
        assert read.tensors[name].dtype == tensor.dtype
        assert (read.tensors[name] == tensor).all()
    assert os.listdir(path.parent) == ["a.patchbank"]


def test_the_bytes_of_a_file_are_those_of_its_content(path):
    content = to_bytes(CONTENT)
    assert content == path.read_bytes()
    read = bundle_of(content, "memory")
    assert read.sha256 == content_digest(CONTENT)
    np.testing.assert_array_equal(read.tensors["bank"], CONTENT.tensors["bank"])
    read.tensors["bank"][0, 0] = 7  # of its own, not a view of the bytes
    assert bundle_of(content, "memory").tensors["bank"][0, 0] == 0
    with pytest.raises(DetectorFileError, match="^memory: expected a whole detector file"):
        bundle_of(content[:-1], "memory")


class CutWhileRead(io.BytesIO):
    """A file that another program empties after its header was read."""

    def readinto(self, buffer):
        self.truncate(len(self.getvalue()) - 100)
        return super().readinto(buffer)


def test_a_file_that_is_cut_while_it_is_read_is_refused():
    content = to_bytes(CONTENT)
    with pytest.raises(ContainerError, match="ends too early"):
        read_container(CutWhileRead(content), len(content))


def test_a_file_is_read_as_the_reference_implementation_reads_it():
    tensors = {
        "none": np.zeros((0, 3), np.float32),
        "one": np.full((), 2.5),
        "many": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        "odd": np.array([True, False, True]),
        "half": np.arange(3, dtype=np.float16),
    }
    content = save(tensors, {"a": "b"})
    metadata, read = read_container(io.BytesIO(content), len(content))
    assert metadata == {"a": "b"}
    expected = load(content)
    assert read.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(read[name], tensor)


ENTRY = '{"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}'
HEADERS = {
    "no JSON": "{",
    "not UTF-8": b'{"\xff": {}}',
    "a list": "[]",
    "no tensor": '{"a": 3}',
    "another key": ENTRY.join(('{"a": ', "}")).replace("}}", ', "b": 1}}'),
    "twice": f'{{"a": {ENTRY}, "a": {ENTRY}}}',
    "BF16": '{"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}',
    "F8": '{"a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}',
    "no type": '{"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}',
    "other size": '{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}',
    "negative": '{"a": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}',
    "huge": '{"a": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 8]}}' % ("9" * 5000),
    "empty but huge": '{"a": {"dtype": "F32", "data_offsets": [0, 0], '
    '"shape": [0, 2305843009213693952, 2305843009213693952]}}',
    "axes": '{"a": {"dtype": "F32", "shape": [%s 2], "data_offsets": [0, 8]}}' % ("1, " * 64),
    "number": '{"a": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}',
    "gap": '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
    "beyond": '{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}',
    "overlap": f'{{"a": {ENTRY}, "b": {ENTRY}}}',
    "rest": '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
    "deep": "[" * 100_000,
    "texts": f'{{"__metadata__": {{"a": 1}}, "a": {ENTRY}}}',
    "infinite": '{"__metadata__": 1e999}',
    "truth": '{"a": {"dtype": "BOOL", "shape": [8], "data_offsets": [0, 8]}}',
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_does_not_agree_with_the_file_is_refused(name):
    header = HEADERS[name] if isinstance(HEADERS[name], bytes) else HEADERS[name].encode()
    content = len(header).to_bytes(8, "little") + header + bytes(range(8))
    with pytest.raises(DetectorFileError, match="^x: expected a whole detector file, got") as error:
        bundle_of(content, "x")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "inner",
    [
        "null",
        "[]",
        '{"format_version": "2", "record": {}, "sha256": ""}',
        '{"format_version": true, "record": {}, "sha256": ""}',
        '{"format_version": 2, "record": [], "sha256": ""}',
        '{"format_version": 2, "record": {}}',
        '{"format_version": 2, "record": {"a": NaN}, "sha256": ""}',
        '{"format_version": 2, "record": {"a": 1e999}, "sha256": ""}',
        '{"format_version": 2, "record": {"a": 1, "a": 1}, "sha256": ""}',
        '{"format_version": 2, "sha256": "", "record": {"a": ' + "[" * 500 + "]" * 500 + "}}",
        '{"format_version": 2, "record": {"a": %s}, "sha256": ""}' % ("9" * 5000),
    ],
)
def test_a_header_of_a_detector_says_each_thing_once_and_in_its_type(inner):
    content = save({}, {"patchbank": inner})
    with pytest.raises(DetectorFileError, match="^x: expected a whole detector file, got a damage"):
        bundle_of(content, "x")


def test_a_file_cut_anywhere_is_refused(path):
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DetectorFileError, match="damaged"):
            read_bundle(path)


def test_a_bit_flipped_anywhere_is_refused_or_harmless(path):
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little") + 8
    rng = np.random.default_rng(0)
    places = [*range(0, 8), *rng.integers(8, header, 150), *rng.integers(header, len(whole), 150)]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            read = read_bundle(path)
        except DetectorFileError:
            continue
        assert place < header, "an altered tensor was accepted"
        assert read.record == CONTENT.record
        for name, tensor in CONTENT.tensors.items():
            assert (read.tensors[name] == tensor).all()


def test_a_newer_format_asks_for_a_newer_program(path, monkeypatch):
    monkeypatch.setattr(bundle, "FORMAT_VERSION", 9)
    write_bundle(path, CONTENT)
    monkeypatch.setattr(bundle, "FORMAT_VERSION", 3)
    with pytest.raises(DetectorFileError, match="expected format 2 to 6, got 9; install a newer"):
        read_bundle(path)
    monkeypatch.setattr(bundle, "FORMAT_VERSION", 10)
    with pytest.raises(DetectorFileError, match="expected format 2 to 6, got 9; fit anew"):
        read_bundle(path)


def test_a_record_altered_with_its_tensors_whole_is_refused(path):
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'image_size\\": 320', b'image_size\\": 321'))
    assert path.read_bytes() != whole
    with pytest.raises(DetectorFileError, match="altered"):
        read_bundle(path)


WRITE = """
import sys, numpy as np
from pathlib import Path
from patchbank.detector.bundle import Bundle, write_bundle
from patchbank.errors import DetectorFileError
try:
    write_bundle(Path(sys.argv[1]), Bundle({"bank": np.zeros((3000, 1000), np.float32)}, {}))
except DetectorFileError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file(path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limit,
    )
    assert "nothing was changed" in done.stdout
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.patchbank"]


def test_a_writer_that_is_killed_leaves_the_old_file_or_the_new(path):
    loop = WRITE.replace("try:", "while True:\n  try:").replace("\n    write", "\n      write")
    loop = loop.replace("\nexcept", "\n  except").replace("\n    print", "\n      print")
    for wait in (0.02, 0.05, 0.09):
        process = subprocess.Popen([sys.executable, "-c", loop, str(path)])
        while time.sleep(0.01) is None and process.poll() is None:
            if any(name.endswith(".part") for name in os.listdir(path.parent)):
                break
        time.sleep(wait)
        process.kill()
        process.wait()
        assert read_bundle(path).tensors["bank"].shape in ((100, 50), (3000, 1000))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(DetectorFileError, match="expected to write .* nothing was changed"):
        write_bundle(tmp_path / "nowhere" / "a.patchbank", CONTENT)


def test_the_header_is_json_that_others_can_read(path):
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    inner = json.loads(header["__metadata__"]["patchbank"])
    assert inner["format_version"] == FORMAT_VERSION
    assert inner["record"] == CONTENT.record


def test_a_file_that_is_pinned_is_read_and_another_is_refused(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_bundle(path, digest.upper()).sha256 == content_digest(CONTENT)
    write_bundle(path, Bundle(CONTENT.tensors, {**CONTENT.record, "method": "padim"}))
    with pytest.raises(DetectorFileError, match=f"expected the file with the sha256 {digest}, got"):
        read_bundle(path, digest)


def test_the_digest_of_a_file_is_that_of_its_bytes(path):
    assert file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DetectorFileError, match="expected a readable file, got: No such file"):
        file_digest(path.with_name("missing"))
