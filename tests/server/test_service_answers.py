"""Answers of the service are those that its document declares, and errors name what to send."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from patchbank.client import Client
from tests.server.services import Running, check_error, png

pytestmark = pytest.mark.serve
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
INSPECTIONS = "/v1/inspections"
UPDATE = "/v1/products/parts/update"
WHY = {"reason": "a test"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def document(service):
    """The document of the interface."""
    return service.http.get("/openapi.json").json()


def check_as_declared(document, path, method, response):
    """Check an answer against what the document says of its status."""
    declared = document["paths"][path][method]["responses"]
    assert str(response.status_code) in declared, response.text
    schema = declared[str(response.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(response.json(), {**schema, "components": document["components"]})


def inspection_schema():
    """The schema of the docs."""
    return json.loads((SCHEMAS / "inspection.schema.json").read_text(encoding="utf-8"))


def images(*contents):
    """Parts `image` of a form."""
    return [("image", (f"{n}.png", content)) for n, content in enumerate(contents)]


def test_one_and_several_photographs_are_answered_as_the_document_declares(service, document):
    for contents in ([png(1)], [png(1), b"no image"]):
        response = service.http.post(INSPECTIONS, files=images(*contents))
        assert response.status_code == 200
        check_as_declared(document, INSPECTIONS, "post", response)
        assert ("inspections" in response.json()) == (len(contents) > 1)
    schema = document["paths"][INSPECTIONS]["post"]["responses"]["200"]["content"]
    declared = {**schema["application/json"]["schema"], "components": document["components"]}
    (example,) = document["components"]["schemas"]["Inspections"]["examples"]
    jsonschema.validate(example, declared)
    for other in ({}, {"inspections": {}}, {"inspections": [{"error": "a text alone"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(other, declared)


def test_a_product_that_is_not_known_is_a_declared_answer(service, document):
    for path in (INSPECTIONS, "/v1/trials"):
        response = service.http.post(path, files=images(png()), data={"product": "nuts"})
        check_error(response, 404, "unknown_product")
        check_as_declared(document, path, "post", response)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/products"), ("GET", "/ready")])
def test_a_body_that_is_too_large_is_a_declared_answer_of_each_route(
    service, document, method, path
):
    response = service.http.request(method, path, content=b" " * 1_000_001)
    check_error(response, 413, "too_large")
    check_as_declared(document, path, method.lower(), response)


def test_every_route_declares_what_the_checks_before_it_answer(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            of_tokens = {"401", "403", "429"} if operation["x-role"] != "public" else set()
            expected = {"400", "413", "422", "500", "503"} | of_tokens
            assert expected <= set(operation["responses"]), (method, path)
            assert ("{" not in path) or "404" in operation["responses"] or path in WITHOUT_404


WITHOUT_404 = ("/v1/products/{name}/detector", "/v1/reviews/claims/{reviewer}")
"""Routes that make what their path names, or find nothing to give back."""


def test_an_update_with_a_deleted_photograph_is_a_declared_answer(fitted, tmp_path):
    import shutil

    file = shutil.copy(fitted, tmp_path / "parts.patchbank")
    with Running(tmp_path / "data", file) as running:
        document = running.http.get("/openapi.json").json()
        number = running.inspect(png(201, defect=9)).json()["id"]
        shutil.rmtree(tmp_path / "data" / "pictures")
        for end in ("update", "update/preview"):
            path = f"/v1/products/parts/{end}"
            response = running.http.post(path, json={"good": [number], **WHY})
            check_error(response, 410, "gone")
            check_as_declared(document, path.replace("parts", "{name}"), "post", response)


def test_each_item_of_several_is_what_the_record_has(service):
    response = service.http.post(INSPECTIONS, files=images(png(1), b"no image", png(202, defect=9)))
    items = response.json()["inspections"]
    assert [one["verdict"] for one in items] == ["good", "unread", "anomalous"]
    for one in items:
        jsonschema.validate(one, inspection_schema())
        assert one == service.http.get(one["links"]["self"]).json()
    assert isinstance(items[1]["error"], str)


def test_an_item_without_a_record_has_an_error_of_the_one_shape_and_no_verdict(service, document):
    service.http.post(INSPECTIONS, content=png(1), headers={"Idempotency-Key": "answers/1"})
    response = service.http.post(
        INSPECTIONS, files=images(png(1), png(2)), headers={"Idempotency-Key": "answers"}
    )
    check_as_declared(document, INSPECTIONS, "post", response)
    first, second = response.json()["inspections"]
    assert first["verdict"] == "good"
    assert second.keys() == {"error"}
    assert (second["error"]["status"], second["error"]["code"]) == (422, "key_reused")


def test_the_client_reads_what_several_photographs_left_on_record(service):
    files = images(b"no image", png(1))
    service.http.post(INSPECTIONS, files=files, data={"lot": "for the client"})
    with Client(service.url) as client:
        found = list(client.inspections(lot="for the client"))
    assert [one.verdict for one in found] == ["good", "unread"]
    assert found[1].error.startswith("0.png: expected ")


@pytest.fixture(scope="module")
def setup_url(service):
    """The path of a set-up without photographs."""
    made = service.http.post("/v1/setups", json={"product": "parts"}).json()
    return made["links"]["self"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (INSPECTIONS, "image"),
        ("/v1/trials", "image"),
        ("{setup}/photographs", "image"),
        ("{setup}/try", "image"),
        (UPDATE, "good"),
        (f"{UPDATE}/preview", "good"),
    ],
)
@pytest.mark.parametrize("text", ["photo.png", "x" * 2_000_000], ids=["short", "long"])
def test_a_text_in_place_of_a_photograph_is_named(service, setup_url, path, name, text):
    form = {name: (None, text)}  # as curl sends it without the @
    response = service.http.post(path.format(setup=setup_url), files=form)
    error = check_error(response, 422, "invalid")
    assert error["message"] == (
        f"{name}: expected a file, got a text without a file name; curl needs {name}=@FILE"
    )


@pytest.mark.parametrize("path", [INSPECTIONS, "/v1/trials"])
@pytest.mark.parametrize("name", ["product", "lot"])
def test_a_file_in_place_of_a_text_is_named(service, path, name):
    form = [*images(png()), (name, ("L42.txt", b"L42"))]
    error = check_error(service.http.post(path, files=form), 422, "invalid")
    assert error["message"] == f"{name}: expected a text, got a file; curl needs {name}=TEXT"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (INSPECTIONS, "'image'"),
        ("{setup}/photographs", "'image'"),
        ("{setup}/try", "'image'"),
        (UPDATE, "good or request"),
    ],
)
@pytest.mark.parametrize("given", ["text", "file"])
def test_a_part_of_an_unknown_name_is_told_the_known_ones(
    service, setup_url, path, expected, given
):
    form = {"picture": (None, "x") if given == "text" else ("a.png", png())}
    message = check_error(service.http.post(path.format(setup=setup_url), files=form), 422)
    assert message["message"].startswith("part: expected ")
    assert message["message"].endswith(", got 'picture'")
    if given == "file":
        assert expected in message["message"]


@pytest.mark.parametrize("end", ["photographs", "try"])
@pytest.mark.parametrize(("kind", "got"), [("image/png", "the type 'image/png'"), ("", "no type")])
def test_a_photograph_in_place_of_a_form_is_told_what_is_expected(
    service, setup_url, end, kind, got
):
    headers = {"Content-Type": kind} if kind else {}
    response = service.http.post(f"{setup_url}/{end}", content=png(), headers=headers)
    assert check_error(response, 400, "bad_request")["message"] == (
        f"body: expected a form of type multipart/form-data, got {got}; "
        "curl -F image=@FILE sends one"
    )


SEND = "send it as a form (curl -F image=@FILE), or its bytes with the type of an image"


@pytest.mark.parametrize("path", [INSPECTIONS, "/v1/trials"])
@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (
            b'{"product": "parts", "image": "aGVsbG8="}',
            422,
            "body: expected a photograph, got JSON with 'product', 'image'",
        ),
        (b"{}", 422, "body: expected a photograph, got JSON with nothing in it"),
        (b"[1, 2]", 422, "body: expected a JSON object, got list"),
        (b"nonsense", 400, "body: expected JSON, got: Expecting value"),
        (b"", 400, "body: expected JSON, got: Expecting value"),
        (png(), 400, "body: expected JSON, got bytes that are no text"),
    ],
    ids=["base64", "empty", "list", "nonsense", "nothing", "PNG"],
)
def test_json_without_paths_is_told_what_is_wrong_and_what_to_send(
    service, path, content, status, message
):
    error = check_error(service.http.post(path, content=content, headers=JSON), status)
    assert error["message"].startswith(message)
    assert error["message"].endswith(SEND)
    assert error["code"] != "paths_refused"


@pytest.mark.parametrize("paths", [["a.png"], [], "a.png"])
def test_paths_are_refused_where_no_folder_is_allowed(service, paths):
    response = service.http.post(INSPECTIONS, json={"paths": paths, "lot": "x"})
    error = check_error(response, 403, "paths_refused")
    assert "--allow-root DIR" in error["message"]


def test_other_routes_say_as_well_that_bytes_are_no_json(service):
    error = check_error(service.http.post(UPDATE, content=png(), headers=JSON), 400)
    assert error["message"] == "body: expected JSON, got bytes that are no text"


def test_an_update_takes_numbers_and_objects_alike(fitted, tmp_path):
    import shutil

    answers = []
    for shape in (lambda number: number, lambda number: {"inspection": number}):
        folder = tmp_path / str(len(answers))
        folder.mkdir()
        file = shutil.copy(fitted, folder / "parts.patchbank")
        with Running(folder / "data", file, "--keep-good", "1") as running:
            good = running.inspect(png(1)).json()["id"]
            flagged = running.inspect(png(201, defect=9)).json()["id"]
            other = running.inspect(png(202, defect=9)).json()["id"]
            lessons = {
                "good": [shape(good)],
                "normal": [shape(flagged)],
                "must_find": [shape(other)],
                "remember": [shape(other)],
                "force": True,
            }
            response = running.http.post(UPDATE, json={**lessons, **WHY})
            assert response.status_code == 200, response.text
            answers.append(response.json())
    assert answers[0]["changed"]
    assert answers[0]["lines"] == answers[1]["lines"]
    assert answers[0]["threshold"] == answers[1]["threshold"]


NUMBER = 'the number of an inspection, as 7 or {"inspection": 7}'


@pytest.mark.parametrize("name", ["good", "normal", "must_find", "remember"])
@pytest.mark.parametrize("other", ["17.png", 1.5, True, 0, 2**70, [1], {"id": 1}, {}, None])
def test_an_update_says_which_shape_is_expected(service, name, other):
    response = service.http.post(UPDATE, json={name: [other], **WHY})
    error = check_error(response, 422, "invalid")
    assert error["message"].startswith(f"{name}.0: expected {NUMBER}")


def test_regions_belong_to_what_is_normal_alone(service):
    given = [{"inspection": 1, "regions": [1]}]
    error = check_error(service.http.post(UPDATE, json={"good": given, **WHY}), 422)
    assert error["message"].startswith(f"good.0: expected {NUMBER}, got ")
    given = [{"inspection": 1, "region": [1]}]
    error = check_error(service.http.post(UPDATE, json={"normal": given, **WHY}), 422)
    assert error["message"] == "normal.0.region: expected none of that name, got one"
