"""Parts that the pages of results share: coordinates of plots, pictures, the file of a page."""

import base64
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from patchbank.errors import DataError
from patchbank.images.source import image_source
from patchbank.report import Gallery, draw_photograph, render, write_page
from patchbank.report.page import environment
from patchbank.report.plots import Bar, histogram, line_plot, round_numbers
from tests.painted import photograph, write


def test_bars_are_shares_of_each_kind_over_the_tallest():
    """Forty bars from 0 to 40: two of three good ones in the first, the others in the last."""
    series = {"good": np.array([0.0, 0.0, 40.0]), "bad": np.array([40.0, 20.0])}
    drawn = histogram(series, [(10.0, "")])
    assert drawn.bars["good"] == (Bar(0.0, 0.0, 10.5, 280.0), Bar(39 * 10.5, 140.0, 10.5, 140.0))
    for bar, place in zip(drawn.bars["bad"], (20, 39), strict=True):
        assert (bar.x, bar.width) == (place * 10.5, 10.5)
        assert (bar.y, bar.height) == pytest.approx((70, 210))  # a half over two thirds
    assert [(mark.at, mark.text) for mark in drawn.marks] == [(105.0, "")]
    assert drawn.ticks == (
        (0.0, "0"),
        (105.0, "10"),
        (210.0, "20"),
        (315.0, "30"),
        (420.0, "40"),
    )


@pytest.mark.parametrize(("threshold", "place"), [(-10.0, 0.0), (50.0, 420.0)])
def test_a_mark_beyond_all_values_is_still_drawn(threshold, place):
    series = {"good": np.array([0.0, 40.0]), "bad": np.array([10.0])}
    assert histogram(series, [(threshold, "")]).marks[0].at == place


def test_values_that_are_all_alike_have_one_bar():
    drawn = histogram({"good": np.array([5.0, 5.0]), "bad": np.array([5.0])}, [(5.0, "")])
    assert drawn.bars["good"] == drawn.bars["bad"] == (Bar(0.0, 0.0, 10.5, 280.0),)
    assert drawn.marks[0].at == 0.0
    assert [text for _, text in drawn.ticks] == ["5", "5.25", "5.5", "5.75", "6"]


def test_labels_of_close_marks_stand_below_each_other_and_inside_the_area():
    marks = [(10.0, "1 %"), (9.9, "5 %"), (1.0, "10 %")]
    first, second, third = histogram({"good": np.array([0.0, 10.0])}, marks).marks
    assert [mark.text_y for mark in (first, second, third)] == [15, 30, 45]
    assert (first.anchor, first.text_x) == ("end", 416)  # there is no space to the right of it
    assert (third.anchor, third.text_x) == ("start", 46)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 10.0, ["0", "2", "4", "6", "8", "10"]),
        (0.013, 0.041, ["0.02", "0.03", "0.04"]),
        (-3.0, 47.0, ["0", "10", "20", "30", "40"]),
        (998.0, 1003.0, ["998", "999", "1000", "1001", "1002", "1003"]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low, high, texts):
    found = round_numbers(low, high)
    assert [text for _, text in found] == texts
    assert [value for value, _ in found] == pytest.approx([float(text) for text in texts])


def test_a_curve_fills_the_area_from_the_lower_left():
    drawn = line_plot({"good": ([0, 5, 10], [1.0, 3.0, 2.0])}, [(3.0, "alarm")])
    assert drawn.curves == {"good": "0.0,280.0 210.0,0.0 420.0,140.0"}
    assert drawn.x_ticks == ((0, "0"), (84, "2"), (168, "4"), (252, "6"), (336, "8"), (420, "10"))
    assert [text for _, text in drawn.y_ticks] == ["1.0", "1.5", "2.0", "2.5", "3.0"]
    assert drawn.y_ticks[1][0] == 210.0
    (mark,) = drawn.marks
    assert (mark.at, mark.text, mark.text_y) == (0.0, "alarm", 12.0)  # not above the area


