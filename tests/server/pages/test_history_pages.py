"""The history over a real service: who sees what, texts as texts, reviews, other sites."""

from __future__ import annotations

import csv
import io
import re
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.server.pages.past import days, inspected, now
from tests.server.pages.test_page_access import PAGE, browser, log_in
from tests.server.services import Running, bearer, check_error, make_token, png, records_of

pytestmark = pytest.mark.serve
EVIL = "<script>alert(1)</script>\"'&"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"
NUMBER, SHARE = "Nummer der Aufzeichnung", "Wert (% der Schwelle)"
CSRF = re.compile(r'name="csrf" value="(\w+)"')


@pytest.fixture(scope="module")
def desk(fitted, tmp_path_factory):
    """A service with tokens, five days of drawn parts, one with texts that are code, one real."""
    folder = tmp_path_factory.mktemp("desk")
    data = folder / "data"
    secrets = {role: make_token(data, f"an-{role}", role) for role in ("operator", "engineer")}
    file = shutil.copy(fitted, folder / "bolts.patchbank")
    with records_of(data) as records:
        records.add(days(5, until=now() - timedelta(minutes=5), each=30))
        evil = inspected(999, now(), share=1.4, lot=EVIL, serial_number=EVIL, shift=EVIL)
        evil = replace(evil, result={**evil.result, "image": f"{EVIL}.png"})
        number = records.add([evil])[0].inspection.id
        records.add_review(number, "unsure", "eva", EVIL)
    with Running(data, file, "--keep-good", "1") as running:
        running.secrets, running.evil = secrets, number
        answer = running.inspect(
            png(3, defect=1), "real.png", serial_number="R-1", headers=bearer(secrets["engineer"])
        )
        running.real = answer.json()["id"]
        yield running


@pytest.fixture
def of(desk):
    opened = []

    def as_role(role):
        http = browser(desk)
        opened.append(http)
        assert log_in(http, desk.secrets[role], "/history").status_code == 303
        return http

    yield as_role
    for http in opened:
        http.close()


def test_an_operator_sees_parts_and_no_charts_and_no_export(desk, of):
    page = of("operator").get("/history").text
    assert "/history/charts" not in page
    assert "/history/parts.csv" not in page
    assert of("operator").get("/history/parts.csv").status_code == 403
    refused = of("operator").get("/history/charts")
    assert refused.status_code == 403
    assert "<h1>" in refused.text
    assert of("operator").get("/history/drift").status_code == 403


def test_an_engineer_sees_both_and_exports_what_is_seen(desk, of):
    http = of("engineer")
    page = http.get("/history", params={"lot": "L4", "verdict": "anomalous"}).text
    assert 'href="/history/charts?lot=L4&amp;verdict=anomalous"' in page
    link = re.search(r'id="export" href="([^"]+)"', page)[1].replace("&amp;", "&")
    rows = http.get(link).text.strip().splitlines()
    shown = int(re.search(r"Parts: (\d+)", page)[1])
    assert len(rows) - 1 == shown > 0
    assert all(",L4," in row and ",NG," in row for row in rows[1:])


def test_the_export_of_a_german_is_a_sheet_for_a_german_in_the_zone_of_the_page(desk, of):
    http = of("engineer")
    http.headers.update({"Accept-Language": "de"})
    page = http.get("/history", params={"zone": "Europe/Berlin", "product": "bolts"}).text
    assert "Diese Teile als CSV exportieren" in page
    link = re.search(r'id="export" href="([^"]+)"', page)[1].replace("&amp;", "&")
    answer = http.get(link)
    assert answer.headers["content-disposition"] == 'attachment; filename="bolts.csv"'
    text = answer.content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))
    assert rows[0].keys() >= {"Zeit (Europe/Berlin)", SHARE, "Bewertet von"}
    (evil,) = [row for row in rows if row[NUMBER] == str(desk.evil)]
    assert [evil[name] for name in ("Urteil", SHARE, "p-Wert")] == ["NG", "140,0", "0,01"]
    assert (evil["Los"], evil["Bemerkung"], evil["Bewertet von"]) == (EVIL, EVIL, "eva")
    numbers = [int(row[NUMBER]) for row in rows]
    assert numbers == sorted(numbers, reverse=True)


def test_a_p_value_is_said_in_words_and_never_with_an_exponent(desk, of):
    with records_of(desk.data) as records:
        odd = inspected(998, now(), share=1.7)
        odd = replace(odd, result={**odd.result, "p_value": 1.4e-05})
        number = records.add([odd])[0].inspection.id
    http = of("engineer")
    page = " ".join(http.get(f"/history/{number}").text.split())
    assert "fewer than 1 of 10,000 good parts have this score or a higher one" in page
    assert "(p &lt; 0.0001)" in page
    assert "e-05" not in page
    http.headers.update({"Accept-Language": "de"})
    assert "(p = 0,01)" in " ".join(http.get(f"/history/{desk.evil}").text.split())


def test_texts_of_people_are_text(desk, of):
    http = of("engineer")
    for path in (
        "/history",
        "/history?view=table",
        f"/history/{desk.evil}",
        "/history/charts",
        "/history/charts?by=lot",
        "/history/charts?by=shift",
        f"/history/drift?product=bolts&lot={EVIL.replace('&', '%26')}",
    ):
        page = http.get(path).text
        assert "<script>alert" not in page, path
    assert ESCAPED in http.get(f"/history/{desk.evil}").text
    echoed = http.get("/history", params={"lot": EVIL, "station": EVIL, "zone": "x/<b>"}).text
    assert "<script>alert" not in echoed
    assert "<b>" not in echoed
    assert ESCAPED in echoed


