"""The page of trials in a real browser: every way in, what is seen, and what is recorded."""

from __future__ import annotations

import base64
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.server.pages.bolts import bolt
from tests.server.pages.screens import WAIT_MS, wait_for
from tests.server.pages.views import check_views, opened_views
from tests.server.services import Running, run

pytestmark = [pytest.mark.browser, pytest.mark.serve]
MOST_BYTES = 600_000
PAGE = re.compile(r"/try(\?.*)?$")
DROP = """files => {
    const all = new DataTransfer();
    for (const [name, content] of Object.entries(files)) {
        const bytes = Uint8Array.from(atob(content), one => one.charCodeAt(0));
        all.items.add(new File([bytes], `${name}.png`, {type: "image/png"}));
    }
    return all;
}"""
PASTE = """all => document.body.dispatchEvent(
    new ClipboardEvent("paste", {clipboardData: all, bubbles: true, cancelable: true}))"""


@pytest.fixture(scope="module")
def bolts(bolts_detector, tmp_path_factory):
    """A service with the product `bolts`."""
    folder = tmp_path_factory.mktemp("try")
    file = shutil.copy(bolts_detector, folder / "bolts.patchbank")
    limit = ("--max-bytes", MOST_BYTES)
    with Running(folder / "data", file, "--keep-good", "1", *limit) as running:
        yield running


class Tried:
    """The page, and how photographs come to it."""

    def __init__(self, page, url) -> None:
        self.page, self.url = page, url
        self.errors: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))

    def open(self, query="") -> Tried:
        """Load it."""
        self.page.goto(f"{self.url}/try{query}")
        return self

    def give(self, content, name, field="file", kind="image/png") -> Tried:
        """Choose a file."""
        file = {"name": name, "mimeType": kind, "buffer": content}
        self.page.set_input_files(f"#{field}", file)
        return self

    def transfer(self, **files):
        """What a drop or the clipboard brings: PNG files by their names."""
        coded = {name: base64.b64encode(content).decode() for name, content in files.items()}
        return self.page.evaluate_handle(DROP, coded)

    def says(self, word, name) -> Tried:
        """Wait for the verdict on a file of a name."""
        expect(self.page.locator("#facts dd").first).to_have_text(name)
        expect(self.page.locator("#word")).to_have_text(word)
        return self

    def css(self, selector, name):
        """A property of an element as it is shown."""
        return self.page.locator(selector).evaluate(
            "(one, name) => getComputedStyle(one)[name]", name
        )


@pytest.fixture
def tried(chromium, bolts):
    """The page in a browser of its own; it must end without an error of a script."""
    context = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    opened = Tried(context.new_page(), bolts.url).open()
    yield opened
    assert opened.errors == []
    context.close()


def test_a_photograph_comes_by_file_drop_clipboard_and_camera(bolts, tried):
    before = len(bolts.on_record())
    good, bad = bolt(100), bolt(200, nick=True)
    tried.give(bad, "file.png").says("NG", "file.png")
    tried.page.dispatch_event("#give", "drop", {"dataTransfer": tried.transfer(dropped=good)})
    tried.says("OK", "dropped.png")
    tried.page.evaluate(PASTE, tried.transfer(pasted=bad))
    tried.says("NG", "pasted.png")
    assert tried.page.get_attribute("#camera", "capture") == "environment"
    tried.give(good, "camera.jpg", "camera").says("OK", "camera.jpg")
    tried.page.dispatch_event("body", "drop", {"dataTransfer": tried.transfer()})
    said = tried.page.locator("#said")
    expect(said).to_have_text("There is no file in what was dropped or pasted.")
    two = tried.transfer(first=bad, second=good)
    tried.page.dispatch_event("body", "drop", {"dataTransfer": two})
    expect(said).to_have_text("2 files came: only first.png is shown.")
    tried.says("NG", "first.png")
    assert len(bolts.on_record()) == before  # nothing was recorded


