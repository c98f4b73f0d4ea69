"""The site: its pages are all in the sidebar, its plots and notebooks are those of the sources."""

import ast
import re
import sys
from fnmatch import fnmatch

import pytest

from tests.pages import ROOT

sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tools" / "site"))

import navigation

import draw_benchmarks

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))


def named_pages():
    """Pages that the sidebar names one by one."""
    return [page for pages in navigation.GROUPS.values() for page in pages if "*" not in page]


def test_pages_of_the_sidebar_exist_and_stand_in_it_once():
    named = named_pages()
    missing = [p for p in named if not any((ROOT / f"{p}{s}").is_file() for s in (".md", ".py"))]
    assert missing == []
    assert len(named) == len(set(named))


def test_guides_are_in_a_group_by_their_name():
    guides = {f"docs/guides/{path.stem}" for path in (ROOT / "docs" / "guides").glob("*.md")}
    assert guides <= set(named_pages())


def test_notebooks_and_methods_are_in_the_sidebar():
    patterns = [page for pages in navigation.GROUPS.values() for page in pages]
    for path in (*NOTEBOOKS, *(ROOT / "docs" / "methods").glob("*.md")):
        name = path.relative_to(ROOT).with_suffix("").as_posix()
        assert any(fnmatch(name, pattern) for pattern in patterns if pattern != "docs/**")


@pytest.mark.parametrize("name", draw_benchmarks.pictures())
def test_a_plot_is_what_the_results_give(name):
    drawn = (draw_benchmarks.PICTURES / name).read_text(encoding="utf-8")
    assert drawn == draw_benchmarks.pictures()[name], "run python tools/draw_benchmarks.py"


def test_plots_are_those_of_the_page_and_no_others():
    page = (ROOT / "docs" / "plots.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"pictures/benchmarks/([\w-]+\.svg)", page))
    files = {path.name for path in draw_benchmarks.PICTURES.glob("*.svg")}
    assert shown == files == set(draw_benchmarks.pictures())


def test_a_longer_bar_is_a_larger_value():
    bars = [draw_benchmarks.Bar("a", 0.5, "0.5"), draw_benchmarks.Bar("b <", 1.0, "1.0")]
    drawn = draw_benchmarks.plot("title", bars, begin=0.0, end=1.0)
    first, second = (float(w) for w in re.findall(r'<rect x="\d+" y="\d+" width="([\d.]+)"', drawn))
    assert second == pytest.approx(2 * first)
    assert "b &lt;" in drawn


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_the_public_interface_alone(path):
    public = {"patchbank", "patchbank.datasets.elpv"}  # the latter has the photographs
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("patchbank"):
            assert node.module in public


def test_the_first_page_and_its_picture_are_small():
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", page)
    assert len(pictures) == 1
    assert (ROOT / "docs" / pictures[0]).stat().st_size < 60_000
