"""Trials: a photograph is inspected for whoever sends it, and nothing of it stays."""

from __future__ import annotations

import gc
import io
import json
import shutil
import threading
from concurrent.futures import wait
from contextlib import closing

import httpx
import jsonschema
import numpy as np
import pytest
from PIL import Image

from patchbank.detector.inspection import FailedInspection
from patchbank.detector.loading import load
from patchbank.server.service import trials as module
from patchbank.server.service.errors import ApiError
from patchbank.server.service.examples import TRIAL
from patchbank.server.service.product_finding import Chosen
from patchbank.server.service.trial_pictures import shown_photograph
from patchbank.server.service.trials import Trial, Trials
from tests.pages import ROOT
from tests.photographs import part
from tests.server.pages.test_page_access import PAGE_TEXT, log_in
from tests.server.services import Running, bearer, check_error, make_token, png

pytestmark = pytest.mark.serve
MOST = 10_000_000


@pytest.fixture(scope="module")
def guarded(fitted, tmp_path_factory):
    """A service with two operators and two products, which takes small photographs only."""
    folder = tmp_path_factory.mktemp("trials")
    data = folder / "data"
    secrets = {name: make_token(data, name, "operator") for name in ("anna", "ben")}
    files = [shutil.copy(fitted, folder / f"{name}.patchbank") for name in ("parts", "nuts")]
    limits = ("--max-bytes", "100000", "--max-pixels", "20000")
    with Running(data, *files, *limits) as running:
        running.secrets = secrets
        running.own = {name: bearer(secret) for name, secret in secrets.items()}
        yield running


def tried(running, content, name="part.png", who="anna", **fields):
    fields = {"product": "parts", **fields}
    return running.http.post(
        "/v1/trials", files={"image": (name, content)}, data=fields, headers=running.own[who]
    )


