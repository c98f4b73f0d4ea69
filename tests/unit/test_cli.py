"""The commands: what they print, write, and exit with."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchbank import __version__
from patchbank.core import int8
from tests.command_line import run
from tests.photographs import part, save, write_dataset
from tests.report_pages import shots_of

SMALL = ["--backbone", "efficientnet_lite0", "--image-size", "128", "--bank-limit", "300"]


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("plates"), n_train=12)


@pytest.fixture(scope="module")
def fitted(plates, tmp_path_factory):
    """A detector file, made by the command in a process of its own."""
    path = tmp_path_factory.mktemp("fitted") / "plates.patchbank"
    command = [sys.executable, "-c", "from patchbank.cli import main; main()", "fit", str(plates)]
    options = [*SMALL, "--top-fraction", "0.03", "--false-alarm-rate", "0.1", "--out", str(path)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert "bank_rows 300, dimensions 264" in done.stdout
    layout = "note: MVTec AD layout: 12 photographs of train/good were learned\n"
    assert done.stderr == layout  # no bars where nobody looks
    return path


def test_predict_prints_a_line_an_image_and_a_total(capsys, fitted, plates):
    status, out, err = run(capsys, "predict", fitted, plates / "test")
    lines = out.splitlines()
    assert status == 0
    assert err == ""
    assert len(lines) == 9
    assert all(line.startswith("ANOMALOUS") for line in lines[:4])
    assert lines[-1].endswith("not readable")


def test_predict_writes_json_lines_and_overlays(capsys, fitted, plates, tmp_path):
    save(tmp_path / "in" / "a" / "1.png", part(60, defect=9))
    save(tmp_path / "in" / "a" / "1.bmp", part(61))
    save(tmp_path / "in" / "b" / "1.png", part(62))
    status, out, _ = run(
        capsys, "predict", fitted, tmp_path / "in", "--json", "-", "--out", tmp_path / "out"
    )
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [line["image"] for line in lines] == [
        str(tmp_path / "in" / n) for n in ("a/1.bmp", "a/1.png", "b/1.png")
    ]
    assert [line["anomalous"] for line in lines][1] is True
    assert set(lines[0]) == {
        "image", "size", "score", "p_value", "threshold", "anomalous", "regions", "error",
        "error_type", "schema_version", "version", "detector_sha256", "unlike",
    }  # fmt: skip
    pictures = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png")
    )
    assert pictures == ["a/1.png", "a/1.png.png", "b/1.png"]
    with Image.open(tmp_path / "out" / "a" / "1.png") as picture:
        assert picture.width >= 104


def test_predict_writes_json_to_a_file(capsys, fitted, plates, tmp_path):
    target = tmp_path / "lines.json"
    status, out, _ = run(capsys, "predict", fitted, plates / "test" / "good", "--json", target)
    assert status == 0
    assert len(target.read_text().splitlines()) == 4
    assert len(out.splitlines()) == 5


def test_an_unreadable_image_is_named_and_the_others_are_done(capsys, fitted, plates, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    good = plates / "test" / "good" / "000.png"
    status, out, err = run(capsys, "predict", fitted, broken, good, "--json", "-")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert str(broken) in err
    assert lines[0]["score"] is None
    assert lines[0]["anomalous"] is None
    assert "expected a PNG" in lines[0]["error"]
    assert lines[1]["score"] > 0


def test_fail_on_anomaly_exits_with_three(capsys, fitted, plates):
    good, bad = plates / "train" / "good", plates / "test" / "blot"
    assert run(capsys, "predict", fitted, bad, "--fail-on-anomaly")[0] == 3
    assert run(capsys, "predict", fitted, good, "--fail-on-anomaly")[0] == 0
    assert run(capsys, "predict", fitted, bad)[0] == 0


def test_overlays_never_replace_photographs(capsys, fitted, tmp_path):
    photograph = save(tmp_path / "parts" / "1.png", part(60))
    before = photograph.read_bytes()
    folder = tmp_path / "parts"
    status, _, err = run(capsys, "predict", fitted, folder, "--out", folder)
    assert status == 2
    assert "got a photograph to inspect; give --out another folder" in err
    assert photograph.read_bytes() == before


def test_names_that_are_no_text_are_inspected_too(fitted, tmp_path):
    name = os.fsencode(tmp_path) + b"/part-\xff.png"
    with open(name, "wb") as file:
        file.write(save(tmp_path / "in" / "1.png", part(60)).read_bytes())
    code = "from patchbank.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(fitted), name]
    for extra in ([], ["--json", "-"]):
        done = subprocess.run([*command, *extra], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"udcff" in done.stdout


def test_on_a_terminal_a_bar_shows_and_the_lines_stay_whole(fitted, plates, tmp_path):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with (tmp_path / "out.txt").open("wb") as out:
        code = "from patchbank.cli import main; main()"
        command = [sys.executable, "-c", code, "predict", str(fitted), str(plates / "test")]
        subprocess.run(command, stdout=out, stderr=theirs, check=True)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        assert b"inspecting" in terminal.read(100_000)
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 9


@pytest.mark.parametrize("extra", [[], ["--json", "-"]], ids=["lines", "json"])
def test_a_full_disk_is_one_line(fitted, plates, extra):
    code = "from patchbank.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(fitted), str(plates / "test"), *extra]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_evaluate_prints_writes_and_reports(capsys, fitted, plates, tmp_path):
    status, out, err = run(
        capsys,
        "evaluate",
        fitted,
        plates,
        "--json",
        tmp_path / "m.json",
        "--report",
        tmp_path / "r",
    )
    assert status == 0
    assert "image_auroc" in out
    assert "report:" in err
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert metrics["image_auroc"] == 1.0
    assert metrics["detection_rate"] == 1.0
    assert 0.9 < metrics["pixel_auroc"] <= 1.0
    assert 0.5 < metrics["aupro"] <= 1.0
    assert metrics["n_good"] == metrics["n_defect"] == 4
    assert set(metrics["per_defect"]["blot"]) == {
        "image_auroc", "pixel_auroc", "aupro", "n", "detection_rate"
    }  # fmt: skip
    assert metrics["per_defect"]["blot"]["n"] == 4
    assert metrics["per_defect"]["blot"]["aupro"] == metrics["aupro"]
    page = (tmp_path / "r" / "index.html").read_text()
    shots = shots_of(page)
    assert len(shots) == 4 + 4 + 4
    assert all(shot.photograph is not None for shot in shots)
    assert all("defect" in shot.outlines for shot in shots[:4] + shots[8:])  # the true masks
    assert not any("defect" in shot.outlines for shot in shots[4:8])
    assert "http" not in page
    assert "<svg" in page
    assert list((tmp_path / "r").iterdir()) == [tmp_path / "r" / "index.html"]


@pytest.mark.parametrize("masks", ["none", "black"])
def test_metrics_that_cannot_be_had_are_null(capsys, fitted, tmp_path, masks):
    root = write_dataset(tmp_path / "plain", masks=masks != "none")
    for mask in root.glob("ground_truth/*/*"):
        save(mask, np.zeros((72, 104), np.uint8))
    status, out, _ = run(capsys, "evaluate", fitted, root, "--json", "-")
    metrics = json.loads(out)
    assert status == 0
    assert metrics["pixel_auroc"] is metrics["pixel_ap"] is metrics["aupro"] is None
    assert metrics["per_defect"]["blot"]["pixel_auroc"] is None


def test_evaluate_counts_what_it_could_not_read(capsys, fitted, tmp_path):
    root = write_dataset(tmp_path / "plates")
    (root / "test" / "good" / "001.png").write_bytes(b"no image")
    status, out, err = run(capsys, "evaluate", fitted, root, "--json", "-")
    assert status == 1
    assert "001.png" in err
    metrics = json.loads(out)
    assert metrics["n_good"] == 3
    assert len(metrics["unread"]) == 1


def test_info_prints_what_a_file_holds(capsys, fitted):
    status, out, _ = run(capsys, "info", fitted)
    assert status == 0
    for word in ("threshold", "bank_rows", "efficientnet_lite0", "false_alarm_rate", "onnxruntime"):
        assert word in out
    facts = json.loads(run(capsys, "info", fitted, "--json", "-")[1])
    assert facts["members"][0]["bank_rows"] == 300
    assert facts["members"][0]["settings"]["image_size"] == 128


def test_a_pinned_detector_is_opened_and_another_is_refused(capsys, fitted, plates):
    digest = hashlib.sha256(Path(fitted).read_bytes()).hexdigest()
    status, out, _ = run(capsys, "info", fitted, "--sha256", digest)
    assert status == 0
    assert re.search(rf"^file_sha256 +{digest}$", out, re.M)
    for command in (["info", fitted], ["predict", fitted, plates], ["evaluate", fitted, plates]):
        for other, reason in (
            ("0" * 64, "expected the file with the sha256 0000"),
            ("x", "64 hex"),
        ):
            status, out, err = run(capsys, *command, "--sha256", other)
            assert (status, out) == (2, "")
            assert reason in err


def test_backbones_lists_layers_and_hashes(capsys):
    status, out, _ = run(capsys, "backbones")
    assert status == 0
    assert "* blocks.2     stride  8    40 channels" in out
    assert "Apache-2.0" in out
    listed = json.loads(run(capsys, "backbones", "--json", "-")[1])
    exact = ["efficientnet_lite0", "efficientnet_lite2"]
    assert [one["name"] for one in listed] == [*exact, *(f"{name}_int8" for name in exact)]
    assert len(listed[0]["sha256"]) == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fit", "{plates}", "--out", "{tmp}/a", "--image-size", "big"],
            "image_size: expected a side",
        ),
        (["fit", "{plates}", "--out", "{tmp}/a", "--mean", "1"], "with commas between them"),
        (["fit", "{plates}", "--out", "{tmp}/a", "--scales", "x"], "scales: expected numbers"),
        (
            ["fit", "{plates}", "--out", "{tmp}/a", "--layers", "layer2"],
            "expected some of blocks.1",
        ),
        (["fit", "{plates}", "--out", "{tmp}/a", "--bank-rows", "9999999"], "bank_rows: expected"),
        (["fit", "{plates}", "--out", "{tmp}/no/a"], "expected a file in a folder that exists"),
        (["fit", "{tmp}", "--out", "{tmp}/a"], "at least one image"),
        (["fit", "{tmp}/no", "--out", "{tmp}/a"], "nothing of that name"),
        (["predict", "{tmp}/no", "{plates}"], "expected a detector file"),
        (["predict", "{fitted}", "{tmp}/no"], "nothing of that name"),
        (["predict", "{fitted}", "{plates}", "--json", "{tmp}/no/a"], "--json: expected a file in"),
        (["evaluate", "{fitted}", "{plates}/train"], "and at least one of defects"),
        (["info", "{plates}/train/good/000.png"], "got a PNG image; give the detector first"),
    ],
)
def test_wrong_use_is_one_line_and_exit_status_two(
    capsys, plates, fitted, tmp_path, arguments, message
):
    places = {"plates": plates, "tmp": tmp_path, "fitted": fitted}
    status, out, err = run(capsys, *(a.format(**places) for a in arguments))
    assert status == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert message in err
    assert not (tmp_path / "a").exists()


def test_too_few_images_are_said_in_a_line_for_each_reason(capsys, plates, tmp_path):
    good = plates / "train" / "good"
    status, _, err = run(capsys, "fit", good, *SMALL, "--out", tmp_path / "a")
    assert status == 0
    few, low = err.splitlines()
    assert few.startswith("note: 12 good images are too few")
    assert low.startswith("note: with 15 photographs or fewer a low rate costs detection")


def test_several_folders_and_photographs_are_learned_together(capsys, tmp_path):
    for folder, numbers in (("a", range(4)), ("b", range(4, 7))):
        for number in numbers:
            save(tmp_path / folder / f"{number}.png", part(number))
    single = save(tmp_path / "single.png", part(7))
    out = tmp_path / "d.patchbank"
    given = [tmp_path / "a", tmp_path / "b", single]
    assert run(capsys, "fit", *given, "--out", out, *SMALL)[0] == 0
    assert json.loads(run(capsys, "info", out, "--json", "-")[1])["good_images"] == 8


def test_an_odd_photograph_is_named_with_the_folder_that_distinguishes_it(capsys, tmp_path):
    """Each of two subfolders has a 03.png; that of the right one has a blot."""
    for folder, numbers in (("left", range(10)), ("right", range(10, 18))):
        for number in numbers:
            name = f"{number % 10:02}.png"
            blot = 9 if number == 13 else 0
            save(tmp_path / folder / name, part(number, defect=blot))
    out = tmp_path / "d.patchbank"
    given = [tmp_path / "left", tmp_path / "right", "--false-alarm-rate", "0.06"]
    status, printed, _ = run(capsys, "fit", *given, "--out", out, *SMALL)
    assert status == 0
    facts = json.loads(run(capsys, "info", out, "--json", "-")[1])
    (odd,) = facts["unlike_others"]
    assert odd["image"] == "right/03.png"
    assert facts["above_threshold"][0] == odd
    assert f"  right/03.png is unlike the others (score {odd['score']:.4g}; the next " in printed
    assert "--exclude right/03.png." in printed
    shown = run(capsys, "info", out)[1]
    assert re.search(rf"^unlike_others +right/03.png {odd['score']:.4g}$", shown, re.M)
    at = [f"{one['threshold']:.4g}" for one in facts["thresholds"]]
    assert f"thresholds for 1 / 5 / 10 % false alarms: {' / '.join(at)}\n" in printed
    assert f"{at[0]} at 0.01, {at[1]} at 0.05, {at[2]} at 0.1\n" in shown


def test_augment_means_settings(capsys, tmp_path):
    good = write_dataset(tmp_path / "plates")
    out = tmp_path / "a.patchbank"
    augment = "rotations=2, flips=vertical,zooms=0.9:1.1"
    status, *_ = run(capsys, "fit", good, "--out", out, *SMALL, "--augment", augment)
    assert status == 0
    settings = json.loads(run(capsys, "info", out, "--json", "-")[1])["members"][0]["settings"]
    assert settings["rotations"] == 2
    assert settings["flips"] == "vertical"
    assert settings["zooms"] == [0.9, 1.1]


@pytest.mark.parametrize("text", ["rotate=8", "rotations=many", "zooms=", "rotations"])
def test_an_unknown_augmentation_is_answered_with_the_known_ones(capsys, tmp_path, text):
    status, _, errors = run(capsys, "fit", tmp_path, "--out", tmp_path / "a", "--augment", text)
    assert status == 2
    assert "augment: expected rotations=N, flips=" in errors
    assert errors.count("\n") == 1


def test_one_photograph_is_enough_to_begin_with(capsys, tmp_path):
    photograph = save(tmp_path / "good.png", part(0))
    out = tmp_path / "one.patchbank"
    few = ["--preset", "few-shot", *SMALL, "--augment", "rotations=4"]
    status, printed, errors = run(capsys, "fit", photograph, "--out", out, *few)
    assert status == 0
    assert "1 good photograph, threshold" in printed
    assert "(false alarms not known)" in printed
    assert "one good image does not show what other good images score" in errors
    facts = json.loads(run(capsys, "info", out, "--json", "-")[1])
    assert facts["good_images"] == 1
    assert facts["smallest_false_alarm_rate"] == 1
    assert facts["threshold_from"] == "other views of the one good image"
    assert facts["members"][0]["settings"]["image_score"] == "max"
    data = write_dataset(tmp_path / "plates")
    report = tmp_path / "report"
    assert run(capsys, "evaluate", out, data, "--report", report)[0] == 0
    assert "is provisional" in (report / "index.html").read_text()


@pytest.mark.parametrize("method", ["graphcore", "padim", "spade"])
def test_every_method_goes_the_whole_way(capsys, tmp_path, method):
    data, out = write_dataset(tmp_path / "plates"), tmp_path / "a.patchbank"
    small = ["--backbone", "efficientnet_lite0", "--image-size", "128"]
    assert run(capsys, "fit", data, "--out", out, "--method", method, *small)[0] == 0
    status, figures, _ = run(capsys, "evaluate", out, data, "--json", "-")
    assert status == 0
    assert json.loads(figures)["image_auroc"] == 1.0
    pictures = tmp_path / "pictures"
    assert run(capsys, "predict", out, data / "test" / "blot", "--out", pictures)[0] == 0
    assert len(list(pictures.iterdir())) == 4


def test_a_setting_of_another_method_is_refused(capsys, tmp_path):
    arguments = ["fit", tmp_path, "--out", tmp_path / "a", "--method", "padim", "--coreset", "0.1"]
    status, _, errors = run(capsys, *arguments)
    assert status == 2
    assert "--coreset: expected a setting of padim, got a setting of patchcore and" in errors


@pytest.mark.parametrize(
    ("command", "allowed", "listed"),
    [("", set(), "evaluate"), ("fit", {"numpy"}, "--bank-rows")],
    ids=["all commands", "fit"],
)
def test_help_does_not_import_what_computes(command, allowed, listed):
    heavy = {"numpy", "scipy", "onnxruntime", "faiss", "PIL", "jinja2"} - allowed
    code = (
        "import sys\n"
        "from patchbank.cli import main\n"
        f"sys.argv = ['patchbank', *{command.split()}, '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"found = {heavy} & set(sys.modules)\n"
        "sys.exit(f'imported {found}' if found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert listed in done.stdout


def test_a_detector_is_used_without_what_few_photographs_need():
    """Regions and turned parts take `scipy.ndimage`, which imports in 0.1 s."""
    code = (
        "import sys\n"
        "from patchbank import load\n"
        "sys.exit('imported it' if 'scipy.ndimage' in sys.modules else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_settings_are_declared_without_numpy():
    code = (
        "import sys\n"
        "import patchbank.settings\n"
        "sys.exit('imported numpy' if 'numpy' in sys.modules else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_says_whether_the_native_kernel_is_used(capsys):
    status, out, _ = run(capsys, "--version")
    assert status == 0
    assert out == f"patchbank {__version__} (native kernel: {int8.status()})\n"


def test_the_demonstration_needs_its_package(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, _, err = run(capsys, "demo", "--out", tmp_path)
    assert status == 2
    assert "pip install 'patchbank[demo]'" in err


def test_arrays_of_two_parts_differ():
    """The synthetic parts are not all one, or the tests above would say nothing."""
    assert (part(0) != part(1)).mean() > 0.2
    assert np.abs(part(0).astype(int) - part(0, defect=9)).max() > 50