def test_what_is_odd_is_seen_as_much_of_it_as_one_wants(bolts, tried):
    content = bolt(200, nick=True)
    tried.give(content, "odd.png").says("NG", "odd.png")
    page = tried.page
    answer = bolts.http.post("/v1/trials", files={"image": ("odd.png", content)}).json()
    share = answer["score"] / answer["threshold"]
    expect(page.locator("#share")).to_have_text(f"score {share:.0%} of the threshold")
    value, limit = (float(page.get_attribute(one, "width")) for one in ("#value", "#limit"))
    at = float(page.get_attribute("#limit", "x")) + limit / 2
    assert value / at == pytest.approx(share, rel=1e-6)
    expect(page.locator("#chance")).to_have_text("Fewer than 1 of 1,000 good parts look this odd.")
    for name in ("photograph", "heat"):
        wait_for(page, f"document.getElementById('{name}').naturalWidth === 360")
    frame = page.locator("#frame").bounding_box()
    assert frame["width"] / frame["height"] == pytest.approx(360 / 240, rel=0.01)
    boxes = page.locator("#boxes rect")
    expect(boxes).to_have_count(len(answer["regions"]))
    expect(page.locator("#n-boxes")).to_have_text(f"({len(answer['regions'])})")
    assert page.get_attribute("#boxes", "viewBox") == "0 0 360 240"
    assert boxes.first.get_attribute("width") == str(answer["regions"][0]["width"])
    page.get_by_label("Boxes").uncheck()
    expect(page.locator("#boxes")).to_be_hidden()
    assert tried.css("#heat", "opacity") == "0.6"
    page.get_by_label("Strength of the map").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert tried.css("#heat", "opacity") == "0.5"
    # Before and after: by keys, and by the mouse.
    divider = page.locator("#divider")
    divider.focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    assert tried.css("#heat", "clipPath") == "inset(0px 0px 0px 7%)"
    assert divider.get_attribute("aria-valuetext") == "7% of the photograph without the map"
    middle = frame["y"] + frame["height"] / 2
    page.mouse.move(frame["x"] + 0.07 * frame["width"], middle)
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.5 * frame["width"], middle, steps=4)
    page.mouse.up()
    assert abs(int(divider.input_value()) - 50) <= 1
    line = page.locator("#divides").bounding_box()
    assert line["x"] + line["width"] / 2 == pytest.approx(
        frame["x"] + int(divider.input_value()) / 100 * frame["width"], abs=1.5
    )
    crops = page.locator("#spots img")
    expect(crops).to_have_count(min(len(answer["spots"]), 6))
    wait_for(page, "document.querySelector('#spots img').naturalWidth >= 480")
    expect(page.locator("#spots p").first).to_contain_text("Spot 1: ")
    expect(page.locator("#facts")).to_contain_text("360 \N{MULTIPLICATION SIGN} 240 pixels")


def test_a_part_is_recorded_once_when_it_is_asked_for(bolts, tried):
    before = len(bolts.on_record())
    content = bolt(201, nick=True)
    tried.give(content, "odd.png").says("NG", "odd.png")
    page = tried.page
    page.get_by_label("Serial number").fill("A-7 <b>")
    page.get_by_label("Lot").fill("L42")
    # Two clicks before the first is answered are one part.
    page.get_by_role("button", name="Record this part").evaluate(
        "one => { one.click(); one.click(); }"
    )
    link = page.locator("#recorded a")
    expect(link).to_have_text(re.compile(r"^Recorded as part \d+: NG$"))
    expect(page.locator("#record")).to_be_hidden()
    (found,) = bolts.on_record()[before:]
    assert link.get_attribute("href") == f"/history/{found['id']}"
    assert (found["serial_number"], found["lot"], found["product"]) == ("A-7 <b>", "L42", "bolts")
    assert found["idempotency_key"].startswith("try-")
    trial = bolts.http.post("/v1/trials", files={"image": ("odd.png", content)}).json()
    assert found["score"] == trial["score"]
    assert bolts.http.get(found["links"]["photograph"]).content == content
    tried.give(bolt(101), "next.png").says("OK", "next.png")
    expect(page.locator("#record")).to_be_visible()
    expect(page.locator("#recorded")).to_be_empty()
    assert page.get_by_label("Serial number").input_value() == ""


