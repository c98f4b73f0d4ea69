"""Every setting of every method is an option of `patchbank fit`, as it is declared."""

import sys

import pytest
import typer

from patchbank.cli import app as cli
from patchbank.cli import options
from patchbank.cli.setting_options import (
    FitOptions,
    SettingOption,
    members_of,
    panels,
    setting_options,
)
from patchbank.errors import ParameterError
from patchbank.methods import METHODS, OPTIONS_OF_FIT
from patchbank.settings import Setting, settings_of
from patchbank.settings.rules import Choice, Flag, Integer
from tests.contract.settings_changes import COMPANIONS

DECLARED = [
    pytest.param(method, setting, id=f"{name}-{setting.name}")
    for name, method in METHODS.items()
    for setting in settings_of(method.settings).values()
]
FIT = typer.main.get_command(cli.app).commands["fit"]
CONTEXT = typer.Context(FIT, info_name="patchbank fit", terminal_width=100)
PARAMETERS = {parameter.name: parameter for parameter in FIT.get_params(CONTEXT)}


def members(method, **given):
    return members_of(FitOptions(method=method), given)


def test_no_method_can_have_a_setting_that_is_called_as_an_option_of_the_command():
    settings = {name for method in METHODS.values() for name in settings_of(method.settings)}
    assert set(PARAMETERS) - settings == set(OPTIONS_OF_FIT)


def test_a_setting_that_is_a_flag_of_one_package_and_a_value_of_another_is_written_as_a_value():
    flag = Setting(False, "On.", Flag(), "Other", name="knob")
    value = Setting(2, "Size.", Integer(1), "Other", name="knob")
    for declared in ({"a": flag, "b": value}, {"b": value, "a": flag}):
        option = SettingOption("knob", declared)
        assert option.flags in ("--knob true|false|N", "--knob N|true|false")
    assert SettingOption("knob", {"a": flag}).flags == "--knob/--no-knob"


@pytest.mark.parametrize(("method", "setting"), DECLARED)
def test_an_option_says_what_the_declaration_says(method, setting):
    parameter = PARAMETERS[setting.name]
    assert setting.option in parameter.opts
    if isinstance(setting.rule, Choice):
        words = parameter.metavar.split("|")
        assert set(setting.rule.choices) <= set(words)
        assert len(words) == len(set(words))
    assert setting.help in parameter.help
    if setting.default_text:
        stated = parameter.help.rsplit("default: ", 1)[1].rstrip("]")
        assert setting.default_text in stated
        first = setting_options()[setting.name].first
        assert setting.default == first.default or method.name in stated


def test_help_states_where_methods_differ():
    help_of = {name: option.help for name, option in setting_options().items()}
    assert help_of["image_size"].endswith(
        "default: 512, 448 for graphcore, simplenet, 320 for padim, 256 for spade]"
    )
    assert help_of["resize"].endswith("[default: area, squash for padim]")
    assert (
        "; padim, simplenet: max|smooth_max|top_fraction; spade: pooled|" in help_of["image_score"]
    )
    assert "[an integer, 1 or more; also of spade; default: 1]" in help_of["n_neighbours"]
    text = "For spade: Most similar pixels of those photographs whose distances are averaged"
    assert text in help_of["n_neighbours"]
    assert "For padim, simplenet: Score of an image: the largest" in help_of["image_score"]
    assert "For spade: Score of an image: the mean distance" in help_of["image_score"]
    assert "For " not in help_of["smoothing"]
    assert help_of["smoothing"].endswith("[a number from 0 to 100 pixels; default: 4]")
    assert "; if not given" not in help_of["steps"]


@pytest.mark.parametrize(("method", "setting"), DECLARED)
def test_what_is_written_arrives(method, setting):
    for value in setting.rule.valid_values():
        kept = setting.rule.check(setting.name, value)
        text = kept if isinstance(setting.rule, Flag) else setting.rule.text(kept)
        written = [text] if setting.name in options.OF_MEMBERS else text
        given = {setting.name: written}
        for other, needed in COMPANIONS.get(setting.name, {}).items() if kept is not None else ():
            one = settings_of(method.settings)[other].rule.text(needed)
            given[other] = [one] if other in options.OF_MEMBERS else one
        (record,) = members(method.name, **given)
        assert getattr(record, setting.name) == kept


