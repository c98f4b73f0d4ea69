"""Set-ups over HTTP: who may, what may be sent, jobs, restarts, and a product that comes of it."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time

import pytest
from PIL import Image

from patchbank.images.source import image_source
from patchbank.runtime.percent import percent, percent_at_most
from patchbank.server.service.setups.earlier import is_other, seen_by
from tests.photographs import part, save
from tests.server.pages.bolts import bolt
from tests.server.services import Running, bearer, check_error, make_token, png

pytestmark = pytest.mark.serve
WAIT_S = 240.0
LIMIT = 300_000


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A service without a product, with tokens, a folder that it may read, and a small limit."""
    folder = tmp_path_factory.mktemp("empty")
    for seed in range(3):
        save(folder / "camera" / "good" / f"{seed}.png", part(seed))
    (folder / "camera" / "good" / "readme.txt").write_text("no photograph")
    (folder / "secret").mkdir()
    save(folder / "secret" / "hidden.png", part(9))
    (folder / "camera" / "good" / "link.png").symlink_to(folder / "secret" / "hidden.png")
    (folder / "camera" / "out").symlink_to(folder / "secret")
    data = folder / "data"
    secrets = {role: make_token(data, f"a-{role}", role) for role in ("operator", "engineer")}
    secrets["admin"] = make_token(data, "eva", "admin")
    options = ("--allow-root", folder / "camera", "--max-bytes", LIMIT, "--keep-good", 1)
    with Running(data, *options) as running:
        running.secrets = secrets
        running.http.headers.update(bearer(secrets["admin"]))
        yield running


def begun(running, product="bolts") -> str:
    response = running.http.post("/v1/setups", json={"product": product})
    assert response.status_code == 201, response.text
    return response.json()["id"]


def sent(running, setup, *files, **options):
    parts = [("image", one) for one in files]
    return running.http.post(f"/v1/setups/{setup}/photographs", files=parts, **options)


def ended(running, job):
    assert job.status_code == 200, job.text
    number = job.json()["id"]
    for _ in range(int(WAIT_S / 0.05)):
        found = running.http.get(f"/v1/jobs/{number}").json()
        if found["state"] not in ("waiting", "running"):
            return found
        threading.Event().wait(0.05)
    raise AssertionError(found)


def test_a_service_without_a_product_says_so_and_waits_for_one(empty):
    assert "0 products" in empty.log
    assert "products" in check_error(empty.http.get("/ready"), 503, "not_ready")["message"]
    assert empty.http.get("/v1/products").json() == {"products": []}
    check_error(empty.inspect(png()), 422)


def test_from_photographs_to_a_verdict(empty):
    setup = begun(empty, "parts")
    files = [(f"../{seed}.png", png(seed)) for seed in range(3)]
    answer = sent(empty, setup, *files, ("cut.png", png(4)[:700]), ("a.txt", b"text")).json()
    assert answer["added"] == ["0.png", "1.png", "2.png", "cut.png"]
    assert [one["name"] for one in answer["refused"]] == ["a.txt"]
    own = f"/v1/setups/{setup}"
    check_error(empty.http.post(f"{own}/activate", json={"reason": "too early"}), 409)
    check_error(empty.http.post(f"{own}/try", files={"image": ("1.png", png(1))}), 409)
    assert ended(empty, empty.http.post(f"{own}/check"))["state"] == "done"
    checked = json.loads((empty.data / "setups" / setup / "check.json").read_bytes())
    assert [one["kind"] for one in checked["findings"]] == ["unreadable"]
    left_out = empty.http.post(f"{own}/left-out", json={"names": ["cut.png"]}).json()
    assert (left_out["photographs"], left_out["left_out"], left_out["is_fitted"]) == (4, 1, False)
    fit = {"preset": "fast", "false_alarm_rate": 0.2}
    done = ended(empty, empty.http.post(f"{own}/fit", json=fit))
    assert (done["state"], done["result"]) == ("done", {"setup": setup, "task": "fit"})
    facts = empty.http.get(own).json()
    assert (facts["is_fitted"], facts["task"], facts["activated"]) == (True, None, None)
    report = empty.http.get(f"{own}/fit/report")
    assert b"3 good photographs" in report.content
    policy = report.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups; default-src 'none'")
    assert "script" not in policy
    assert empty.http.get(f"{own}/fit/odd/2").headers["content-type"] == "image/jpeg"
    check_error(empty.http.get(f"{own}/fit/odd/3"), 404)
    tried = empty.http.post(f"{own}/try", files={"image": ("d.png", png(9, defect=60))}).json()
    assert (tried["anomalous"], tried["error"]) == (True, None)
    assert tried["share"] > 1
    picture = empty.http.get(f"{own}/tried/{tried['key']}")
    assert picture.headers["content-type"] == "image/jpeg"
    cut = empty.http.post(f"{own}/try", files={"image": ("cut.png", png(9)[:700])}).json()
    assert cut["error"].startswith("cut.png: expected a readable image")
    check_error(empty.http.get(f"{own}/tried/{tried['key']}"), 404)
    check_error(empty.http.post(f"{own}/try", files={"image": ("a.txt", b"text")}), 422)
    assert empty.on_record() == []
    engineer = bearer(empty.secrets["engineer"])
    refused = empty.http.post(f"{own}/activate", json={"reason": "new"}, headers=engineer)
    assert "role admin for a new product" in check_error(refused, 403)["message"]
    check_error(empty.http.post(f"{own}/activate", json={"reason": " "}), 422)
    changed = empty.http.post(f"{own}/activate", json={"reason": "the first one"}).json()
    assert (changed["product"], changed["changed"]) == ("parts", True)
    assert empty.inspect(png(50)).json()["product"] == "parts"
    entry = empty.http.get("/v1/audit").json()["audit"][0]
    assert (entry["by"], entry["product"]) == ("eva", "parts")
    assert entry["details"]["reason"] == "the first one"
    # An engineer may make another detector for a product that is there.
    again = empty.http.post("/v1/setups", json={"product": "parts"}, headers=engineer)
    assert again.status_code == 201


