"""A method and a backbone in a package of their own: built, installed, tested, used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import patchbank
from patchbank.backbones import SOURCES
from patchbank.methods import METHODS
from tests.packages import write_package
from tests.photographs import part, parts, save

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "plugin"
BAD_METHOD = (
    "warning: bad-methods 1.0: its method 'bad' cannot be used: ModuleNotFoundError: No module "
    "named 'no_such_module'"
)
TAKEN_METHOD = (
    "warning: bad-methods 1.0: its method 'padim' cannot be used: the name belongs to patchbank"
)
CLASHING_METHODS = """
from dataclasses import make_dataclass

from patchbank.methods import Method
from patchbank.settings import Settings, setting
from patchbank.settings.rules import Flag, Integer


def method(entry, name, kind, default, rule):
    declared = setting(default, "Help.", rule=rule, group="Other")
    options = {"frozen": True, "kw_only": True}
    record = make_dataclass("Clashing", [(name, kind, declared)], bases=(Settings,), **options)
    return Method(entry, record, record, {}, None, None)


DEVICE = method("device", "device", str, 1, Integer(1))
OUT = method("out", "out", str, 1, Integer(1))
FLAG = method("flag", "n_neighbours", bool, False, Flag())
VALUE = method("value", "normalise_score", int, 1, Integer(1))
"""
TOY = ["--method", "toy", "--backbone", "toy:blocks", "--image-size", "96x160"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """-> folder with the installed toy package."""
    pytest.importorskip("hatchling", reason="pip install 'patchbank[dev]'")
    folder = tmp_path_factory.mktemp("site")
    quiet = ["--quiet", "--disable-pip-version-check", "--no-index"]
    options = [*quiet, "--no-deps", "--no-build-isolation", "--target", folder]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, PACKAGE], check=True)
    return folder


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """-> folder with a package whose modules cannot be imported, or claim names of ours."""
    folder = tmp_path_factory.mktemp("broken")
    points = {"bad": "bad_methods:METHOD", "padim": "bad_methods:METHOD"}
    write_package(folder, "bad-methods", "patchbank.methods", points, "import no_such_module")
    points = {"bad": "bad_backbones:SOURCE", "timm": "bad_backbones:SOURCE"}
    write_package(folder, "bad-backbones", "patchbank.backbones", points, "SOURCE = 3")
    return folder


def python(*arguments, folders=(), cwd=ROOT):
    """Run Python with packages in `folders`.  -> what it printed, and its status."""
    own = Path(patchbank.__file__).parents[1]
    paths = [*folders, own, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    environment.pop("PATCHBANK_REQUIRE", None)  # only the toy package is tested there
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
    )


def command(*arguments, folders):
    program = "from patchbank.cli import main; main()"
    return python("-c", program, *arguments, folders=folders)


def test_our_own_come_first():
    assert list(METHODS)[:5] == ["patchcore", "graphcore", "padim", "spade", "simplenet"]
    assert list(SOURCES)[:4] == ["embedded", "onnx", "vig", "timm"]


def test_they_keep_the_contracts(site):
    suites = ["tests/contract/test_methods.py", "tests/contract/test_backbones.py"]
    options = ["-p", "no:cacheprovider", "-rp", "-k", "toy"]
    done = python("-m", "pytest", *options, *suites, folders=[site])
    assert done.returncode == 0, done.stdout + done.stderr
    passed = [line for line in done.stdout.splitlines() if line.startswith("PASSED ")]
    names = [line for line in passed if "[toy" in line]
    assert len([name for name in names if "test_methods" in name]) >= 19
    assert len([name for name in names if "test_backbones" in name]) >= 11


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """-> folder with eight good photographs, and one with a defect beside it."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, image in enumerate(parts(8)):
        save(folder / "good" / f"{number}.png", image)
    save(folder / "odd.png", part(50, defect=12))
    return folder


@pytest.fixture(scope="module")
def detector(site, photographs):
    """-> a detector file of the toy method on the toy backbone, made from the command line.

    Two layers of nine channels, at two scales, give 36 numbers per patch.
    """
    out = photographs / "toy.patchbank"
    rate = ["--false-alarm-rate", "0.2"]
    done = command("fit", photographs / "good", "--out", out, *TOY, *rate, folders=[site])
    assert done.returncode == 0, done.stderr
    assert "toy on toy:blocks: channels 36, distance euclidean, is_diagonal True\n" in done.stdout
    return out


def test_a_saved_detector_finds_the_defect(site, photographs, detector):
    target = photographs / "odd.json"
    images = [photographs / "odd.png", photographs / "good" / "0.png"]
    done = command("predict", detector, *images, "--json", target, folders=[site])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 good, 1 anomalous, 0 not readable"


def test_info_shows_method_and_backbone(site, detector):
    done = command("info", detector, "--json", "-", folders=[site])
    (member,) = json.loads(done.stdout)["members"]
    assert (member["method"], member["backbone"]) == ("toy", "toy:blocks")
    assert member["backbone_runs_in"] == "toy"
    assert member["layers"] == ["fine", "coarse"]


def test_without_the_package_one_line_says_what_is_missing(photographs, detector):
    done = command("predict", detector, photographs / "odd.png", folders=[])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr == (
        f"error: {detector}: method: expected one of patchcore, graphcore, padim, spade, "
        "simplenet, got 'toy'; install the package that the detector was fitted with, or a newer "
        "patchbank\n"
    )


