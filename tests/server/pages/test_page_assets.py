"""Scripts of pages: whatever one imports is there, and is fetched with it."""

import re

import pytest

from patchbank.server.pages.assets import files, imported

SCRIPTS = sorted(name.removesuffix(".js") for name in files() if name.endswith(".js"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_all_that_a_script_imports_is_found(name):
    content = re.sub(r"/\*.*?\*/", "", files()[f"{name}.js"].decode(), flags=re.DOTALL)
    direct = set(re.findall(r'"\./([a-z_]+)\.js"', content))
    found = imported([name])
    assert direct <= set(found)
    assert found == sorted({*direct, *imported(direct)} - {name})


def test_scripts_that_are_given_are_not_told_again():
    assert "ask" in imported(["review_queue", "review_teach"])
    assert imported(["review_queue", "ask"]) == []