def test_a_logarithmic_axis_has_powers_of_ten():
    drawn = line_plot({"bad": ([0, 2], [1.0, 1000.0])}, [(100.0, "")], logarithmic=True)
    assert drawn.curves == {"bad": "0.0,280.0 420.0,0.0"}
    assert [text for _, text in drawn.y_ticks] == ["1", "10", "100", "1000"]
    assert drawn.marks[0].at == pytest.approx(drawn.y_ticks[2][0])
    narrow = line_plot({"bad": ([0, 2], [10.0, 20.0])}, logarithmic=True)
    assert [text for _, text in narrow.y_ticks] == ["10", "12.6", "15.8", "20"]


def test_a_single_point_and_a_level_curve_can_be_drawn():
    assert line_plot({"good": ([7], [3.0])}).curves == {"good": "0.0,280.0"}
    level = line_plot({"good": ([0, 1], [2.0, 2.0])})
    assert level.curves == {"good": "0.0,280.0 420.0,280.0"}


def test_of_many_points_each_peak_stays():
    """A hundred thousand points of zero with one peak and one dip, between columns."""
    y = np.zeros(100_000)
    y[54_321], y[77_777] = 1.0, -1.0
    points = line_plot({"good": (np.arange(100_000), y)}).curves["good"].split()
    assert len(points) < 5 * 421
    heights = [point.split(",")[1] for point in points]
    assert (heights.count("0.0"), heights.count("280.0")) == (1, 1)
    assert points[0].startswith("0.0,")
    assert points[-1].startswith("420.0,")


def test_a_picture_is_small_and_in_the_page(tmp_path):
    path = write(tmp_path / "a.png", photograph(150, size=(900, 450)))
    drawn = draw_photograph("a", image_source(path))
    assert (drawn.caption, drawn.marks, drawn.error) == ("a", None, "")
    assert drawn.size == (450, 900)
    content = base64.b64decode(drawn.photograph.removeprefix("data:image/jpeg;base64,"))
    picture = Image.open(io.BytesIO(content))
    assert picture.size == (240, 480)
    assert np.abs(np.asarray(picture)[100, 90] - np.array([0, 150, 0])).max() <= 4
    path.unlink()
    gone = draw_photograph("a", image_source(path))
    assert gone.photograph == ""
    assert gone.error.startswith(f"{path}: expected ")


MACROS = """{% import "parts.html" as parts %}
{{ parts.gallery(gallery) }}{{ parts.histogram(histogram, "<scores>", "score") }}
{{ parts.line_plot(line_plot, "drift", "part") }}"""


def test_the_macros_draw_what_they_are_given():
    picture = draw_photograph("<a>", image_source(photograph(90)))
    drawn = histogram({"good": np.array([0.0, 40.0])}, [(10.0, "5 %")])
    curves = line_plot({"bad": ([0, 1], [1.0, 2.0])}, [(1.5, "limit")])
    template = environment().from_string(MACROS)
    text = template.render(
        gallery=Gallery("Odd", "two", (picture,)), histogram=drawn, line_plot=curves
    )
    assert "<h2>Odd</h2>" in text
    assert text.count("<img ") == 1  # there is no overlay
    assert "<figcaption>&lt;a&gt;</figcaption>" in text
    assert 'aria-label="&lt;scores&gt;"' in text
    assert len(re.findall(r'<rect x="[\d.]+" [^>]*class="good"/>', text)) == 2
    assert ">5 %</text>" in text
    assert f'<polyline points="{curves.curves["bad"]}" class="curve bad"/>' in text
    assert ">limit</text>" in text


def test_a_page_needs_no_other_host_and_has_a_dark_style():
    text = environment().get_template("base.html").render()
    assert "http" not in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_a_name_that_the_content_lacks_is_an_error():
    with pytest.raises(Exception, match="'evaluation' is undefined"):
        render("patchbank.evaluation.report")


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = write_page(tmp_path / "new" / "page", os.fsdecode(b"Geh\xe4use"))
    assert path == tmp_path / "new" / "page" / "index.html"
    assert path.read_text(encoding="utf-8") == "Geh\\udce4use"
    assert write_page(path.parent, "other").read_text() == "other"
    assert [entry.name for entry in path.parent.iterdir()] == ["index.html"]


def test_a_page_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / "index.html").mkdir()
    with pytest.raises(DataError, match="index.html: expected to write the report, got: a folder"):
        write_page(tmp_path, "text")
