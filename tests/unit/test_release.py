"""What a release consists of agrees: version, addresses, changelog, and what keeps one back."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.project import ADDRESS, PROJECT, ROOT

VERSION = PROJECT["version"]
WITH_ADDRESS = ("CITATION.cff", "deploy/conda/recipe.yaml", "deploy/Dockerfile")


def check_release(root, tag):
    """-> exit status and lines of tools/check_release.py in a copy of what it reads."""
    tool = [sys.executable, str(root / "tools" / "check_release.py"), tag]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
def source(tmp_path):
    """Copy of what the check reads."""
    names = ["pyproject.toml", "CITATION.cff", "CHANGELOG.md", "deploy/conda/recipe.yaml"]
    for name in [*names, "tools/check_release.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_newest_section_of_the_changelog_is_that_of_the_version():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version, _, date = headings[0].partition(" - ")
    assert version == f"[{VERSION}]"
    assert re.fullmatch(r"not yet released|\d{4}-\d{2}-\d{2}", date)


def test_every_address_of_the_project_begins_alike():
    assert all(address.startswith(ADDRESS) for address in PROJECT["urls"].values())
    for name in WITH_ADDRESS:
        assert ADDRESS in (ROOT / name).read_text(encoding="utf-8"), name


def test_paths_in_addresses_of_the_project_exist():
    for address in PROJECT["urls"].values():
        if found := re.search(r"/(?:blob|tree)/main/(.+)$", address):
            assert (ROOT / found[1]).exists(), address


def test_the_citation_names_what_the_project_says_of_itself():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == VERSION
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert [one["name"] for one in citation["authors"]] == [
        one["name"] for one in PROJECT["authors"]
    ]


def test_a_release_is_kept_back_where_the_changelog_has_no_date_and_the_project_no_address(source):
    replace(source / "CHANGELOG.md", f"## [{VERSION}] - ", f"## [{VERSION}] - not yet released ")
    replace(source / "pyproject.toml", ADDRESS, "https://example.org/patchbank")
    status, lines = check_release(source, f"v{VERSION}")
    assert status == 1
    assert [line.partition(":")[0] for line in lines] == ["CHANGELOG.md", "pyproject.toml"]
    assert "with a date" in lines[0]
    assert "example.org" in lines[1]


def test_a_tag_of_another_version_is_refused_by_every_file_that_has_one(source):
    status, lines = check_release(source, "v9.0.0")
    assert status == 1
    named = [line.partition(":")[0] for line in lines]
    assert named[:4] == [
        "pyproject.toml",
        "CITATION.cff",
        "deploy/conda/recipe.yaml",
        "CHANGELOG.md",
    ]


def test_a_source_that_is_ready_is_released(source):
    text = (source / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.sub(
        rf"^## \[{re.escape(VERSION)}\] - .+$", f"## [{VERSION}] - 2026-12-01", text, flags=re.M
    )
    (source / "CHANGELOG.md").write_text(dated, encoding="utf-8")
    replace(source / "pyproject.toml", ADDRESS, "https://patchbank.test")
    assert check_release(source, f"v{VERSION}") == (0, [])


def test_a_check_without_a_tag_says_what_it_expects(source):
    done = subprocess.run(
        [sys.executable, str(source / "tools" / "check_release.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "check_release.py: expected one tag, such as v0.2.0\n"