def small_bolt(seed) -> bytes:
    """Another product than `png`, in a file that the small limit lets pass."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(bolt(seed))).resize((180, 120)).save(stream, "PNG")
    return stream.getvalue()


def page_of(running, path) -> str:
    response = running.http.get(path, headers={"accept": "text/html"})
    assert response.status_code == 200, response.text
    return response.text


@pytest.fixture
def first(empty):
    """The set-up whose detector is in use; made here where no test of this process has made it."""
    for one in empty.http.get("/v1/setups").json()["setups"]:
        if one["activated"]:
            return one
    setup = begun(empty, "parts")
    sent(empty, setup, *[(f"{seed}.png", png(seed)) for seed in range(3)])
    fit = {"preset": "fast", "false_alarm_rate": 0.2}
    assert ended(empty, empty.http.post(f"/v1/setups/{setup}/fit", json=fit))["state"] == "done"
    empty.http.post(f"/v1/setups/{setup}/activate", json={"reason": "the first one"})
    empty.inspect(png(50))
    return empty.http.get(f"/v1/setups/{setup}").json()


def test_pages_of_a_set_up_keep_what_was_asked_for_and_know_another_product(empty, first):
    shown = page_of(empty, f"/products/parts/new/{first['id']}")
    assert 'value="fast" checked' in shown
    assert '<option value="0.2" data-needed="4" selected>' in shown
    facts = json.loads((empty.data / "setups" / first["id"] / "fit" / "facts.json").read_bytes())
    bound = percent_at_most(facts["guaranteed_false_alarm_rate"])
    assert f"<dd>{bound}</dd>" in shown
    assert f"About {percent(facts['expected_false_alarm_rate'])} of good parts" in shown
    report = empty.http.get(f"/v1/setups/{first['id']}/fit/report").text
    assert bound in report
    assert "parts is in use" in shown
    assert "-F product=parts http://" in shown
    learned = empty.http.get("/products/parts/photograph")
    assert (learned.status_code, learned.headers["content-type"]) == (200, "image/jpeg")
    tile = page_of(empty, "/line")
    assert "OK 1" in tile or "NG 1" in tile
    assert "Last part" in tile
    assert "no log-in on this service" not in tile

    other = begun(empty, "parts")
    sent(empty, other, *[(f"{seed}.png", small_bolt(seed)) for seed in range(3)])
    own = f"/products/parts/new/{other}"
    assert "have not been checked" in page_of(empty, own)
    assert 'value="balanced" checked' in page_of(empty, own)
    fit = {"preset": "fast", "false_alarm_rate": 0.2}
    assert ended(empty, empty.http.post(f"/v1/setups/{other}/fit", json=fit))["state"] == "done"
    folder = empty.data / "setups"
    facts = json.loads((folder / other / "fit" / "facts.json").read_bytes())
    assert facts["seen_before"] == {"inspected": 3, "odd": 3}
    assert "calls 3 of 3 of these photographs NG" in page_of(empty, own)
    detector = str(folder / first["id"] / "fit" / "detector.patchbank")
    sources = [image_source(path) for path in (folder / first["id"] / "good").iterdir()]
    same = seen_by(detector, [one for one in sources if "cut" not in str(one.name)], "cpu", None)
    assert same["inspected"] == 3
    assert not is_other(same)

    copies = [{"name": f"{n}.png", "detail": ""} for n in range(3)]
    finding = {
        "kind": "near_copies",
        "photographs": copies,
        "groups": [["0.png", "1.png"], ["2.png"]],
    }
    content = {"good_photographs": 3, "findings": [finding], "notes": [], "names": []}
    (folder / other / "check.json").write_text(json.dumps(content))
    assert page_of(empty, own).count('role="group" aria-label="Copies of each other"') == 2


def test_roles_are_those_of_detectors(empty):
    setup = begun(empty, "nuts")
    operator, engineer = (bearer(empty.secrets[role]) for role in ("operator", "engineer"))
    check_error(empty.http.get("/v1/setups", headers=operator), 403)
    refused = empty.http.post("/v1/setups", json={"product": "screws"}, headers=engineer)
    assert "role admin for a new product" in check_error(refused, 403)["message"]
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/photographs"),
        ("POST", "/check"),
        ("GET", "/fit/report"),
    ):
        response = empty.http.request(method, f"/v1/setups/{setup}{path}", headers=engineer)
        check_error(response, 403)
    assert sent(empty, setup, ("1.png", png(1)), headers=engineer).status_code == 403
    assert empty.http.get(f"/v1/setups/{setup}").json()["photographs"] == 0


@pytest.mark.parametrize("name", ["", "../x", "a/b", "<script>", "new", "x" * 101, ".hidden", "ü"])
def test_a_name_of_a_product_is_one_of_a_file(empty, name):
    check_error(empty.http.post("/v1/setups", json={"product": name}), 422)


def test_what_is_too_large_or_no_form_is_refused_and_nothing_is_kept(empty):
    setup = begun(empty)
    large = ("large.png", png(1) + bytes(LIMIT))
    check_error(sent(empty, setup, large), 413, "too_large")
    path = f"/v1/setups/{setup}/photographs"
    check_error(empty.http.post(path, content=png(1)), 400)
    check_error(empty.http.post(path, files=[("picture", ("1.png", png(1)))]), 422)
    check_error(empty.http.post(path, files=[("image", ("1.png", png(1)))], data={"x": "1"}), 422)
    assert empty.http.get(path).json() == {"photographs": [], "is_cut": False}


def test_photographs_are_listed_in_pages_and_removed(empty):
    setup = begun(empty)
    sent(empty, setup, *[(f"{seed}.png", png(seed)) for seed in range(3)])
    path = f"/v1/setups/{setup}/photographs"
    first = empty.http.get(path, params={"limit": 2}).json()
    assert ([one["name"] for one in first["photographs"]], first["is_cut"]) == (
        ["0.png", "1.png"],
        True,
    )
    rest = empty.http.get(path, params={"limit": 2, "after": "1.png"}).json()
    assert ([one["name"] for one in rest["photographs"]], rest["is_cut"]) == (["2.png"], False)
    assert empty.http.delete(f"{path}/2.png").json()["photographs"] == 2
    check_error(empty.http.delete(f"{path}/2.png"), 404)
    check_error(empty.http.get(f"{path}/..%2Fsetup.json/small"), 404)
    check_error(empty.http.get(f"{path}/0.png/huge"), 422)
    small = empty.http.get(f"{path}/0.png/small")
    assert small.headers["content-type"] == "image/jpeg"


def test_a_folder_of_the_server_is_copied_and_links_lead_nowhere(empty):
    setup = begun(empty)
    path = f"/v1/setups/{setup}/copy"
    done = ended(empty, empty.http.post(path, json={"folder": "good"}))
    assert done["state"] == "done"
    assert done["notes"] == ["1 files were not copied: link.png"]
    listed = empty.http.get(f"/v1/setups/{setup}/photographs").json()["photographs"]
    assert [one["name"] for one in listed] == ["0.png", "1.png", "2.png"]
    for folder, status in (("..", 403), ("/etc", 403), ("out", 403), ("none", 404), ("\0", 404)):
        check_error(empty.http.post(path, json={"folder": folder}), status)


def test_a_job_that_fails_or_is_cancelled_leaves_the_fit_before(empty):
    setup = begun(empty)
    own = f"/v1/setups/{setup}"
    check_error(empty.http.post(f"{own}/check"), 422)
    sent(empty, setup, ("cut.png", png(1)[:700]))
    failed = ended(empty, empty.http.post(f"{own}/fit", json={"preset": "fast"}))
    assert failed["state"] == "failed"
    facts = empty.http.get(own).json()
    assert (facts["ended"], facts["error"]) == ("failed", failed["error"])
    assert "cut.png" in facts["error"]
    folder = empty.data / "setups" / setup
    (folder / "fit").mkdir()
    (folder / "fit" / "detector.patchbank").write_bytes(b"the one before")
    sent(empty, setup, *[(f"{seed}.png", png(seed)) for seed in range(3)])
    job = empty.http.post(f"{own}/fit", json={"preset": "accurate"})
    check_error(empty.http.post(f"{own}/check"), 409, "change_under_way")
    waiting = begun(empty)
    sent(empty, waiting, ("1.png", png(1)))
    second = empty.http.post(f"/v1/setups/{waiting}/check")
    assert second.json()["state"] == "waiting"
    empty.http.delete(f"/v1/jobs/{second.json()['id']}")
    empty.http.delete(f"/v1/jobs/{job.json()['id']}")
    assert ended(empty, job)["state"] == "cancelled"
    assert ended(empty, second)["state"] == "cancelled"
    for each in (setup, waiting):
        facts = empty.http.get(f"/v1/setups/{each}").json()
        assert (facts["task"], facts["ended"]) == (None, "cancelled")
    assert not (folder / "fitting").exists()
    assert (folder / "fit" / "detector.patchbank").read_bytes() == b"the one before"


def test_set_ups_outlive_a_service_that_is_killed_and_its_work_does_not(fitted, tmp_path):
    data = tmp_path / "data"
    file = shutil.copy(fitted, tmp_path / "parts.patchbank")
    with Running(data, file) as running:
        setup = begun(running)
        sent(running, setup, *[(f"{seed}.png", png(seed)) for seed in range(3)])
        job = running.http.post(f"/v1/setups/{setup}/fit", json={"preset": "accurate"}).json()
        while running.http.get(f"/v1/jobs/{job['id']}").json()["state"] != "running":
            threading.Event().wait(0.02)
        running.process.kill()
    with Running(data, file) as running:
        facts = running.http.get(f"/v1/setups/{setup}").json()
        assert (facts["photographs"], facts["task"], facts["ended"]) == (3, None, "interrupted")
        assert running.http.get("/v1/jobs").json() == {"jobs": []}
        assert running.http.delete(f"/v1/setups/{setup}").json()["discarded"]
        check_error(running.http.get(f"/v1/setups/{setup}"), 404)
        assert list((data / "setups").iterdir()) == []
        assert running.stop() == 0


def test_two_detectors_are_compared_on_the_kept_parts_until_the_comparison_is_old(service):
    from patchbank.server.service.setups.comparisons import KEPT_DAYS, Comparisons

    path, http = "/v1/products/parts/comparisons", service.http
    first = http.get("/v1/products/parts").json()["detector_sha256"]
    tuned = {"threshold": 1e6, "reason": "nothing is NG"}
    second = http.post("/v1/products/parts/tune", json=tuned).json()["detector_sha256"]
    pair = {"a": first, "b": second}
    failed = ended(service, http.post(path, json=pair))
    assert failed["state"] == "failed"
    assert "expected inspections whose photographs are kept" in failed["error"]
    http.post("/v1/products/parts/activate", json={"sha256": first, "reason": "back"})
    parts = [png(100), png(101, defect=60)]
    numbers = [service.inspect(one).json()["id"] for one in parts]
    service.inspect(b"no photograph")
    http.post(f"/v1/inspections/{numbers[1]}/review", json={"decision": "confirmed_defect"})
    done = ended(service, http.post(path, json=pair))
    assert done["result"] == {
        "comparison": done["id"],
        "photographs": 2,
        "changed": 1,
        "newly_flagged": 0,
        "newly_passed": 1,
    }
    found = http.get(f"{path}/{done['id']}").json()
    assert [one["inspection"] for one in found["images"]] == numbers[::-1]
    worst = found["images"][0]
    assert (worst["changed"], worst["review"]) == (True, "confirmed_defect")
    assert (worst["a"]["anomalous"], worst["b"]["anomalous"]) == (True, False)
    assert str(service.data) not in json.dumps(found)
    report = http.get(f"{path}/{done['id']}/report")
    assert report.headers["content-security-policy"].startswith("sandbox")
    assert b"1 verdict" in report.content
    check_error(http.post(path, json={**pair, "b": pair["a"]}), 422)
    check_error(http.post(path, json={**pair, "b": "0" * 64}), 404)
    check_error(http.get(f"{path}/0123456789abcdef"), 404)
    check_error(http.post(path.replace("parts", "nuts"), json=pair), 404)

    kept = service.data / "comparisons"
    assert len(list(kept.iterdir())) == 1  # one that failed has left nothing
    comparisons = Comparisons(kept, None, None, None, None, None)
    assert comparisons.tidy() == 0
    assert comparisons.tidy(time.time() + 86400 * KEPT_DAYS + 60) == 1
    assert list(kept.iterdir()) == []


def test_no_folder_of_the_server_is_read_without_leave(service):
    setup = begun(service)
    response = service.http.post(f"/v1/setups/{setup}/copy", json={"folder": "."})
    check_error(response, 403, "paths_refused")
