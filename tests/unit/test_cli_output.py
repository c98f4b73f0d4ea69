"""The texts of the command line, to the letter."""

import json
from dataclasses import replace

import numpy as np
import pytest

from patchbank.backbones.extractor import BackboneInfo, Layer
from patchbank.cli import output
from patchbank.core import int8
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.fit_facts import FitFacts
from patchbank.detector.inspection import FailedInspection
from patchbank.errors import DataError
from patchbank.evaluation.evaluate import DefectResult, Evaluation
from patchbank.evaluation.metrics.curves import count_images
from tests.painted import INFO, Colours, detector, member, photograph, settings, write


def test_totals_are_good_then_anomalous_then_unread(capsys):
    output.totals(7, 3, 2)
    assert capsys.readouterr() == ("7 good, 3 anomalous, 2 not readable\n", "")


def test_a_good_photograph_is_a_line_with_score_and_p_value(capsys, tmp_path):
    path = write(tmp_path / "a.png", photograph(70))
    output.outcome(detector().predict(path))
    assert capsys.readouterr() == (f"good              70  p=0.75    {path}\n", "")


def test_a_score_on_the_threshold_is_good(capsys):
    output.outcome(detector().predict(photograph(100)))
    assert capsys.readouterr().out == "good             100  p=0.5     array\n"


def test_an_anomalous_photograph_shows_where_its_worst_region_is(capsys):
    """Left, top, width x height of the region of the largest value."""
    image = photograph(150, (120, slice(2, 4), slice(3, 10)), (200, slice(20, 25), slice(30, 33)))
    output.outcome(detector().predict(image))
    assert capsys.readouterr().out == ("ANOMALOUS        150  p=0.25    array  at 30,20 3x5 (+1)\n")


def test_one_region_has_no_others_beside_it(capsys):
    output.outcome(detector().predict(photograph(150, (91, slice(2, 4), slice(3, 10)))))
    assert capsys.readouterr().out == "ANOMALOUS        150  p=0.25    array  at 3,2 7x2\n"


def test_scores_have_four_digits_in_a_column_of_their_own(capsys):
    calibration = Calibration(np.array([0.00012345, 60.0]), np.array([1.0, 2.0]), 0.5)
    seen = detector(calibration=calibration).predict(photograph(1))
    output.outcome(replace(seen, score=0.00012345, p_value=1 / 3))
    output.outcome(replace(seen, score=123456.0, p_value=0.0001234))
    assert capsys.readouterr().out.splitlines() == [
        "good       0.0001234  p=0.33    array",
        "ANOMALOUS  1.235e+05  p=0.00012 array",
    ]


def test_what_could_not_be_read_goes_to_standard_error_in_one_line(capsys):
    output.outcome(FailedInspection("a\n.png", "a\n.png: expected an image, got nothing"))
    assert capsys.readouterr() == ("", "error: a\\n.png: expected an image, got nothing\n")


def test_notes_go_to_standard_error_as_they_are(capsys):
    output.note("note: a  b")
    assert capsys.readouterr() == ("", "note: a  b\n")


def evaluation(**changes):
    """An evaluation whose figures all differ."""
    figures = {
        "dataset": "plates",
        "image_auroc": 0.91234,
        "image_ap": 0.82345,
        "image_f1_max": 0.73456,
        "pixel_auroc": 0.64567,
        "pixel_ap": 0.55678,
        "aupro": 0.46789,
        "detection_rate": 0.37812,
        "false_alarm_rate": 0.28923,
        "n_good": 19,
        "n_defect": 23,
        "per_defect": {
            "scratch": DefectResult(0.11111, 0.22222, 0.33333, 12, 0.4444),
            "bent lead": DefectResult(0.5, None, None, 11, 1.0),
        },
        "ranking": count_images(np.array([1.0, 2.0]), np.array([True, False])),
        "inspections": (),
        "unread": (),
    }
    return Evaluation(**{**figures, **changes})


def test_an_evaluation_is_its_figures_and_a_table_of_defects(capsys):
    output.show_evaluation(evaluation())
    assert capsys.readouterr().out.splitlines() == [
        "image_auroc        0.9123",
        "image_ap           0.8235",
        "image_f1_max       0.7346",
        "pixel_auroc        0.6457",
        "pixel_ap           0.5568",
        "aupro              0.4679",
        "detection_rate     0.3781",
        "false_alarm_rate   0.2892",
        "n_good             19",
        "n_defect           23",
        "",
        "defect                 images  image AUROC  pixel AUROC    AUPRO    found",
        "scratch                    12       0.1111       0.2222   0.3333   44.4 %",
        "bent lead                  11       0.5000            -        -  100.0 %",
    ]


