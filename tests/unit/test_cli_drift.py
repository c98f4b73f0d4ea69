"""`patchbank drift`, from photographs through `fit` and `predict` to the verdict, JSON and page."""

import io
import json
import sys

import numpy as np
import pytest

from patchbank import PatchCore, load
from patchbank.cli.app import main
from patchbank.drift.follow import one_of_each
from patchbank.drift.lines import InspectedPart, LineReader
from tests.photographs import part, save

N_GOOD, N_CHANGED, N_FAR = 60, 40, 15


def run(*arguments):
    """Exit status of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["patchbank", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    return stopped.value.code


def brighter(image, by=17):
    """The photograph with more light."""
    return np.clip(image.astype(int) + by, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A detector, and the lines of good parts, of parts in other light, and of all."""
    root = tmp_path_factory.mktemp("drift")
    recipe = PatchCore(
        backbone="efficientnet_lite0", image_size=96, bank_limit=200, false_alarm_rate=0.1
    )
    recipe.fit([part(300 + number) for number in range(15)]).save(root / "plates.patchbank")
    for number in range(N_GOOD):
        save(root / "before" / f"{number:03}.png", part(1000 + number))
    for number in range(N_CHANGED):
        save(root / "since" / f"{number:03}.png", brighter(part(2000 + number)))
    for number in range(N_FAR):
        save(root / "far" / f"{number:03}.png", brighter(part(3000 + number), by=35))
    for name in ("before", "since", "far"):
        file = root / f"{name}.jsonl"
        assert run("predict", root / "plates.patchbank", root / name, "--json", file) == 0
    both = (root / "before.jsonl").read_bytes() + (root / "since.jsonl").read_bytes()
    (root / "all.jsonl").write_bytes(both)
    return root


@pytest.fixture
def drift(folder, capsys):
    """Run the command on files of the folder.  -> status, standard output, standard error."""

    def command(*arguments):
        capsys.readouterr()
        status = run("drift", folder / "plates.patchbank", *arguments)
        return (status, *capsys.readouterr())

    return command


def test_good_parts_as_before_are_no_drift(folder, drift):
    status, out, err = drift(folder / "before.jsonl")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("60 parts: ")
    assert lines[1].startswith("no sign that good parts have changed: evidence ")
    assert lines[1].endswith("the alarm is at 2.0")
    assert "at most 1 % have a false alarm" in lines[2]
    assert lines[3].startswith("parts 1 to 60: ")


def test_other_light_is_found_where_it_begins(folder, drift, tmp_path):
    status, out, _ = drift(folder / "all.jsonl", "--json", tmp_path / "drift.json")
    found = json.loads((tmp_path / "drift.json").read_text())
    assert status == 1
    assert found["alarm"]
    assert found["parts"] == N_GOOD + N_CHANGED
    change = found["change"] or found["more_flagged"]
    assert abs(change["since"] - (N_GOOD + 1)) <= 5
    assert change["since"] <= change["part"] <= N_GOOD + 30
    assert change["before"] < change["after"]
    assert f"since about part {change['since']}" in out
    assert f"alarm at part {change['part']}" in out
    assert change["image"] in out


def test_parts_of_which_none_passes_raise_the_alarm(folder, drift, tmp_path):
    status, out, err = drift(folder / "far.jsonl", "--report", tmp_path)
    assert status == 1
    assert out.startswith("15 parts: 0 passed, 15 flagged (100 %)")
    assert "note: no part passed: lines that predict wrote with --only-anomalous" in err
    assert "more parts are flagged from the first part on (" in out
    assert " of the learned ones, 100 % since)" in out
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<h1>More parts are flagged</h1>" in page
    assert "Mean score" not in page


def test_standard_input_is_the_same_and_names_the_alarm_at_once(folder, drift, monkeypatch):
    content = (folder / "all.jsonl").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    status, out, err = drift("-")
    of_file = drift(folder / "all.jsonl")
    assert (status, out) == of_file[:2]
    assert err.startswith("note: alarm at part ")


