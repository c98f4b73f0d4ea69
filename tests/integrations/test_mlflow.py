"""Models of MLflow: saved, logged, loaded, and served by MLflow's own server over HTTP."""

import base64
import http.server
import json
import os
import pickletools
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

import patchbank
from patchbank import DataError, DetectorFileError, PatchCore
from patchbank.integrations import mlflow as flavour
from tests.photographs import part, save

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),  # MLflow of pandas
]

SMALL = PatchCore(image_size=96, bank_limit=100, false_alarm_rate=0.2)
COLUMNS = ["score", "p_value", "is_anomalous", "threshold", "error"]
PATIENCE_S = 240  # a server imports much, on machines that others use too


@pytest.fixture(scope="module")
def detector():
    return SMALL.fit([part(seed) for seed in range(9)]).with_card(title="Plates")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """-> a good and a defective photograph as files."""
    folder = tmp_path_factory.mktemp("photographs")
    images = {"good.png": part(50), "blot.png": part(51, defect=9)}
    return [str(save(folder / name, image)) for name, image in images.items()]


@pytest.fixture(scope="module")
def folder(detector, tmp_path_factory):
    """-> the folder of a model that reads files."""
    path = tmp_path_factory.mktemp("models") / "plates"
    flavour.save_model(detector, path, input_example=pd.DataFrame({"image": [text_of(part(50))]}))
    return path