def test_figures_that_cannot_be_had_are_not_listed(capsys):
    output.show_evaluation(evaluation(pixel_auroc=None, pixel_ap=None, aupro=None))
    listed = [line.split()[0] for line in capsys.readouterr().out.split("\n\n")[0].splitlines()]
    assert listed == [
        "image_auroc",
        "image_ap",
        "image_f1_max",
        "detection_rate",
        "false_alarm_rate",
        "n_good",
        "n_defect",
    ]


def test_a_fit_prints_images_threshold_rate_size_and_facts(capsys, tmp_path):
    path = tmp_path / "a.patchbank"
    path.write_bytes(bytes(1_260_000))
    facts = {"bank_rows": 12345, "radius": 3.14159, "recall": None, "dimensions": 7}
    one = detector(member(name="patchcore", facts=facts))
    output.fitted(one, path)
    lines = [f"  {line}\n" for line in FitFacts.of(one).lines]
    assert capsys.readouterr() == (
        f"{path}: 3 good photographs, threshold 100 for 25 % false alarms, 1.3 MB\n"
        + "".join(lines)
        + "  patchcore on paint: bank_rows 12,345, radius 3.142, dimensions 7\n",
        "",
    )


def test_a_fit_lists_each_member(capsys, tmp_path):
    path = tmp_path / "a.patchbank"
    path.write_bytes(b"")
    members = member(name="one", facts={"rows": 1}), member(name="two", facts={"rows": 2})
    output.fitted(detector(*members), path)
    assert capsys.readouterr().out.splitlines()[4:] == [
        "  one on paint: rows 1",
        "  two on paint: rows 2",
    ]


def test_a_fit_on_one_photograph_does_not_know_its_false_alarms(capsys, tmp_path):
    path = tmp_path / "a.patchbank"
    path.write_bytes(b"")
    views = Calibration(np.array([60.0, 80.25]), np.array([1.0, 2.0]), 0.2, views_of_one=True)
    output.fitted(detector(calibration=views, fitted_on=("a",)), path)
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == (
        f"{path}: 1 good photograph, threshold 80.25 (false alarms not known), 0.0 MB"
    )
    assert len(out.splitlines()) == 2
    assert err == f"note: {views.remark}\n"


def test_too_few_photographs_are_noted_with_the_rate_asked_for(capsys, tmp_path):
    path = tmp_path / "a.patchbank"
    path.write_bytes(b"")
    few = Calibration(np.array([60.0, 80.0]), np.array([1.0, 2.0]), 0.015)
    output.fitted(detector(calibration=few, fitted_on=("a", "b")), path)
    out, err = capsys.readouterr()
    assert "2 good photographs, threshold 80 for 1.5 % false alarms" in out
    notes = [f"note: {few.remark}", f"note: {FitFacts(few, ('a', 'b')).remarks[1]}"]
    assert err.splitlines() == notes


def test_facts_of_a_detector_stand_under_their_names():
    info = replace(INFO, source_sha256="0123")
    network = Colours()
    network.info = info
    one = replace(member(name="padim", facts={"rank": 5}), extractor=network)
    summary = output.detector_summary(detector(one, versions={"numpy": "2.9"}))
    facts = FitFacts.of(detector()).to_json()
    assert (facts["good_images"], facts["threshold"], facts["pixel_threshold"]) == (3, 100, 90)
    assert summary == {
        **facts,
        "region_of_interest": None,
        "settings_choice": None,
        "pictures": None,
        "remembered_defects": 0,
        "card": {},
        "history": None,
        "photographs": None,
        "members": [
            {
                "method": "padim",
                "rank": 5,
                "backbone": "paint",
                "layers": ["colours"],
                "backbone_runs_in": "torch",
                "backbone_precision": "float32",
                "backbone_sha256": "5eed",
                "backbone_weights_sha256": "0123",
                "backbone_license": "CC0",
                "backbone_source": "tests",
                "settings": settings().to_mapping(),
            }
        ],
        "versions": {"numpy": "2.9"},
        "native_kernel": int8.status(),
    }
    assert json.dumps(summary)