def test_lines_day_by_day_are_as_good_as_all_at_once(folder, drift, tmp_path):
    state = tmp_path / "monitor.json"
    first = drift(folder / "before.jsonl", "--state", state)
    second = drift(folder / "since.jsonl", "--state", state, "--json", tmp_path / "days.json")
    whole = drift(folder / "all.jsonl", "--json", tmp_path / "whole.json")
    assert (first[0], second[0], whole[0]) == (0, 1, 1)
    days, at_once = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("days", "whole"))
    for key in ("parts", "passed", "flagged", "evidence", "flagged_evidence"):
        assert days[key] == at_once[key]
    name = "change" if at_once["change"] else "more_flagged"
    for key in ("part", "since", "direction"):
        assert days[name][key] == at_once[name][key]
    assert [(lot["first"], lot["last"]) for lot in days["lots"]] == [(N_GOOD + 1, 100)]


def test_a_state_of_another_rate_is_refused(folder, drift, tmp_path):
    drift(folder / "before.jsonl", "--state", tmp_path / "monitor.json")
    status, _, err = drift(
        *(folder / "before.jsonl", "--state", tmp_path / "monitor.json", "--alarm-rate", "0.05")
    )
    assert status == 2
    assert err.count("\n") == 1
    assert "expected a monitor with false_alarm_rate 0.05, got 0.01" in err


def test_lines_that_cannot_be_used_are_counted_and_named(folder, drift, tmp_path):
    good = (folder / "before.jsonl").read_text().splitlines()
    other = json.dumps({**json.loads(good[0]), "detector_sha256": "ab" * 32})
    newer = json.dumps({**json.loads(good[0]), "schema_version": 2})
    unnamed = {k: v for k, v in json.loads(good[1]).items() if k != "detector_sha256"}
    failed = dict.fromkeys(("size", "score", "p_value"), None)
    failed |= {"image": "a.png", "error": "a.png: unread", "schema_version": 1}
    wrong = ["", "{", "[1]", newer, '{"image": "a.png"}', '{"image": 3, "score": 1}', "\udcff"]
    mixed = [*good, other, *wrong, json.dumps(unnamed), json.dumps(failed), other]
    file = tmp_path / "mixed.jsonl"
    file.write_bytes("\n".join(mixed).encode("utf-8", "surrogateescape"))
    status, out, err = drift(file, "--json", tmp_path / "drift.json")
    found = json.loads((tmp_path / "drift.json").read_text())
    assert status == 1
    assert out.startswith("62 parts: ")
    assert "1 not inspected" in out
    assert found["other_detectors"] == {"ab" * 32: 2}
    assert [line.split(": ")[0] for line in found["damaged"]] == [
        f"{file}:{number}" for number in range(63, 69)
    ]
    assert "schema_version 2" in found["damaged"][2]
    assert "text that is not UTF-8" in found["damaged"][-1]
    assert f"2 lines are of another detector, {'ab' * 32}: not used" in err
    assert "2 lines name no detector" in err  # the failed one names none either
    assert "1 more lines are damaged" in err


def test_lines_of_another_detector_alone_are_an_error(folder, drift, tmp_path):
    file = tmp_path / "other.jsonl"
    file.write_text('{"image": "a.png", "score": 1.0, "detector_sha256": "ab"}\n')
    status, _, err = drift(file)
    assert status == 2
    assert "expected lines of predict --json by this detector, got none" in err
    assert load(folder / "plates.patchbank").sha256 in err


@pytest.mark.parametrize(
    ("name", "found"), [("missing.jsonl", "got: No such file"), (".", "got a folder; run")]
)
def test_a_file_that_cannot_be_read_is_one_line(drift, tmp_path, name, found):
    status, _, err = drift(tmp_path / name)
    assert status == 2
    assert err.count("\n") == 1
    assert f"expected lines of predict --json, {found}" in err