@pytest.mark.parametrize("method", METHODS)
def test_a_setting_of_other_methods_says_whose_it_is(method):
    known = settings_of(METHODS[method].settings)
    others = [o for n, o in setting_options().items() if o.methods and n not in known]
    assert others
    for option in others:
        owners = " and ".join(option.methods)
        text = option.first.rule.text(option.first.rule.valid_values()[-1])
        with pytest.raises(ParameterError) as caught:
            members(method, **{option.name: text})
        assert str(caught.value) == (
            f"{option.first.option}: expected a setting of {method}, got a setting of {owners}; "
            f"give --method {option.methods[0]}, or leave it out"
        )


def test_help_lists_a_dozen_options_first_then_subjects_then_methods():
    listed = panels()
    assert list(listed)[:2] == ["Options of every day", "Photograph"]
    assert [heading.split(" (")[0] for heading in listed][2:] == [
        "Backbone", "Augmentation", "Patches", "Bank", "Score", "Map",
        "PatchCore", "GraphCore", "PaDiM", "SPADE", "SimpleNet", "Machine and file",
    ]  # fmt: skip
    # Without --out, --each, --cluster, --checkpoint, --report, --exclude, --roi, --ignore,
    # --keep-crops and --help.
    assert len(listed["Options of every day"]) == 13
    names = [name for names in listed.values() for name in names]
    assert len(names) == len(set(names))
    assert {
        *names,
        "good",
        "out",
        "each",
        "cluster",
        "checkpoint",
        "report",
        "exclude",
        "roi",
        "ignore",
        "keep_crops",
        "help",
    } == set(PARAMETERS)
    text = FIT.get_help(CONTEXT)
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == ["Arguments", *listed]
    assert max(len(line) for line in text.splitlines()) <= 100


def test_augmentation_can_be_written_in_one_option():
    written = FitOptions(augment="rotations=2, flips=vertical,zooms=0.9:1.1")
    (record,) = members_of(written, {"translations": "3"})
    assert (record.rotations, record.flips, record.translations) == (2, "vertical", 3)
    assert record.zooms == (0.9, 1.1)
    with pytest.raises(ParameterError, match="flips: expected once, got it as an option and in"):
        members_of(written, {"flips": "both"})


def test_an_ensemble_has_a_member_for_each_backbone():
    one, two = members("padim", backbone=["a", "b"], layers=["x,y", "-"], seed="3")
    assert (one.backbone, one.layers, one.seed) == ("a", ("x", "y"), 3)
    assert (two.backbone, two.layers, two.seed) == ("b", None, 3)
    with pytest.raises(ParameterError, match=r"layers: expected one for each backbone \(2; - for"):
        members("padim", backbone=["a", "b"], layers=["x"])


def test_options_change_a_preset_and_rule_out_what_it_says():
    (record,) = members_of(FitOptions(preset="anomalib"), {"bank_rows": "50"})
    assert (record.bank_rows, record.coreset, record.start) == (50, None, "random")
    (record,) = members_of(FitOptions(preset="anomalib"), {"crop": "none", "image_size": "96x128"})
    assert (record.image_size, record.resize) == ((96, 128), "area")
    with pytest.raises(ParameterError, match="preset: expected one of fast, .*, got 'paper'"):
        members_of(FitOptions(preset="paper"), {})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--largest-enlargement=2", "--max-upscale"),
        ("--top-share", "--top-fraction"),
        ("--support", "--n-reweight-neighbours"),
        ("--deepest-apart", "--pool-deepest-only"),
    ],
)
def test_a_renamed_option_is_named_by_its_new_name(old, new, monkeypatch, capsys, tmp_path):
    arguments = ["patchbank", "fit", str(tmp_path), "--out", str(tmp_path / "a"), *old.split(), "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    former = old.split("=")[0]
    line = f"error: {former}: expected an option of fit, got one that was renamed; use {new}\n"
    assert capsys.readouterr().err == line
