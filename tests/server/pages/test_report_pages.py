"""Pages of results in a real browser: accessible, self-contained, and pictures open in full."""

import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from patchbank import PatchCore
from patchbank.benchmark.method_spec import MethodSpec
from patchbank.benchmark.page import page as benchmark_page
from patchbank.benchmark.plan import make_plan
from patchbank.benchmark.summary import summarise
from patchbank.check import check_photographs
from patchbank.check.report import write_check_report
from patchbank.comparison import compare, write_comparison
from patchbank.datasets import find_categories, find_dataset
from patchbank.drift import InspectedPart, follow, write_drift_report
from patchbank.evaluation.evaluate import evaluate
from patchbank.evaluation.report import write_report
from patchbank.explaining import drawn, write_explanations, write_lost_defects
from patchbank.report import write_page
from tests.photographs import part, save, write_dataset
from tests.server.pages.screens import keep_picture, violations
from tests.server.pages.views import PICTURES
from tests.unit.test_benchmark import measured

pytestmark = [
    pytest.mark.browser,
    pytest.mark.page_tools,
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]

LONG = "a-name-of-a-photograph-that-no-telephone-is-wide-enough-for-and-that-has-no-space"
SMALL = {"image_size": 64, "bank_rows": 60, "false_alarm_rate": 0.2}
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
KINDS = ("fit", "evaluate", "check", "compare", "drift", "explain", "lost", "benchmark")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The folder with a page of each kind, of drawn photographs."""
    root = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1772348759")
        _write_all(root)
    return root


def _write_all(root):
    data = write_dataset(root / "plates", n_train=8, n_good=3, n_defect=3) or root / "plates"
    good, test = data / "train" / "good", data / "test"
    save(good / f"{LONG}.png", part(9))
    save(good / "copy.png", part(0))
    save(test / "good" / f"{LONG}.png", part(150, defect=4))
    one = PatchCore(**SMALL).fit(good, report=root / "fit")
    write_report(evaluate(one, find_dataset(data)), one, root / "evaluate")
    write_check_report(check_photographs(good, scores=False), root / "check")
    lower = one.with_threshold(one.calibration.threshold * 0.6)
    write_comparison(compare(lower, one, find_dataset(data)), root / "compare")
    odd = [drawn(one.predict(path)) for path in sorted((test / "blot").iterdir())]
    write_explanations(odd, len(odd), one, root / "explain")
    write_lost_defects(odd[:1], ["a.png: score 1 before, 0 after"], 2, one, root / "lost")
    middle = float(min(one.calibration.image_scores))
    names = [f"{LONG}.png"] * 40 + [str(good / "000.png")] * 60
    parts = [
        InspectedPart(name, middle * (0.2 if at < 40 else 0.95)) for at, name in enumerate(names)
    ]
    write_drift_report(follow(one.monitor(), one.calibration, parts), one, root / "drift")
    specs = [MethodSpec.parse(f"{LONG}=patchcore:fast"), MethodSpec.parse("quick=graphcore")]
    plan = make_plan(find_categories(data), specs, shots=(2, 4), seeds=2)
    rows = {run.key: {**measured(0.8), "aupro": 0.7} for run in plan.runs}
    write_page(root / "benchmark", benchmark_page(summarise(plan, rows)))


@contextmanager
def opened(chromium, size, scheme):
    """A page in a new profile that asks no host for anything, and its requests to hosts."""
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=size == "phone",
        reduced_motion="reduce",
    )
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: asked.append(str(error)))
    yield page, asked
    context.close()


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_every_page_is_accessible_and_alone_and_scrolls_no_way_but_down(
    chromium, reports, size, scheme
):
    with opened(chromium, size, scheme) as (page, asked):
        for kind in KINDS:
            page.goto((reports / kind / "index.html").as_uri())
            assert violations(page) == [], kind
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, kind
            assert page.locator("h1").count() == 1, kind
            assert page.locator(".verdict").count() == (kind != "explain"), kind
            expect(page.locator(".bar time")).to_have_text("2026-03-01 07:05 UTC")
            assert page.locator("script").count() == 0, kind
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            if PICTURES and kind in ("evaluate", "fit"):
                keep_picture(page, Path(PICTURES) / f"report-{kind}-{size}-{scheme}.webp")
            assert paper == {"light": "rgb(242, 244, 245)", "dark": "rgb(15, 19, 23)"}[scheme]
    hosts = [url for url in asked if not url.startswith(("file:", "data:"))]
    assert hosts == []


def test_a_picture_opens_in_full_by_a_press_and_by_a_key_and_closes_again(chromium, reports):
    with opened(chromium, "desktop", "light") as (page, _):
        page.goto((reports / "evaluate" / "index.html").as_uri())
        shot = page.locator(".shot").first
        small = shot.bounding_box()
        assert shot.locator(".photo").count() == 2
        assert not shot.locator(".legend").is_visible()
        shot.locator(".opens").focus()
        page.keyboard.press("Enter")
        expect(shot.locator(".legend")).to_be_visible()
        box = shot.bounding_box()
        assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 1280, 800)
        overlay = shot.locator(".photo").nth(1).bounding_box()
        assert overlay["width"] > small["width"]
        assert overlay["y"] + overlay["height"] <= 800
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(shot.locator(".legend")).to_be_hidden()
        assert shot.bounding_box() == small
        assert page.evaluate("document.activeElement.className") == "opens"
        shot.locator(".opens").click()
        page.get_by_role("button", name="Close").click()
        expect(shot.locator(".legend")).to_be_hidden()


def test_the_true_mask_and_what_was_found_are_drawn_where_they_are(chromium, reports):
    """A blot of drawn parts is at a third of the height and a quarter of the width."""
    with opened(chromium, "phone", "dark") as (page, _):
        page.goto((reports / "evaluate" / "index.html").as_uri())
        finds = page.locator("h2", has_text="Clearest finds").locator("xpath=following::figure[1]")
        finds.locator(".opens").tap()
        picture = finds.locator(".photo").nth(1).bounding_box()
        assert picture["width"] > 300
        mask = finds.locator("path.defect").bounding_box()
        x = (mask["x"] + mask["width"] / 2 - picture["x"]) / picture["width"]
        y = (mask["y"] + mask["height"] / 2 - picture["y"]) / picture["height"]
        assert (x, y) == pytest.approx((1 / 4, 1 / 3), abs=0.05)
        assert finds.locator("path.found").count() == 1
        said = finds.locator("p").first.inner_text()
        assert re.match(r"NG score [\d.]+, \d+ % of the threshold, p = 0\.\d+", said)
        assert violations(page) == []


def test_a_word_is_explained_by_hover_by_tap_and_by_key(chromium, reports):
    with opened(chromium, "phone", "light") as (page, _):
        page.goto((reports / "evaluate" / "index.html").as_uri())
        term = page.get_by_role("button", name="AUPRO", exact=True).first
        entry = page.locator("#word-aupro")
        meaning = entry.locator("dd").inner_text()
        assert term.get_attribute("title") == meaning  # which a browser shows on hover
        at_the_end = entry.bounding_box()["y"]
        term.tap()
        assert page.evaluate("document.querySelector('#word-aupro').matches(':popover-open')")
        box = entry.bounding_box()
        assert box["y"] < 844 < at_the_end
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert violations(page) == []
        page.keyboard.press("Escape")
        term.focus()
        page.keyboard.press("Space")
        assert page.evaluate("document.querySelector('#word-aupro').matches(':popover-open')")


def test_paper_is_light_and_cuts_no_picture_and_has_all_settings(chromium, reports):
    with opened(chromium, "desktop", "dark") as (page, _):
        page.emulate_media(media="print", color_scheme="dark")
        page.goto((reports / "evaluate" / "index.html").as_uri())
        style = "getComputedStyle(document.querySelector('{}')).{}"
        assert page.evaluate(style.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
        assert page.evaluate(style.format("body", "color")) == "rgb(0, 0, 0)"
        assert page.evaluate(style.format(".shot", "breakInside")) == "avoid"
        assert not page.locator(".close").first.is_visible()
        settings = page.get_by_role("cell", name="bank_rows", exact=True).first
        assert settings.bounding_box()["height"] > 10