def test_a_trial_has_pictures_of_the_whole_photograph(guarded):
    answer = tried(guarded, png(2, defect=9)).json()
    schema = json.loads((ROOT / "docs/schemas/trial.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(answer, schema)
    jsonschema.validate(TRIAL, schema)
    assert set(answer) == set(TRIAL) <= set(schema["properties"])
    own, headers = answer["links"], guarded.own["anna"]
    assert answer["verdict"] == "anomalous"
    assert answer["is_rate_known"] is True
    pictures = {}
    for name in ("photograph", "overlay", "map", "heat"):
        response = guarded.http.get(own[name], headers=headers)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        pictures[name] = Image.open(io.BytesIO(response.content))
    assert pictures["photograph"].size == pictures["map"].size == (104, 72)
    assert pictures["heat"].size == (104, 72)
    assert pictures["heat"].mode == "RGBA"
    map_response = guarded.http.get(own["map"], headers=headers)
    low, high = (float(map_response.headers[f"x-map-{end}"]) for end in ("low", "high"))
    values = low + np.asarray(pictures["map"]).astype(float) / 65535 * (high - low)
    region = answer["regions"][0]
    assert values.max() == pytest.approx(region["score"], abs=(high - low) / 65535)
    odd = np.asarray(pictures["heat"])[..., 3] > 0
    assert odd[region["top"] : region["top"] + region["height"]].any()
    spots = answer["spots"]
    assert [spot["region"] for spot in spots] == list(range(len(answer["regions"])))
    crop = guarded.http.get(spots[0]["crop"], headers=headers)
    picture = Image.open(io.BytesIO(crop.content))
    assert picture.height % 240 == 0
    assert picture.width >= 480  # the odd spot, and a good one
    missing = guarded.http.get(f"{own['self']}/crops/{len(spots)}", headers=headers)
    check_error(missing, 404)


def test_a_trial_is_seen_by_nobody_else(guarded):
    own = tried(guarded, png(3)).json()["links"]
    for path in own.values():
        assert guarded.http.get(path, headers=guarded.own["anna"]).status_code == 200
        check_error(guarded.http.get(path, headers=guarded.own["ben"]), 404)
        assert guarded.http.get(path).status_code == 401
    other = f"/v1/trials/{'0' * 32}"
    check_error(guarded.http.get(other, headers=guarded.own["anna"]), 404)


def test_what_cannot_be_read_is_one_line_and_not_kept(guarded):
    text = tried(guarded, b"not a photograph", "photo.png")
    error = check_error(text, 422, "unread")
    assert error["verdict"] == "unread"
    assert error["message"].startswith("photo.png: expected a ")
    many = check_error(tried(guarded, png(1, size=(150, 200))), 422, "unread")
    assert "expected at most 0.02 million pixels, got 200 x 150" in many["message"]
    check_error(tried(guarded, b""), 422, "unread")
    assert guarded.http.get("/v1/inspections", headers=guarded.own["ben"]).json() == {
        "inspections": [],
        "cursor": None,
    }


def test_bodies_that_are_no_trial_are_refused_with_a_reason(guarded):
    headers = guarded.own["anna"]
    assert "lot: expected none" in check_error(tried(guarded, png(), lot="L42"), 422)["message"]
    check_error(tried(guarded, png(), product="bolts"), 404, "unknown_product")
    post = guarded.http.post
    two = [("image", ("a.png", png(1))), ("image", ("b.png", png(2)))]
    refused = post("/v1/trials", files=two, data={"product": "parts"}, headers=headers)
    assert "expected one photograph, got 2" in check_error(refused, 422)["message"]
    both = post(
        "/v1/trials?product=parts",
        files={"image": png()},
        data={"product": "parts"},
        headers=headers,
    )
    assert "in the query or in the body" in check_error(both, 422)["message"]
    none = post("/v1/trials", content=png(), headers=headers)
    assert "expected the name of one (nuts, parts)" in check_error(none, 422)["message"]
    large = post("/v1/trials?product=parts", content=bytes(100_001), headers=headers)
    assert "expected at most 100,000 bytes" in check_error(large, 413, "too_large")["message"]
    paths = post("/v1/trials", json={"paths": ["a.png"], "product": "parts"}, headers=headers)
    check_error(paths, 403, "paths_refused")


def test_a_session_that_ends_takes_its_trials_with_it(guarded):
    def begun():
        """A browser with the token, and the text of its pages."""
        http = httpx.Client(base_url=guarded.url, headers={"Accept": "text/html"}, timeout=30)
        assert log_in(http, guarded.secrets["anna"], "/try").headers["location"] == "/try"
        return http, {"X-CSRF-Token": PAGE_TEXT.search(http.get("/try").text)[1]}

    def sent(**options):
        files = {"image": ("part.png", png())}
        return one.post("/v1/trials", files=files, data={"product": "parts"}, **options)

    (one, csrf), (other, _) = begun(), begun()
    with closing(one), closing(other):
        check_error(sent(), 403, "csrf")
        path = sent(headers=csrf).json()["links"]["photograph"]
        assert one.get(path).status_code == 200
        check_error(other.get(path), 404)
        check_error(guarded.http.get(path, headers=guarded.own["anna"]), 404)
        one.post("/logout", headers=csrf)
        check_error(one.get(path), 401)


@pytest.fixture(scope="module")
def detector(fitted):
    return load(fitted)


def made(trials, detector, content, owner="anna"):
    """The trial of a photograph."""
    return trials.start(Chosen("parts", detector), ("part.png", content), owner, MOST).result(60)


def test_trials_are_forgotten_after_their_time_and_beyond_the_size(detector, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    trials = Trials(limit_mb=1e-6, life_s=60)
    first = made(trials, detector, png(1))
    assert trials.find(first.id, "anna") is first  # the last one stays, whatever its size
    second = made(trials, detector, png(2))
    with pytest.raises(ApiError, match="own one of the last 1 minutes"):
        trials.find(first.id, "anna")
    clock[0] = 59.0
    assert trials.find(second.id, "anna") is second
    clock[0] = 60.0
    with pytest.raises(ApiError) as caught:
        trials.find(second.id, "anna")
    assert caught.value.status_code == 404
    roomy = Trials(life_s=60)
    both = [made(roomy, detector, png(seed)) for seed in (1, 2)]
    assert [roomy.find(one.id, "anna") for one in both] == both
    size = both[0].pictures.n_bytes
    assert size > sum(len(content) for content, _ in both[0].pictures.files.values())
    last = both[-1].id
    del both
    clock[0] = 120.0
    roomy.tidy()  # as every hour, so that those that nobody asks for again are freed
    assert last not in [one.id for one in gc.get_objects() if isinstance(one, Trial)]
    trials.close()
    roomy.close()
    with pytest.raises(ApiError):
        roomy.find(last, "anna")


def test_more_trials_than_fit_are_refused_until_one_is_done(detector):
    trials, held = Trials(), threading.Event()

    class Held:
        """A detector that waits before it inspects."""

        calibration, sha256 = detector.calibration, detector.sha256

        def inspect_with(self, images, work):
            assert held.wait(60)
            return detector.inspect_with(images, work)

    def start():
        return trials.start(Chosen("parts", Held()), ("part.png", png(1)), "anna", MOST)

    futures = [start() for _ in range(module.MOST_WAITING)]
    assert trials.is_full
    with pytest.raises(ApiError) as caught:
        start()
    assert (caught.value.status_code, caught.value.code) == (429, "busy")
    assert caught.value.headers["Retry-After"] == "2"
    held.set()
    assert len(wait(futures, 60).done) == module.MOST_WAITING
    assert len({future.result().id for future in futures}) == module.MOST_WAITING
    for _ in range(100):  # a future is done before those are told who count it
        if not trials.is_full:
            break
        threading.Event().wait(0.05)
    assert start().result(60).line["anomalous"] is False
    trials.close()
    assert trials.is_full
    with pytest.raises(ApiError):
        start()


def test_a_photograph_that_fails_is_an_outcome_and_takes_no_room(detector):
    trials = Trials()
    outcome = made(trials, detector, b"text")
    assert isinstance(outcome, FailedInspection)
    too_large = trials.start(Chosen("parts", detector), ("p.png", png(1)), "anna", 100).result(60)
    assert "expected at most 0.0001 million pixels, got 104 x 72" in too_large.error
    trials.close()


def test_a_picture_that_cannot_be_made_costs_no_verdict(detector, monkeypatch, caplog):
    from patchbank.server.service import trial_pictures

    def broken(*_):
        raise ValueError("no room")

    monkeypatch.setattr(trial_pictures, "heat_picture", broken)
    monkeypatch.setattr(trial_pictures, "explained", broken)
    trials = Trials()
    answer = made(trials, detector, png(2, defect=9)).to_json("/behind")
    trials.close()
    assert answer["verdict"] == "anomalous"
    assert answer["links"]["heat"] is None
    assert answer["links"]["map"] == f"/behind/v1/trials/{answer['id']}/map"
    assert answer["spots"] == []
    assert "no heat: ValueError: no room" in caplog.text
    assert "no explanation: ValueError: no room" in caplog.text


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_photographs_are_shown_as_they_came_only_where_browsers_show_what_was_read(monkeypatch):
    from patchbank.server.service import trial_pictures

    pixels = part(1)
    image = Image.fromarray(pixels)
    webp = saved(image, "WEBP", lossless=True)
    assert shown_photograph(webp, "a", pixels) == (webp, "image/webp")
    moving = saved(image, "WEBP", save_all=True, append_images=[Image.fromarray(part(2))])
    transparent = saved(image, "PNG", transparency=tuple(int(one) for one in pixels[0, 0]))
    for content in (moving, transparent, saved(image, "BMP"), saved(image, "TIFF"), b"text"):
        shown, kind = shown_photograph(content, "a", pixels)
        assert kind == "image/png"
        assert (np.asarray(Image.open(io.BytesIO(shown))) == pixels).all()
    monkeypatch.setattr(trial_pictures, "LARGEST_PNG_PX", 72 * 104 - 1)
    shown, kind = shown_photograph(saved(image, "TIFF"), "a", pixels)
    assert kind == "image/jpeg"
    near = np.asarray(Image.open(io.BytesIO(shown))).astype(int) - pixels
    assert near.shape == (72, 104, 3)
    assert np.abs(near).mean() < 4