BROKEN_RESTORE = """
from patchbank_toy.method import ToyLearner, ToyParameters, ToySettings
from patchbank.methods import Method


def restore(parameters, tensors, device):
    {fault}


METHOD = Method("toy", ToySettings, ToyParameters, {{}}, ToyLearner, restore)
"""


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("return [][0]", "IndexError: list index out of range"),
        ("return tensors.no_such", "AttributeError: 'dict' object has no attribute 'no_such'"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ],
)
def test_a_method_that_cannot_open_its_file_is_named_with_its_package(
    site, tmp_path, photographs, detector, fault, reason
):
    code = BROKEN_RESTORE.format(fault=fault)
    points = {"toy": "a_toy:METHOD"}
    write_package(tmp_path, "a-toy", "patchbank.methods", points, code)
    done = command("predict", detector, photographs / "odd.png", folders=[tmp_path, site])
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {detector}: a-toy 1.0: its method 'toy' cannot open the detector: {reason}; "
        "install the version of the package that it was fitted with\n"
    )


def test_backbones_of_packages_are_listed_and_shown(site):
    done = command("backbones", "--json", "-", folders=[site])
    listed = json.loads(done.stdout)
    assert [one["name"] for one in listed] == [
        "efficientnet_lite0",
        "efficientnet_lite2",
        "efficientnet_lite0_int8",
        "efficientnet_lite2_int8",
        "toy:blocks",
    ]
    assert listed[-1]["layers"] == {
        "fine": {"channels": 9, "stride": 4},
        "coarse": {"channels": 9, "stride": 8},
    }
    assert command("backbones", "show", "toy:blocks", folders=[site]).returncode == 0
    unknown = command("backbones", "show", "toy:cubes", folders=[site])
    assert "backbone: expected one of toy:blocks, got 'toy:cubes'" in unknown.stderr
    weights = ["--weights", "a.pth"]
    save(site / "good" / "1.png", part(1))
    refused = command("fit", site / "good", "--out", "a.patchbank", *TOY, *weights, folders=[site])
    assert "weights: expected with a timm model or a ViG" in refused.stderr


def test_a_broken_package_is_named_and_the_others_work(site, broken, photographs):
    done = command("backbones", folders=[broken, site])
    assert done.returncode == 0
    assert "toy:blocks  Apache-2.0  patchbank-toy" in done.stdout
    assert done.stderr.splitlines() == [
        "warning: bad-backbones 1.0: its backbone source 'bad' cannot be used: TypeError: expected "
        "an instance of BackboneSource, got int",
        "warning: bad-backbones 1.0: its backbone source 'timm' cannot be used: the name belongs "
        "to patchbank",
    ]
    out = photographs / "second.patchbank"
    fit = ["fit", photographs / "good", "--out", out, "--false-alarm-rate", "0.2"]
    done = command(*fit, *TOY, folders=[broken, site])
    assert (done.returncode, out.exists()) == (0, True), done.stderr
    assert done.stderr.splitlines() == [BAD_METHOD, TAKEN_METHOD]
    done = command(*fit, *TOY, "--method", "bad", folders=[broken, site])
    assert done.returncode == 2
    assert done.stderr.splitlines()[:2] == [BAD_METHOD, TAKEN_METHOD]
    assert done.stderr.splitlines()[2].startswith(
        "error: bad-methods 1.0: its method 'bad' cannot be used: ModuleNotFoundError"
    )


def test_a_setting_that_would_change_options_of_ours_is_refused(site, tmp_path):
    names = ("device", "flag", "out", "value")
    points = {name: f"clashing_methods:{name.upper()}" for name in names}
    group = "patchbank.methods"
    write_package(tmp_path, "clashing-methods", group, points, CLASHING_METHODS)
    done = command("fit", "--help", folders=[site, tmp_path])
    assert done.returncode == 0
    assert "--floor" in done.stdout
    reasons = {
        "device": "expected another name of the setting 'device', which is an option of fit",
        "flag": "expected a value for the setting 'n_neighbours', as of patchcore, got a flag",
        "out": "expected another name of the setting 'out', which is an option of fit",
        "value": "expected a flag for the setting 'normalise_score', as of patchcore, got a value",
    }
    assert done.stderr.splitlines() == [
        f"warning: clashing-methods 1.0: its method '{name}' cannot be used: TypeError: {reason}"
        for name, reason in reasons.items()
    ]


def test_settings_of_the_method_are_options(site, photographs):
    shown = command("fit", "--help", folders=[site]).stdout
    assert "--floor" in shown
    assert "Smallest standard deviation of a channel." in shown
    out = photographs / "third.patchbank"
    fit = ["fit", photographs / "good", "--out", out, "--false-alarm-rate", "0.2"]
    done = command(*fit, *TOY, "--floor", "0.5", "--support", "0.25", folders=[site])
    assert done.returncode == 0, done.stderr
    done = command("info", out, "--json", "-", folders=[site])
    (member,) = json.loads(done.stdout)["members"]
    assert (member["settings"]["floor"], member["settings"]["support"]) == (0.5, 0.25)
    assert (member["distance"], member["is_diagonal"]) == ("euclidean", True)
    refused = command(*fit, *TOY, "--floor", "-1", folders=[site])
    assert refused.returncode == 2
    assert "floor: expected" in refused.stderr
    refused = command(*fit, *TOY, "--preset", "balanced", folders=[site])
    assert "preset: expected none, toy has no presets, got 'balanced'" in refused.stderr