def test_facts_of_rates_and_weights_that_differ():
    """Rate asked for and rate resolved; a backbone's own hash where its weights have none."""
    views = Calibration(np.array([60.0, 80.0]), np.array([1.0, 2.0]), 0.2, views_of_one=True)
    summary = output.detector_summary(detector(calibration=views))
    assert summary["false_alarm_rate"] == 0.2
    assert summary["smallest_false_alarm_rate"] == 1.0
    assert summary["threshold_from"] == "other views of the one good image"
    assert summary["members"][0]["backbone_weights_sha256"] == "5eed"
    few = Calibration(np.array([60.0, 80.0]), np.array([1.0, 2.0]), 0.2)
    assert output.detector_summary(detector(calibration=few))["smallest_false_alarm_rate"] == 1 / 3


def test_photographs_and_thresholds_are_shown_on_a_line_each(capsys):
    many = [{"image": f"{i}\n.png", "score": 90.123456 - i} for i in range(7)]
    facts = {
        "thresholds": [
            {"false_alarm_rate": 0.01, "threshold": 12.34567, "pixel_threshold": 3.0},
            {"false_alarm_rate": 0.05, "threshold": 9.0, "pixel_threshold": 2.0},
        ],
        "above_threshold": many,
        "unlike_others": [],
        "settings_choice": None,
        "groups": 3,
    }
    output.show_facts(facts)
    assert capsys.readouterr().out.splitlines() == [
        "thresholds                   12.35 at 0.01, 9 at 0.05",
        "above_threshold              0\\n.png 90.12, 1\\n.png 89.12, 2\\n.png 88.12, "
        "3\\n.png 87.12, 4\\n.png 86.12 and 2 more",
        "unlike_others                no photograph",
        "settings_choice              None",
        "groups                       3",
    ]


def test_facts_are_shown_one_a_line_and_indented(capsys):
    output.show_summary(
        {
            "threshold": 1.5,
            "layers": ["a", "b"],
            "members": [{"method": "x", "settings": {"seed": 3}}, {"method": "y"}],
            "versions": {"numpy": "2.9"},
            "none": [],
        }
    )
    assert capsys.readouterr().out.splitlines() == [
        "threshold                    1.5",
        "layers                       ['a', 'b']",
        "member",
        "  method                     x",
        "  settings",
        "    seed                     3",
        "member",
        "  method                     y",
        "versions",
        "  numpy                      2.9",
        "none                         []",
    ]


def test_a_backbone_is_shown_with_its_input_and_layers(capsys):
    """The range of the input is that of all colours: (0 - 0.5) / 0.25 to (1 - 0.4) / 0.2."""
    info = BackboneInfo(
        name="small",
        available_layers={"stem": Layer(16, 2), "blocks.10": Layer(1024, 32)},
        default_layers=("blocks.10",),
        mean=(0.4, 0.5, 0.45),
        std=(0.2, 0.25, 0.3),
        size_multiple=16,
        input_size=(224, 320),
        license="MIT",
        source="https://example.org",
        sha256="abc",
    )
    output.show_backbones([info, replace(info, name="free", input_size=None, sha256="")])
    rest = [
        "    stem         stride  2    16 channels",
        "  * blocks.10    stride 32  1024 channels",
    ]
    assert capsys.readouterr().out.splitlines() == [
        "small  MIT  https://example.org",
        "  input   RGB -2 to 3, size 224 x 320, multiples of 16",
        *rest,
        "  sha256  abc",
        "free  MIT  https://example.org",
        "  input   RGB -2 to 3, size any, multiples of 16",
        *rest,
    ]


def test_json_goes_to_standard_output_or_a_file(capsys, tmp_path):
    content = {"a": [1, None], "b": "é"}
    output.write_json(content, "-")
    output.write_json(content, str(tmp_path / "a.json"))
    out = capsys.readouterr().out
    assert json.loads(out) == content
    assert out.endswith("}\n")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == out


def test_json_that_cannot_be_written_is_named(tmp_path):
    target = str(tmp_path / "no" / "a.json")
    with pytest.raises(DataError) as caught:
        output.write_json({}, target)
    assert str(caught.value) == f"{target}: expected to write JSON, got: No such file or directory"
