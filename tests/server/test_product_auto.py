"""`product=auto`: the service finds the product of a photograph, or says that it shows none."""

import json
import shutil

import jsonschema
import pytest

from patchbank.client import Client, Unread
from tests.pages import ROOT
from tests.server.products import board, encoded, fit_two, noise, ring
from tests.server.real_servers import wait_until
from tests.server.services import Running, check_error, run

pytestmark = [pytest.mark.serve, pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning")]


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    """A folder with the detectors of two products."""
    folder = tmp_path_factory.mktemp("products")
    fit_two(folder)
    return folder


@pytest.fixture(scope="module")
def service(detectors, tmp_path_factory):
    with Running(tmp_path_factory.mktemp("auto") / "data", detectors) as running:
        yield running


def test_a_photograph_is_recorded_for_the_product_that_it_shows(service):
    schema = json.loads((ROOT / "docs/schemas/inspection.schema.json").read_text(encoding="utf-8"))
    own = {p["product"]: p for p in service.http.get("/v1/products").json()["products"]}
    for seed in (100, 101):
        for name, content in (
            ("parts", encoded(ring(seed))),
            ("parts", encoded(ring(seed, defect=9))),
            ("boards", encoded(board(seed))),
            ("boards", encoded(board(seed, defect=8))),
        ):
            answer = service.inspect(content, product="auto")
            assert answer.status_code == 200, answer.text
            found = answer.json()
            jsonschema.validate(found, schema)
            assert found["product"] == name
            assert found["route"]["product"] == found["route"]["nearest"] == name
            assert 0 < found["route"]["margin"] < 1
            digest = own[name]["detector_sha256"]
            assert found["detector_sha256"] == found["route"]["detector_sha256"] == digest
            alone = service.inspect(content, product=name).json()
            for key in ("score", "threshold", "regions", "verdict", "photograph_sha256"):
                assert alone[key] == found[key]
            assert "route" not in alone
            stored = service.http.get(found["links"]["self"]).json()
            assert stored == found


def test_a_part_of_none_of_the_products_has_no_verdict_and_is_on_record(service):
    schema = json.loads((ROOT / "docs/schemas/inspection.schema.json").read_text(encoding="utf-8"))
    answer = service.inspect(encoded(noise(1)), product="auto")
    error = check_error(answer, 422, "no_product")
    assert "none of the products: the nearest" in error["message"]
    assert error["verdict"] == "unread"
    assert error["route"]["product"] is None
    stored = service.http.get(f"/v1/inspections/{error['inspection']}").json()
    jsonschema.validate(stored, schema)
    assert (stored["product"], stored["verdict"], stored["anomalous"]) == ("auto", "unread", None)
    assert stored["error_type"] == "NoProductError"
    assert service.http.get(stored["links"]["photograph"]).content == encoded(noise(1))


def test_the_client_has_the_product_or_raises(service):
    with Client(service.url) as client:
        assert client.inspect(encoded(board(9)), product="auto").product == "boards"
        with pytest.raises(Unread, match="none of the products"):
            client.inspect(encoded(noise(9)), product="auto")


def test_what_cannot_be_read_is_unread(service):
    error = check_error(service.inspect(b"no image", product="auto"), 422, "unread")
    assert "route" not in error
    found = service.http.get(f"/v1/inspections/{error['inspection']}").json()
    assert (found["product"], found["verdict"]) == ("auto", "unread")


@pytest.mark.parametrize("content", [encoded(ring(7)), encoded(noise(7)), b"no image"])
def test_a_key_is_recorded_once(service, content):
    headers = {"Idempotency-Key": f"key {len(content)}"}
    before = len(service.on_record())
    first, second = (service.inspect(content, product="auto", headers=headers) for _ in range(2))
    assert first.status_code == second.status_code
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert first.json() == second.json()
    assert len(service.on_record()) == before + 1


def test_photographs_of_several_products_are_sent_together(service):
    files = [("image", (f"{n}.png", content)) for n, content in enumerate((
        encoded(ring(3)), encoded(board(3)), encoded(noise(3)),
    ))]  # fmt: skip
    answer = service.http.post("/v1/inspections", files=files, data={"product": "auto"})
    found = answer.json()["inspections"]
    assert [one["product"] for one in found] == ["parts", "boards", "auto"]
    assert [one["verdict"] for one in found] == ["good", "good", "unread"]
    assert "none of the products" in found[2]["error"]
    assert found[2]["route"]["product"] is None


def test_a_trial_names_the_product(service):
    def tried(content):
        files = {"image": ("a.png", content)}
        return service.http.post("/v1/trials", files=files, data={"product": "auto"})

    found = tried(encoded(board(5, defect=8))).json()
    schema = json.loads((ROOT / "docs/schemas/trial.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, schema)
    assert (found["product"], found["verdict"], found["route"]["product"]) == (
        *("boards", "anomalous", "boards"),
    )
    assert found["spots"]
    check_error(tried(encoded(noise(5))), 422, "no_product")
    check_error(tried(b"no image"), 422, "unread")


def test_a_product_that_comes_later_is_found(detectors, tmp_path):
    folder = tmp_path / "products"
    folder.mkdir()
    shutil.copy(detectors / "parts.patchbank", folder)
    with Running(tmp_path / "data", folder) as running:
        content = encoded(board(100))
        assert running.inspect(content, product="auto").json()["error"]["code"] == "no_product"
        made = running.http.put(
            "/v1/products/boards/detector",
            params={"reason": "new"},
            content=(detectors / "boards.patchbank").read_bytes(),
        )
        assert made.status_code < 300, made.text
        assert running.inspect(content, product="auto").json()["product"] == "boards"


def test_a_watched_folder_takes_photographs_of_every_product(detectors, tmp_path):
    incoming = tmp_path / "in"
    incoming.mkdir()
    contents = {
        "a.png": encoded(ring(40)),
        "b.png": encoded(board(40, defect=8)),
        "c.png": encoded(noise(40)),
        "d.png": b"no image",
    }
    for name, content in contents.items():
        (incoming / name).write_bytes(content)
    with Running(tmp_path / "data", detectors, "--watch", f"auto={incoming}") as running:
        wait_until(lambda: len(running.on_record()) == len(contents), "records")
        found = {one["image"]: one for one in running.on_record()}
    seen = {name: (one["product"], one["verdict"]) for name, one in found.items()}
    assert seen == {
        "a.png": ("parts", "good"),
        "b.png": ("boards", "anomalous"),
        "c.png": ("auto", "unread"),
        "d.png": ("auto", "unread"),
    }
    assert found["a.png"]["route"]["product"] == "parts"
    assert "none of the products" in found["c.png"]["error"]


def test_a_service_without_products_finds_none(tmp_path):
    with Running(tmp_path / "data") as running:
        check_error(running.inspect(encoded(ring(1)), product="auto"), 404, "unknown_product")


def test_no_product_is_called_auto(detectors, tmp_path, service):
    file = shutil.copy(detectors / "parts.patchbank", tmp_path / "auto.patchbank")
    done = run("serve", file, "--data", tmp_path / "data", "--port", 0)
    assert done.returncode == 2
    assert "expected another name than 'auto'" in done.stderr
    answer = service.http.put(
        "/v1/products/auto/detector", params={"reason": "new"}, content=file.read_bytes()
    )
    error = check_error(answer, 422, "invalid")
    assert "expected another name than 'auto'" in error["message"]