def test_the_part_page_has_all_facts(desk, of):
    page = of("operator").get(f"/history/{desk.real}").text
    for text in ("R-1", "real.png", "of the threshold", "Decided by the detector", "an-engineer"):
        assert text in page
    assert f'src="/parts/{desk.real}/marked"' in page
    assert f'href="/parts/{desk.real}/marked?size=full"' in page
    old = of("operator").get(f"/history/{desk.evil}").text
    assert "The photograph is not kept." in old
    assert "about 1 of 100 good parts" in old


def test_reviews_are_given_and_withdrawn_by_a_plain_form(desk, of):
    http = of("operator")
    path = f"/history/{desk.real}"
    text = CSRF.search(http.get(path).text)[1]
    sent = {"csrf": text, "decision": "false_alarm", "note": f" a drop\r\n{EVIL} "}
    answer = http.post(path, params={"verdict": "anomalous"}, data=sent)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{path}?verdict=anomalous#reviews"
    page = http.get(path).text
    assert "False alarm" in page
    assert f"a drop\r\n{ESCAPED}" in page
    assert 'value="withdrawn"' in page
    assert 'value="withdrawn"' not in of("engineer").get(path).text  # it is another's
    http.post(path, data={"csrf": text, "decision": "withdrawn"})
    found = desk.http.get(f"/v1/inspections/{desk.real}", headers=bearer(desk.secrets["operator"]))
    assert found.json()["review"] is None
    assert "Withdrawn" in http.get(path).text


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"csrf": "guessed"}, 403),
        ({"csrf": ""}, 403),
        ({"decision": "bad"}, 422),
        ({"decision": ""}, 422),
        ({"decision": "withdrawn"}, 422),
        ({"note": "x" * 2001}, 422),
    ],
)
def test_a_review_that_no_page_sends_is_refused_in_a_page(desk, of, change, status):
    http = of("operator")
    path = f"/history/{desk.evil}"
    own = {"csrf": CSRF.search(http.get(path).text)[1], "decision": "unsure", "note": ""}
    before = http.get(f"/v1/inspections/{desk.evil}/reviews").json()
    answer = http.post(path, data=own | change)
    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert http.get(f"/v1/inspections/{desk.evil}/reviews").json() == before


def test_another_site_reviews_nothing(desk, of):
    http = of("operator")
    path = f"/history/{desk.evil}"
    own = {"csrf": CSRF.search(http.get(path).text)[1], "decision": "false_alarm"}
    answer = http.post(path, data=own, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_a_part_that_is_not_there_and_a_query_that_is_none_are_pages_of_errors(desk, of):
    http = of("operator")
    for path, status in (
        ("/history/123456", 404),
        ("/history/0", 422),
        ("/history/x", 422),
        ("/history?from=2026-02-30", 422),
        ("/history?verdict=bad", 422),
        ("/history?cursor=bad", 422),
        ("/history?lots=7", 422),
        (f"/history/{desk.evil}/small", 404),
    ):
        answer = http.get(path)
        assert answer.status_code == status, path
        assert "<h1>" in answer.text
        check_error(http.get(path, headers={"Accept": "*/*"}), status)


def test_tiles_are_small_jpeg_pictures(desk, of):
    answer = of("operator").get(f"/history/{desk.real}/small")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]


def test_previous_and_next_stay_in_the_list(desk, of):
    http = of("operator")
    listed = http.get("/v1/inspections", params={"verdict": "anomalous", "limit": 5}).json()
    numbers = [one["id"] for one in listed["inspections"]]
    page = http.get(f"/history/{numbers[2]}", params={"verdict": "anomalous"}).text
    for number in (numbers[1], numbers[3]):
        assert f'href="/history/{number}?verdict=anomalous"' in page
    newest = http.get(f"/history/{numbers[0]}", params={"verdict": "anomalous"}).text
    assert 'data-key="K"' not in newest


def test_charts_say_what_they_are_of(desk, of):
    http = of("engineer")
    page = http.get("/history/charts", params={"by": "day", "review": "unsure"}).text
    for text in (
        "as no time is chosen",
        "Verdict and review do not narrow the counts.",
        "Only parts with the chosen review.",
        "NG rate with control limits (p-chart)",
        "<title>",
    ):
        assert text in page
    assert http.get("/history/charts", params={"lot": "none"}).status_code == 200
    lot = http.get("/history/drift", params={"lot": "L4"}).text
    assert "No sign of a change among 1 parts." in lot
    assert "Inspected by other detectors, and not counted here" in lot


def test_a_page_is_small(desk, of):
    http = of("engineer")
    total = 0
    for path in ("/history?view=table", "/history/charts"):
        page = http.get(path)
        names = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
        total = len(page.content) + sum(len(http.get(name).content) for name in names)
        assert total <= 150_000, path


def test_it_works_behind_a_path(fitted, tmp_path):
    file = shutil.copy(fitted, tmp_path / "bolts.patchbank")
    with records_of(tmp_path / "data") as records:
        added = records.add(days(2, until=now() - timedelta(minutes=1), each=30))
        number = added[0].inspection.id
    with Running(tmp_path / "data", file, "--root-path", "/inspection") as running:
        for path in ("/history", f"/history/{number}", "/history/charts", "/history/drift"):
            page = running.http.get(path, headers=PAGE)
            assert page.status_code == 200, path
            links = re.findall(r'(?:href|src|action|data-path)="(/[^"]*)"', page.text)
            assert links
            assert all(link.startswith("/inspection/") for link in links), path