def test_detectors_made_by_options_of_predict_are_made_again(folder, drift, tmp_path):
    file = tmp_path / "rate.jsonl"
    opened = (folder / "plates.patchbank", folder / "before", "--false-alarm-rate", "0.3")
    assert run("predict", *opened, "--json", file) == 0
    assert drift(file)[0] == 2
    status, out, _ = drift(file, "--false-alarm-rate", "0.3")
    assert status == 0
    assert out.startswith("60 parts: ")


def test_lots_are_of_so_many_parts(folder, drift, tmp_path):
    json_file = tmp_path / "drift.json"
    drift(folder / "before.jsonl", "--lot", "25", "--json", json_file)
    lots = json.loads(json_file.read_text())["lots"]
    assert [(lot["first"], lot["last"]) for lot in lots] == [(1, 25), (26, 50), (51, 60)]
    assert [lot["parts"] for lot in lots] == [25, 25, 10]
    assert all(lot["level"] == 0.1 for lot in lots)
    assert lots[0]["needed_by_ranks"] == int(np.ceil(25 / (0.1 * 16)))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--lot", "0", "lot: expected an integer, 1 or more, got 0"),
        ("--alarm-rate", "1", "alarm_rate: expected"),
        ("--false-discovery-rate", "0", "false_discovery_rate: expected"),
        ("--photographs-per-part", "0", "photographs_per_part: expected"),
    ],
)
def test_options_out_of_range_are_one_line(folder, drift, option, value, message):
    status, _, err = drift(folder / "before.jsonl", option, value)
    assert status == 2
    assert message in err


def test_results_are_not_overwritten(folder, drift):
    file = folder / "before.jsonl"
    assert drift(file, "--state", file)[0] == 2
    assert drift(file, "--json", file)[0] == 2
    assert drift("-", "-")[0] == 2
    assert len(file.read_text().splitlines()) == N_GOOD


def test_the_page_says_what_the_console_says_and_shows_both_sides(folder, drift, tmp_path):
    _, out, err = drift(folder / "all.jsonl", "--report", tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "report: " in err
    assert out.splitlines()[0] in page
    assert page.count("<polyline") >= 3
    assert ">alarm</text>" in page
    assert "data:image/jpeg" in page or "More parts are flagged" in page
    quiet = drift(folder / "before.jsonl", "--report", tmp_path / "quiet")
    assert quiet[0] == 0
    page = (tmp_path / "quiet/index.html").read_text()
    assert "No sign that good parts have changed" in page
    assert "Score of each part that passed." in page


def test_photographs_of_one_part_are_noticed_and_one_of_each_is_counted(folder, drift, tmp_path):
    """Each part five times in a row: neighbours score alike."""
    lines = (folder / "before.jsonl").read_text().splitlines()
    file = tmp_path / "five.jsonl"
    file.write_text("\n".join(line for line in lines for _ in range(5)))
    _, _, err = drift(file)
    assert "photographs that follow each other score alike (correlation 0." in err
    assert "--photographs-per-part N" in err
    once, five = (
        drift(*arguments)[1]
        for arguments in ((folder / "before.jsonl",), (file, "--photographs-per-part", "5"))
    )
    assert once == five


def test_of_the_photographs_of_a_part_the_first_that_was_inspected_counts():
    some = [InspectedPart(str(n), None if n in (0, 3, 4, 5) else float(n)) for n in range(8)]
    assert [part.image for part in one_of_each(some, 3)] == ["1", "3", "6"]


def test_a_file_written_on_windows_is_read(tmp_path):
    file = tmp_path / "windows.jsonl"
    file.write_bytes(
        b'\xef\xbb\xbf{"image": "a.png", "score": 2}\r\n{"image": "b", "score": 3.5}\r\n'
    )
    reader = LineReader("5eed")
    assert [part.score for part in reader.parts([file])] == [2.0, 3.5]
    assert (reader.damaged, reader.unnamed) == ([], 2)