@pytest.fixture
def tracking(tmp_path, monkeypatch):
    """Runs and registered models in a folder of this test."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(str(tmp_path / "runs"))
    yield
    mlflow.set_tracking_uri(None)


def text_of(image):
    """Base64 of an image as a PNG."""
    import io

    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, "png")
    return base64.b64encode(content.getvalue()).decode()


def rows_of(detector, paths):
    seen = [detector.predict(path) for path in paths]
    return [[one.score, one.p_value, one.is_anomalous, one.threshold, None] for one in seen]


def assert_rows(found, expected):
    assert list(found.columns) == COLUMNS
    assert found.astype(object).to_numpy().tolist() == expected


def test_the_folder_has_the_detector_file_both_flavours_and_nothing_pickled(detector, folder):
    record = yaml.safe_load((folder / "MLmodel").read_text())
    own, python = record["flavors"]["patchbank"], record["flavors"]["python_function"]
    assert own["detector_sha256"] == detector.sha256
    assert python["loader_module"] == "patchbank.integrations.mlflow"
    assert python["data"] == own["data"] == "data/detector.patchbank"
    version = patchbank.__version__
    assert f"patchbank[mlflow]=={version}" in (folder / "requirements.txt").read_text().split()
    assert json.loads(record["signature"]["inputs"])[0]["name"] == "image"
    assert [one["name"] for one in json.loads(record["signature"]["outputs"])] == COLUMNS
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert path.suffix not in (".pkl", ".pickle"), path
        with pytest.raises((ValueError, UnicodeDecodeError)):
            list(pickletools.genops(path.read_bytes()))


def test_a_file_is_copied_as_it_is(detector, tmp_path):
    file = tmp_path / "a.patchbank"
    detector.save(file)
    flavour.save_model(file, tmp_path / "model", pip_requirements=["patchbank==9"])
    assert (tmp_path / "model" / "data" / "detector.patchbank").read_bytes() == file.read_bytes()
    assert "patchbank==9" in (tmp_path / "model" / "requirements.txt").read_text()
    (tmp_path / "no.patchbank").write_bytes(b"no detector")
    with pytest.raises(DetectorFileError, match="expected a detector file, got something else"):
        flavour.save_model(tmp_path / "no.patchbank", tmp_path / "other")
    with pytest.raises(DetectorFileError, match="expected a readable file"):
        flavour.save_model(tmp_path / "none.patchbank", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_flavour_gives_the_detector_back(detector, folder):
    found = flavour.load_model(str(folder), device="cpu")
    assert found == detector
    assert found.card.title == "Plates"
    assert flavour.load_model(str(folder), false_alarm_rate=0.5) != detector


def test_a_file_that_is_not_the_saved_one_is_refused(folder, tmp_path, detector):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(folder), str(copy)], check=True)
    detector.with_threshold(99.0).save(copy / "data" / "detector.patchbank")
    with pytest.raises(DetectorFileError, match="expected the file with the sha256"):
        flavour.load_model(str(copy))


def test_a_model_of_another_flavour_is_refused(tmp_path):
    module = tmp_path / "other.py"
    module.write_text(
        "import mlflow\n"
        "class Other(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, model_input: list[str]) -> list[str]:\n"
        "        return model_input\n"
        "mlflow.models.set_model(Other())\n"
    )
    mlflow.pyfunc.save_model(
        tmp_path / "other", python_model=str(module), pip_requirements=["patchbank"]
    )
    with pytest.raises(DataError, match="expected a model of the flavour patchbank, got one of"):
        flavour.load_model(str(tmp_path / "other"))


def test_a_logged_model_is_loaded_from_its_run_and_from_the_registry(detector, paths, tracking):
    with mlflow.start_run() as run:
        logged = flavour.log_model(detector, "plates", registered_model_name="plates")
    assert logged.run_id == run.info.run_id
    assert set(logged.flavors) == {"patchbank", "python_function"}
    assert flavour.load_model(logged.model_uri) == detector
    assert flavour.load_model("models:/plates/1") == detector
    model = mlflow.pyfunc.load_model("models:/plates/1")
    assert_rows(model.predict(pd.DataFrame({"image": paths})), rows_of(detector, paths))


def test_verdicts_are_those_of_the_detector_in_every_form_of_a_photograph(detector, folder, paths):
    model = mlflow.pyfunc.load_model(str(folder))
    good, blot = paths
    content = Path(blot).read_bytes()
    plain = base64.b64encode(content).decode()
    forms = [
        good,
        blot,
        Path(blot),
        f"file://{blot}",
        plain,
        base64.encodebytes(content).decode(),  # in lines
        f"data:image/png;base64,{plain}",
        content,
        part(51, defect=9),
    ]
    found = model.predict(pd.DataFrame({"image": forms}, index=range(10, 19)))
    assert found.index.tolist() == list(range(10, 19))
    (first, second) = rows_of(detector, paths)
    assert_rows(found, [first] + [second] * 8)
    assert [str(kind) for kind in found.dtypes] == [
        "float64",
        "float64",
        "bool",
        "float64",
        "object",
    ]
    assert second[2]
    assert not first[2]


def test_a_photograph_is_fetched_from_a_url(detector, folder, paths):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(Path(paths[0]).parent))
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    model = mlflow.pyfunc.load_model(str(folder))
    try:
        found = model.predict(pd.DataFrame({"image": [f"{url}/blot.png", f"{url}/none.png"]}))
    finally:
        server.shutdown()
        server.server_close()
    assert found.astype(object).to_numpy().tolist()[0] == rows_of(detector, paths)[1]
    assert found["score"][1] is None
    assert found["error"][1].startswith(f"{url}/none.png: expected a photograph, got: 404")


def test_what_cannot_be_read_has_an_error_and_is_never_normal(detector, folder, paths, tmp_path):
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(paths[0]).read_bytes()[:500])
    bad = [
        str(cut),
        str(tmp_path / "missing.png"),
        None,
        float("nan"),
        "",
        base64.b64encode(b"no photograph at all").decode(),
        "data:image/png,abc",
        7,
    ]
    model = mlflow.pyfunc.load_model(str(folder))
    found = model.predict(pd.DataFrame({"image": [paths[0], *bad]}))
    assert found["error"][0] is None
    assert found["is_anomalous"][0] is False or found["is_anomalous"][0] == np.False_
    for row in range(1, len(bad) + 1):
        assert found.loc[row, COLUMNS[:4]].tolist() == [None] * 4
        assert "\n" not in found["error"][row]
        assert "expected" in found["error"][row]
    assert "cut.png" in found["error"][1]
    assert "No such file" in found["error"][2]
    assert (found["is_anomalous"] == False).sum() == 1  # noqa: E712


def test_a_model_that_reads_no_files_inspects_only_what_it_is_given(detector, paths, tmp_path):
    flavour.save_model(detector, tmp_path / "closed", read_files=False)
    model = mlflow.pyfunc.load_model(str(tmp_path / "closed"))
    texts = [*paths, f"file://{paths[0]}", "http://127.0.0.1:9/a.png", Path(paths[0])]
    found = model.predict(pd.DataFrame({"image": [*texts, text_of(part(50))]}))
    assert found["score"][:5].tolist() == [None] * 5
    assert all("reads no paths and URLs" in error for error in found["error"][:5])
    assert found["score"][5] == detector.predict(part(50)).score
    opened = mlflow.pyfunc.load_model(str(tmp_path / "closed"), model_config={"read_files": True})
    assert opened.predict(pd.DataFrame({"image": paths}))["error"].tolist() == [None, None]
    with pytest.raises(DataError, match="read_files: expected true or false, got 'no'"):
        mlflow.pyfunc.load_model(str(tmp_path / "closed"), model_config={"read_files": "no"})


def test_the_column_is_named_or_the_only_one(detector, paths):
    model = flavour.PhotographModel(detector, read_files=True)
    only = model.predict(pd.DataFrame({"photo": paths}))
    named = model.predict(pd.DataFrame({"lot": [1, 2], "image": paths}))
    assert only.equals(named)
    for wrong in (pd.DataFrame({"a": paths, "b": paths}), pd.DataFrame()):
        with pytest.raises(DataError, match="input: expected one column image"):
            model.predict(wrong)
    with pytest.raises(
        DataError, match="input: expected a DataFrame with a column image, got list"
    ):
        model.predict(paths)
    assert model.predict(pd.DataFrame({"image": []})).empty


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def served(folder):
    """-> the address of `mlflow models serve` as a process of its own."""
    port = free_port()
    command = [*("-m", "mlflow", "models", "serve", "-m"), str(folder), "--env-manager", "local"]
    binaries = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    process = subprocess.Popen(
        [sys.executable, *command, "-h", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "PATH": binaries},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + PATIENCE_S
    try:
        while not answers(f"{url}/ping"):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=60)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def asked(url, content):
    """-> status and JSON of an answer, which has no NaN."""
    body = json.dumps(content).encode()
    request = urllib.request.Request(
        f"{url}/invocations", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer, parse_constant=pytest.fail)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_real_server_answers_over_http_with_the_verdicts_of_the_detector(served, detector, paths):
    texts = [base64.b64encode(Path(path).read_bytes()).decode() for path in paths]
    status, found = asked(
        served, {"dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]}}
    )
    assert status == 200
    expected = [dict(zip(COLUMNS, row, strict=True)) for row in rows_of(detector, paths)]
    assert found["predictions"] == expected
    status, found = asked(served, {"inputs": {"image": texts}})
    assert (status, found["predictions"]) == (200, expected)
    assert asked(served, {"dataframe_records": [{"photo": texts[0]}]})[0] == 400


def test_a_real_server_answers_null_and_an_error_for_what_it_cannot_read(served, paths):
    rows = [{"image": text} for text in (paths[1], "none.png", "AAAA")]
    status, found = asked(served, {"dataframe_records": rows})
    assert status == 200
    first, *others = found["predictions"]
    assert (first["is_anomalous"], first["error"]) == (True, None)
    for one in others:
        assert [one[name] for name in COLUMNS[:4]] == [None] * 4
        assert one["error"]
