"""Pages of the docs that are made from declarations are those that would be made now."""

import importlib.util
from pathlib import Path

import pytest

from patchbank.methods import METHODS
from patchbank.settings import settings_of

ROOT = Path(__file__).parents[2]


def _script():
    spec = importlib.util.spec_from_file_location(
        "make_reference", ROOT / "tools/make_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _script()


@pytest.mark.parametrize("name", REFERENCE.PAGES)
def test_a_page_is_up_to_date(name):
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert committed == REFERENCE.PAGES[name](), "run python tools/make_reference.py"


def test_every_setting_and_preset_has_a_row():
    page = REFERENCE.settings_page()
    for method in METHODS.values():
        for name, setting in settings_of(method.settings).items():
            assert f"| `{name}`" in page
            assert f"| `{setting.option}` |" in page
            assert f"| {setting.help} |" in page
        for preset in method.presets:
            assert f"| `{method.name}` | `{preset}` |" in page


def test_every_command_and_option_is_listed():
    page = REFERENCE.commands_page()
    headings = [line[4:-1] for line in page.splitlines() if line.startswith("## ")]
    assert headings == [
        "patchbank",
        "patchbank fit",
        "patchbank check",
        "patchbank benchmark",
        "patchbank card",
        "patchbank compare",
        "patchbank cut",
        "patchbank drift",
        "patchbank export",
        "patchbank history",
        "patchbank serve",
        "patchbank serve token",
        "patchbank serve token add",
        "patchbank serve token list",
        "patchbank serve token revoke",
        "patchbank send",
        "patchbank tune",
        "patchbank undo",
        "patchbank update",
        "patchbank verify",
        "patchbank predict",
        "patchbank evaluate",
        "patchbank info",
        "patchbank demo",
        "patchbank backbones",
        "patchbank backbones show",
        "patchbank backbones export",
        "patchbank records",
        "patchbank records export",
        "patchbank records statistics",
        "patchbank records verify",
        "patchbank records backup",
        "patchbank records restore",
        "patchbank records resend",
    ]
    fit = page.split("## `patchbank fit`")[1].split("## `patchbank check`")[0]
    assert "    patchbank fit [OPTIONS] GOOD...\n" in fit
    assert "| `--out FILE` | File to which the detector is written. [required] |" in fit
    assert "| `--bank-rows N` | Number of patches that the bank keeps." in fit
    assert "| `--normalise-score/--no-normalise-score` |" in fit
    predict = page.split("## `patchbank predict`")[1].split("## `patchbank evaluate`")[0]
    assert "    patchbank predict [OPTIONS] FILE PATH...\n" in predict
    assert "| `--json FILE` | Write JSON; - for standard output. |" in predict
    assert "--to-json" not in page
    assert "auto, cpu, cuda or cuda:NUMBER. [default: auto] |" in predict
