"""Every numeric option of every command answers a wrong value in one line, before any work."""

import sys
from collections import defaultdict

import pytest
import typer

from patchbank.cli.app import PredictOptions, main, program
from patchbank.cli.benchmark import BenchmarkOptions
from patchbank.cli.drift import DriftOptions
from patchbank.cli.option_records import rules_of
from patchbank.cli.send import SendOptions
from patchbank.cli.serve import ServeOptions
from patchbank.cli.serve_tokens import AddOptions
from patchbank.cli.setting_options import setting_options
from patchbank.errors import ParameterError
from patchbank.settings import rules as r

TEXTS = {
    "HEX",
    "FILE",
    "DIR",
    "NAME",
    "NAMES",
    "DEVICE",
    "NAME|FILE",
    "NAME,NAME",
    "FILE.onnx",
    "TEXT",
    "ENTRY",
    "RESULT[:N,...]",
    "DEFECTS",
}
TEXTS |= {"[LABEL=]NAME[:PRESET][(SETTING=VALUE,...)]", "NAME=VALUE,..."}
TEXTS |= {"ADDRESS", "URL", "PATH", "TIME", "PRODUCT=DIR", "[NAME=]KIND:TARGET"}
TEXTS |= {"NAME=PRODUCT:SOURCE"}
"""Placeholders of options that are no numbers; choices have none, or bars between them."""
NUMERIC = (r.Integer, r.Number, r.Numbers, r.Factors, r.Size, r.ThreeNumbers)
NEVER = ("nan", "inf", "-inf", "1e308", "", "text", "1" * 5000)
VALUES = (*NEVER, "-1", "0")


def commands(command, words=()):
    """(words, command) of every command below one."""
    yield words, command
    inner = {**getattr(command, "commands", {}), **getattr(command, "first_words", {})}
    for name, below in inner.items():
        yield from commands(below, (*words, name))


def options(command):
    """All options of a command that take a value."""
    with typer.Context(command) as context:
        found = [p for p in command.get_params(context) if p.param_type_name == "option"]
    return [option for option in found if not option.is_flag]


class NoOptions:
    """Options of a command that has no number."""


OF_SERVICE = defaultdict(
    lambda: NoOptions,
    {("serve",): ServeOptions, ("serve", "token", "add"): AddOptions, ("send",): SendOptions},
)
OF_OTHERS = {"limit_rows": r.Integer(2, 10**9)}
for record in (BenchmarkOptions, PredictOptions, DriftOptions):
    OF_OTHERS |= rules_of(record)


def rules(words, option):
    """Rules of an option, one for each method that has it; none where it is no number."""
    metavar = option.metavar or ""
    if words == ("fit",) and option.name in setting_options():
        declared = setting_options()[option.name].declared
        found = {name: setting.rule for name, setting in declared.items()}
        inner = {
            n: rule.rule if isinstance(rule, r.Optional) else rule for n, rule in found.items()
        }
        return {n: rule for n, rule in inner.items() if isinstance(rule, NUMERIC)}
    by_placeholder = {"R,G,B": r.mean_rule(), "HxW": r.Size(), "NUMBERS": r.Names()}
    if metavar in by_placeholder:
        return {"": by_placeholder[metavar]}
    known = rules_of(OF_SERVICE[words]) if words[0] in ("serve", "send", "records") else OF_OTHERS
    return {"": known[option.name]} if option.name in known else {}


ALL = [
    (words, option, method)
    for words, command in commands(program())
    for option in options(command)
    for method in rules(words, option)
]


def test_every_option_is_a_number_or_known_to_be_none():
    for words, command in commands(program()):
        for option in options(command):
            is_number = bool(rules(words, option))
            is_choice = option.metavar is None or "|" in option.metavar
            assert is_number or is_choice or option.metavar in TEXTS, (words, option.name)
    assert len(ALL) > 90
    tried = {option.opts[0] for words, option, _ in ALL if words[0] in ("serve", "send")}
    assert tried == {
        *("--port", "--keep-good", "--pictures-gb", "--pictures-days", "--max-queue"),
        *(
            "--max-bytes",
            "--max-detector-bytes",
            "--max-pixels",
            "--timeout-s",
            "--products-mb",
            "--stop-s",
        ),
        *("--outbox-limit", "--at-once", "--expires-days"),
    }


def arguments(words, option, method, value, folder):
    """A command line with one value, whose data are not there."""
    nothing = str(folder / "nothing")
    required = {
        ("fit",): [nothing, "--out", str(folder / "a")],
        ("benchmark",): [nothing, "--out", str(folder / "b")],
        ("predict",): [nothing, nothing],
        ("evaluate",): [nothing, nothing],
        ("tune",): [nothing, "--out", str(folder / "a")],
        ("update",): [nothing, nothing, "--out", str(folder / "a")],
        ("drift",): [nothing, nothing],
        ("check",): [nothing],
        ("cut",): [nothing, "--out", str(folder / "a")],
        ("serve",): [nothing, "--data", str(folder / "data")],
        ("serve", "token", "add"): ["eva", "--role", "admin", "--data", str(folder / "data")],
        ("send",): ["http://127.0.0.1:9", nothing],
        ("backbones", "show"): ["nothing"],
        ("backbones", "export"): ["nothing", "--out", str(folder / "a.onnx")],
    }[words]
    line = [*words, *required, option.opts[0], value]
    if method:
        line += ["--method", method]
    pairs = {"mean": "--std", "std": "--mean"}
    return line + ([pairs[option.name], "0.5,0.5,0.5"] if option.name in pairs else [])


def is_allowed(rule, name, text):
    """Whether a rule allows a value; the numbers of shots have a rule of their own."""
    try:
        rule.parse(name, text)
    except ParameterError:
        return False
    return not isinstance(rule, r.Names)


@pytest.mark.parametrize(
    ("words", "option", "method"), ALL, ids=lambda part: getattr(part, "name", None)
)
def test_a_wrong_number_is_one_line(capsys, monkeypatch, tmp_path, words, option, method):
    rule = rules(words, option)[method]
    for value in VALUES:
        text = ",".join([value] * 3) if isinstance(rule, r.ThreeNumbers) else value
        line = arguments(words, option, method, text, tmp_path)
        monkeypatch.setattr(sys, "argv", ["patchbank", *line])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        assert stopped.value.code == 2
        assert out == ""
        assert err.count("\n") == 1
        assert len(err) < 500
        if not text:
            assert err.endswith(": expected a value, got an empty text\n")
        elif is_allowed(rule, option.name, text):
            assert value not in NEVER
            assert err.startswith("error: ")
        else:
            assert err.startswith(f"error: {option.name}: expected "), err


@pytest.mark.parametrize("value", ["1e9", "361", "nan", "-1", ""])
def test_numbers_within_a_text_have_the_same_limits(capsys, monkeypatch, tmp_path, value):
    for line in (
        ["fit", "no", "--out", str(tmp_path / "a"), "--augment", f"rotations={value}"],
        [
            "benchmark",
            "no",
            "--out",
            str(tmp_path / "b"),
            "--methods",
            f"patchcore(rotations={value})",
        ],
    ):
        monkeypatch.setattr(sys, "argv", ["patchbank", *line])
        with pytest.raises(SystemExit) as stopped:
            main()
        err = capsys.readouterr().err
        assert stopped.value.code == 2
        assert err.count("\n") == 1
        assert "rotations" in err