def test_what_is_no_photograph_is_unread_and_what_is_too_large_is_not_sent(bolts, tried):
    page = tried.page
    name = "<img src=x onerror=alert(1)>.png"
    tried.give(b"only text", name).says("UNREAD", name)
    expect(page.locator("#reason")).to_contain_text("expected a PNG, JPEG, TIFF")
    expect(page.locator("#reason")).to_contain_text("<img src=x onerror=alert(1)>")
    for hidden in ("#views", "#figures", "#record", "#spots-of"):
        expect(page.locator(hidden)).to_be_hidden()
    assert page.locator("main img[src=x]").count() == 0
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    tried.give(bytes(MOST_BYTES + 1), "huge.png")
    said = page.locator("#said")
    expect(said).to_have_text("huge.png has 600 kB; this service accepts 600 kB at most.")
    expect(page.locator("#result")).to_be_hidden()
    assert sent == []
    # One that is below the limit, but whose form is not, is refused by the service.
    tried.give(bytes(MOST_BYTES - 10), "large.png")
    expect(said).to_contain_text("Not inspected: ")
    tried.give(bolt(102), "script </script><script>alert(2)</script>.png")
    tried.says("OK", "script </script><script>alert(2)</script>.png")


def test_a_photograph_that_browsers_do_not_show_is_shown_as_it_was_read(bolts, tried):
    pixels = np.asarray(Image.open(io.BytesIO(bolt(103))).convert("L")).astype(np.uint16) * 257
    stream = io.BytesIO()
    Image.fromarray(pixels[:, :300]).save(stream, "TIFF")
    tried.give(stream.getvalue(), "deep.tif", kind="image/tiff")
    expect(tried.page.locator("#facts dd").first).to_have_text("deep.tif")
    wait_for(tried.page, "document.getElementById('photograph').naturalWidth === 300")
    assert tried.page.evaluate("document.getElementById('photograph').naturalHeight") == 240
    expect(tried.page.locator("#notes-of")).to_be_visible()  # it is unlike the learned ones
    assert tried.page.locator("#notes li").count() > 0


def test_the_page_is_in_german_and_names_its_product(bolts, chromium):
    context = chromium.new_context(locale="de-DE")
    tried = Tried(context.new_page(), bolts.url).open("?product=bolts")
    tried.give(bolt(104), "gut.png").says("OK", "gut.png")
    expect(tried.page.locator("#share")).to_contain_text("der Schwelle")
    expect(tried.page.locator("#chance")).to_contain_text("von 1.000 guten Teilen")
    expect(tried.page.get_by_label("Produkt")).to_be_hidden()  # there is only one
    assert tried.page.locator("#product").input_value() == "bolts"
    assert tried.errors == []
    context.close()


def test_the_chooser_opens_by_enter(tried):
    page, are_multiple = tried.page, []

    def note(chooser):
        are_multiple.append(chooser.is_multiple())

    page.on("filechooser", note)  # before the page is loaded: it is intercepted by then
    for number, field in enumerate(("file", "camera"), 1):
        tried.open().page.locator(f"#{field}").press("Enter")
        for _ in range(150):
            if len(are_multiple) == number:
                break
            page.wait_for_timeout(100)
        assert are_multiple == [False] * number, field


def test_the_product_is_the_last_one_of_this_browser_or_that_of_the_address(bolts, tried):
    page = tried.page
    page.route(PAGE, with_another_product)
    tried.open()
    assert page.get_by_label("Product").input_value() == "bolts"
    page.get_by_label("Product").select_option("nuts")
    tried.open()
    assert page.get_by_label("Product").input_value() == "nuts"
    tried.open("?product=bolts")
    assert page.get_by_label("Product").input_value() == "bolts"
    page.unroute(PAGE)
    tried.open()  # the last one is there no more
    assert page.locator("#product").input_value() == "bolts"


