"""Detectors are handed to other processes, copied, compared, printed, shown and logged."""

import ast
import copy
import io
import logging
import multiprocessing
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed
from joblib import hash as joblib_hash
from PIL import Image as pillow

import patchbank
from patchbank import Ensemble, ImageError, PaDiM, PatchCore, load
from patchbank.detector.bundle import read_bundle
from patchbank.detector.detector import detector_from_bytes
from tests.photographs import part, parts, save

SETTINGS = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}


@pytest.fixture(scope="module")
def detector():
    return PatchCore(**SETTINGS, bank_limit=60).fit(parts(6))


def score_of(detector, image):
    return detector.predict(image).score


def inspection_of(detector, image):
    return detector.predict(image, keep_image=True)


def test_a_detector_is_handed_to_a_process_that_begins_anew(detector):
    given = [(detector, part(number)) for number in range(3)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        scores = pool.starmap(score_of, given)
        (seen,) = pool.starmap(inspection_of, given[:1])
    assert scores == [detector.predict(image).score for _, image in given]
    np.testing.assert_array_equal(seen.overlay(), detector.predict(part(0)).overlay())
    assert seen.regions == detector.predict(part(0)).regions


def test_joblib_hands_detectors_to_its_processes_and_hashes_them_by_content(detector):
    images = parts(3)
    scores = Parallel(n_jobs=2)(delayed(score_of)(detector, image) for image in images)
    assert scores == [detector.predict(image).score for image in images]
    assert joblib_hash(detector) == joblib_hash(copy.deepcopy(detector))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))]
)
def test_copies_are_equal_and_independent(detector, copied):
    for one in (detector, Ensemble([PatchCore(**SETTINGS), PaDiM(**SETTINGS)]).fit(parts(5))):
        other = copied(one)
        assert other is not one
        assert other == one
        assert other.members[0].model is not one.members[0].model
        assert other.predict(part(7)).score == one.predict(part(7)).score


def test_a_pickle_names_one_function_of_the_package_and_holds_the_bytes_of_the_file(
    detector, tmp_path
):
    function, (content, sha256, device, engine) = detector.__reduce__()
    assert function is detector_from_bytes
    assert (device, engine) == ("cpu", "onnxruntime")
    detector.save(tmp_path / "a.patchbank")
    assert content == (tmp_path / "a.patchbank").read_bytes()
    assert sha256 == detector.sha256


def test_no_module_of_the_package_imports_what_unpickles():
    source = Path(patchbank.__file__).parent
    imported = {
        name.name.partition(".")[0]
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        for name in node.names
    } | {
        (node.module or "").partition(".")[0]
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    assert "numpy" in imported
    assert imported & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"} == set()


def test_the_hash_is_that_of_the_file_and_of_the_content(detector, tmp_path):
    path = tmp_path / "a.patchbank"
    detector.save(path)
    opened = load(path)
    assert opened.sha256 == detector.sha256 == read_bundle(path).sha256
    assert len(opened.sha256) == 64
    assert opened == detector
    assert len({opened, detector, copy.deepcopy(opened)}) == 1
    smaller = detector.with_bank_rows(detector.bank_sizes[0])
    assert smaller != detector
    assert smaller.sha256 not in (detector.sha256, None)
    assert replace(detector, fitted_on=("other",) * 6, content_sha256=None) != detector
    assert detector != "detector"


def test_a_detector_is_printed_in_one_line(detector):
    assert repr(detector) == (
        f"<Detector patchcore on efficientnet_lite0, 6 good images, threshold "
        f"{detector.calibration.threshold:.4g}, sha256 {detector.sha256[:12]}>"
    )


def test_a_notebook_shows_a_detector_and_an_inspection(detector, tmp_path):
    assert detector.sha256 in detector._repr_html_()
    assert "patchcore on efficientnet_lite0" in detector._repr_html_()
    path = save(tmp_path / "<script>&.png", part(0, size=(300, 700)))
    seen = detector.predict(path)
    html = seen._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;&amp;.png" in html
    assert 'src="data:image/png;base64,' in html
    assert "http" not in html
    shown = np.asarray(pillow.open(io.BytesIO(seen._repr_png_())))
    np.testing.assert_array_equal(shown, seen.overlay())


def test_a_notebook_shows_an_inspection_whose_photograph_is_gone_without_a_picture(
    detector, tmp_path
):
    path = save(tmp_path / "a.png", part(0))
    seen = detector.predict(path)
    path.unlink()
    with pytest.raises(ImageError):
        seen.overlay()
    assert seen._repr_png_() is None
    assert "<img" not in seen._repr_html_()
    assert "a.png" in seen._repr_html_()


def test_steps_and_photographs_that_cannot_be_read_are_logged(tmp_path, caplog):
    caplog.set_level(logging.DEBUG, logger="patchbank")
    detector = PatchCore(**SETTINGS).fit(parts(5))
    detector.save(tmp_path / "a.patchbank")
    load(tmp_path / "a.patchbank")
    list(detector.inspect([b"rubbish"]))
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("INFO", "fitting patchcore on efficientnet_lite0 on 5 photographs") in found
    assert ("INFO", f"opened {tmp_path / 'a.patchbank'}") in found
    assert any(level == "DEBUG" and "efficientnet_lite0" in text for level, text in found)
    (warning,) = [text for level, text in found if level == "WARNING"]
    assert warning.startswith("not inspected: bytes: expected a ")
    assert {record.name for record in caplog.records} == {"patchbank"}


def test_the_logger_is_silent_where_nobody_asked_for_it():
    code = """
from patchbank import PatchCore
from tests.photographs import parts
settings = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
detector = PatchCore(**settings).fit(parts(5))
print(next(detector.inspect([b"rubbish"])).error_type)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("ImageError\n", "")