def changed(content, change):
    """A PNG file whose pixels are changed."""
    stream = io.BytesIO()
    Image.fromarray(change(np.asarray(Image.open(io.BytesIO(content))))).save(stream, "PNG")
    return stream.getvalue()


def standing(content):
    """A photograph of a bright bolt that stands on something dark."""
    return changed(content, lambda pixels: np.rot90(255 - pixels))


@pytest.fixture(scope="module")
def bolts_and_pins(bolts_detector, tmp_path_factory):
    """A service with two products."""
    folder = tmp_path_factory.mktemp("two")
    files = [shutil.copy(bolts_detector, folder / "bolts.patchbank"), folder / "pins.patchbank"]
    (folder / "good").mkdir()
    for seed in range(12):
        (folder / "good" / f"{seed}.png").write_bytes(standing(bolt(seed)))
    fit = ("--preset", "fast", "--image-size", 128, "--false-alarm-rate", 0.1)
    done = run("fit", folder / "good", "--out", files[1], *fit)
    assert done.returncode == 0, done.stderr
    with Running(folder / "data", *files, "--keep-good", "1") as running:
        yield running


def test_the_product_is_found_by_the_photograph(bolts_and_pins, chromium):
    context = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    tried = Tried(context.new_page(), bolts_and_pins.url).open()
    page = tried.page
    page.get_by_label("Product").select_option("Found by the photograph")
    own = page.locator("#facts dt", has_text="Product").locator("+ dd")
    tried.give(bolt(120), "bolt.png").says("OK", "bolt.png")
    expect(own).to_have_text("bolts")
    tried.give(standing(bolt(121, nick=True)), "pin.png").says("NG", "pin.png")
    expect(own).to_have_text("pins")
    page.get_by_role("button", name="Record this part").click()
    expect(page.locator("#recorded a")).to_have_text(re.compile("NG$"))
    assert bolts_and_pins.on_record()[-1]["product"] == "pins"
    noise = np.random.default_rng(5).integers(0, 256, (240, 360, 3), dtype=np.uint8)
    tried.give(changed(bolt(1), lambda pixels: noise), "noise.png").says("UNREAD", "noise.png")
    expect(page.locator("#reason")).to_contain_text("none of the products")
    expect(own).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 844})
    for button in page.locator("#give .button").all():  # their words are within them
        assert button.evaluate("one => one.scrollWidth <= one.clientWidth")
    tried.open()  # and remembered
    assert page.get_by_label("Product").input_value() == "auto"
    tried.open("?product=pins")
    assert page.get_by_label("Product").input_value() == "pins"
    assert tried.errors == []
    context.close()


def with_another_product(route):
    """The page as it is where there are two products."""
    answer = route.fetch()
    text = answer.text().replace("</select>", "<option>nuts</option></select>")
    route.fulfill(response=answer, body=text.replace('of-product" hidden', 'of-product"'))


@pytest.mark.page_tools
def test_all_states_at_all_sizes(bolts, chromium):
    with opened_views(chromium) as pages:
        views = [Tried(page, bolts.url).open() for page in pages.values()]
        check_views(pages, "try-empty")
        for state, word, content in (
            ("ng", "NG", bolt(200, nick=True)),
            ("ok", "OK", bolt(105)),
            ("unread", "UNREAD", b"no photograph"),
        ):
            for one in views:
                one.give(content, f"{state}.png").says(word, f"{state}.png")
                if state != "unread":
                    wait_for(one.page, "document.getElementById('heat').complete")
                    one.page.locator("#divider").fill("25")
                one.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
            check_views(pages, f"try-{state}", scrolls=True)
        assert [one.errors for one in views] == [[]] * len(views)
