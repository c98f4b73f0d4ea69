"""The JSON of every command fits its schema, and its page names every key."""

import json
import re
import shutil
import sys

import jsonschema
import pytest

from patchbank import Edit, Ensemble, PaDiM, PatchCore, load
from patchbank.cli import output
from patchbank.cli.app import main
from patchbank.detector.lineage.entry import Added, Forced
from tests.pages import ROOT
from tests.photographs import part, parts, save, write_dataset

SCHEMAS = ROOT / "docs" / "schemas"
NAMES = (
    *("predict", "evaluate", "info", "history", "check", "compare", "drift", "monitor"),
    *("backbones", "benchmark", "results", "statistics", "backup", "inspection", "trial", "verify"),
    *("predict_run", "products"),
)
SMALL = {"backbone": "efficientnet_lite0", "image_size": 96}


def schema(name):
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def closed(part):
    """The schema without room for keys that it does not name."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    inner = {key: closed(value) for key, value in part.items()}
    if "properties" in part and "required" in part:
        inner.setdefault("additionalProperties", False)
    return inner


def check(name, content):
    """Fail where the content does not fit the schema, or has a key that is not in it."""
    kind = jsonschema.Draft202012Validator
    kind(closed(schema(name)), format_checker=kind.FORMAT_CHECKER).validate(content)


def parsed(text):
    """JSON without NaN and infinity, which Python would write and others refuse."""
    return json.loads(text, parse_constant=pytest.fail)


def lines(text):
    return [parsed(line) for line in text.splitlines()]


def run(capsys, *arguments):
    """Standard output of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["patchbank", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert stopped.value.code in (0, 1)
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("plates"), n_train=9, n_good=3, n_defect=3)


@pytest.fixture(scope="module")
def fitted(plates, tmp_path_factory):
    path = tmp_path_factory.mktemp("fitted") / "plates.patchbank"
    recipe = PatchCore(**SMALL, bank_limit=150, false_alarm_rate=0.2, normalise_score=True)
    recipe.fit(plates).save(path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_and_has_a_version(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))
    top = schema(name)
    assert top["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    one = top.get("items", top)
    assert one["properties"]["schema_version"]["const"] == 1
    assert "schema_version" in one["required"]


def test_the_schemas_are_those_of_the_page():
    assert {path.name for path in SCHEMAS.iterdir()} == {f"{name}.schema.json" for name in NAMES}


def test_lines_of_predict(capsys, fitted, plates, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    found = lines(run(capsys, "predict", fitted, plates / "test", broken, "--json", "-"))
    assert len(found) == 7
    for line in found:
        check("predict", line)
    assert found[-1]["error"]
    assert any(line["regions"] for line in found)


def test_a_line_of_predict_without_a_normalised_score():
    seen = PatchCore(**SMALL, bank_limit=90, false_alarm_rate=0.5).fit(parts(3)).predict(part(9))
    check("predict", seen.to_json())


@pytest.mark.parametrize(
    "changes",
    [
        {"score": None},
        {"error": "a.png: expected an image, got nothing"},
        {"anomalous": "yes"},
        {"size": [104]},
        {"p_value": 0},
        {"schema_version": 2},
        {"more": 1},
        {"regions": [{"left": 1}]},
    ],
)
def test_a_wrong_line_of_predict_is_refused(changes):
    right = {
        "schema_version": 1,
        "image": "a.png",
        "size": [104, 72],
        "score": 1.5,
        "p_value": 0.1,
        "threshold": 1.0,
        "anomalous": True,
        "regions": [],
        "error": None,
    }
    check("predict", right)
    with pytest.raises(jsonschema.ValidationError):
        check("predict", {**right, **changes})


def test_evaluate_with_and_without_masks(capsys, fitted, plates, tmp_path):
    (plates / "test" / "blot" / "broken.png").write_bytes(b"no image")
    with_masks = parsed(run(capsys, "evaluate", fitted, plates, "--json", "-"))
    (plates / "test" / "blot" / "broken.png").unlink()
    check("evaluate", with_masks)
    assert with_masks["unread"]
    plain = write_dataset(tmp_path, n_train=1, n_good=2, n_defect=2, masks=False)
    without = parsed(run(capsys, "evaluate", fitted, plain, "--json", "-"))
    check("evaluate", without)
    assert without["aupro"] is None


def test_check_with_copies_and_files_that_cannot_be_read(capsys, plates, tmp_path):
    folder = tmp_path / "good"
    shutil.copytree(plates / "train" / "good", folder)
    shutil.copy(folder / "000.png", folder / "copy.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    content = parsed(run(capsys, "check", folder, "--test", plates, "--json", "-"))
    check("check", content)
    kinds = {finding["kind"] for finding in content["findings"]}
    assert {"unreadable", "exact_copies"} <= kinds


def test_info_of_a_bank_and_of_an_ensemble(capsys, fitted, tmp_path):
    check("info", parsed(run(capsys, "info", fitted, "--json", "-")))
    several = tmp_path / "several.patchbank"
    recipes = [
        PaDiM(**SMALL, false_alarm_rate=0.2),
        PatchCore(**SMALL, selection="random", bank_limit=90, false_alarm_rate=0.2),
    ]
    Ensemble(recipes).fit(parts(5)).save(several)
    members = parsed(run(capsys, "info", several, "--json", "-"))
    check("info", members)
    assert [member["method"] for member in members["members"]] == ["padim", "patchcore"]


def test_info_names_what_each_method_says_of_its_model(torch_free_methods):
    known = set(schema("info")["properties"]["members"]["items"]["properties"])
    for method, summary in torch_free_methods.items():
        assert set(summary) <= known, method


@pytest.fixture(scope="module")
def torch_free_methods():
    """Summaries of the models of all methods that can be fitted without torch."""
    from patchbank import SPADE, GraphCore

    recipes = {
        "graphcore": GraphCore(**SMALL, bank_limit=90, false_alarm_rate=0.5),
        "spade": SPADE(**SMALL, false_alarm_rate=0.5),
    }
    return {
        name: recipe.fit(parts(3)).members[0].model.summary() for name, recipe in recipes.items()
    }


def test_backbones(capsys):
    listed = parsed(run(capsys, "backbones", "--json", "-"))
    check("backbones", listed)
    assert len(listed) == 4


def test_benchmark_and_its_results(capsys, plates, tmp_path):
    out = tmp_path / "bench"
    content = parsed(
        run(
            *(capsys, "benchmark", plates, "--out", out, "--json", "-", "--device", "cpu"),
            *("--methods", "tiny=patchcore:fast(image_size=96,bank_limit=90)"),
            *("--shots", "full,2", "--seeds", "1", "--allow-incomplete"),
        )
    )
    check("benchmark", content)
    assert content["done"] == 2
    assert {figure["table"] for figure in content["figures"]} == {"accuracy", "cost"}
    rows = lines((out / "results.jsonl").read_text(encoding="utf-8"))
    assert len(rows) == 2
    for row in rows:
        check("results", row)


@pytest.mark.parametrize("name", ["good", "blot"])
def test_drift_and_the_file_of_a_monitor(capsys, fitted, plates, tmp_path, name):
    """Good parts, of which there is nothing to say; and defects alone, which are an alarm."""
    line = tmp_path / "lines.jsonl"
    run(capsys, "predict", fitted, plates / "test" / name, "--json", line)
    line.write_text(line.read_text(encoding="utf-8") * 20 + "damaged", encoding="utf-8")
    state = tmp_path / "monitor.json"
    options = ("--alarm-rate", "0.3", "--state", state, "--json", "-")
    found = parsed(run(capsys, "drift", fitted, line, *options))
    check("drift", found)
    check("monitor", parsed(state.read_text(encoding="utf-8")))
    assert found["damaged"]
    assert (found["more_flagged"] is not None) == (name == "blot")


def test_versions_are_not_printed_among_the_metrics(capsys, fitted, plates):
    printed = run(capsys, "evaluate", fitted, plates)
    assert "schema_version" not in printed
    assert "image_auroc" in printed
    assert "schema_version" not in run(capsys, "info", fitted)
    assert output.SCHEMA_VERSION == 1


def keys_of(part):
    """Keys of a schema, and of what is in it, with their descriptions."""
    for key, value in part.get("properties", {}).items():
        yield key, value
        yield from keys_of(value)
    for inner in ("items", "additionalProperties"):
        if isinstance(part.get(inner), dict):
            yield from keys_of(part[inner])


def test_history_before_and_after_changes(capsys, fitted, tmp_path):
    path = tmp_path / "a.patchbank"
    shutil.copy(fitted, path)
    check("history", parsed(run(capsys, "history", path, "--json", "-")))
    assert parsed(run(capsys, "info", path, "--json", "-"))["history"] is None
    opened = load(path, device="cpu")
    forced = Forced("allowed", ("dent.png",), 1)
    edit = Edit("update", "why", "Eva", (Added("a.png", "0123456789abcdef"),), forced)
    opened.with_threshold(99).recorded(opened, edit).save(path)
    run(capsys, "tune", path, "--threshold", 98)
    run(capsys, "undo", path)
    found = parsed(run(capsys, "history", path, "--json", "-"))
    check("history", found)
    assert [entry["kind"] for entry in found["entries"]] == ["fit", "update", "threshold", "undo"]
    short = parsed(run(capsys, "info", path, "--json", "-"))["history"]
    jsonschema.validate(short, closed(schema("info")["properties"]["history"]))
    assert short == {"entries": 4, "position": 1, "head": found["head"]}


def test_compare_with_labels_and_a_history_and_of_lines(capsys, fitted, plates, tmp_path):
    changed = tmp_path / "changed.patchbank"
    opened = load(fitted, device="cpu")
    opened.with_threshold(99).recorded(opened, Edit("threshold", "why", "Eva")).save(changed)
    found = parsed(run(capsys, "compare", fitted, changed, plates, "--json", "-"))
    check("compare", found)
    assert found["by_label"]["lost"] == found["newly_passed"]
    assert len(found["newly_passed"]) == 3
    assert [entry["kind"] for entry in found["descent"]["entries"]] == ["threshold"]
    (tmp_path / "broken.png").write_bytes(b"no image")
    lines = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    run(capsys, "predict", fitted, plates / "test", tmp_path / "broken.png", "--json", lines[0])
    run(capsys, "predict", changed, plates / "test" / "blot", "--json", lines[1])
    of_lines = parsed(run(capsys, "compare", *lines, "--json", "-"))
    check("compare", of_lines)
    assert (of_lines["by_label"], of_lines["descent"], of_lines["settings"]) == (None, None, [])
    assert (of_lines["photographs"], len(of_lines["unread"])) == (3, 4)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_lists_every_key_of_a_schema_and_no_other(name):
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    section = page.split(f"(schemas/{name}.schema.json)")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (.+) \|$", section, re.MULTILINE)
    described = {(re.split(r"[.\]]", key)[-1], meaning) for key, _, meaning in listed}
    expected = list(keys_of(schema(name)))
    assert len(listed) == len(expected)
    for key, value in expected:
        assert any(k == key and m.startswith(value["description"]) for k, m in described), key


def test_the_example_of_the_page_fits_the_schema():
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.+?)```", page, re.DOTALL)
    check("predict", json.loads(example))


def test_a_photograph_saved_under_its_name_is_in_the_line(capsys, fitted, tmp_path):
    path = save(tmp_path / "schraube nö.png", part(3))
    (line,) = lines(run(capsys, "predict", fitted, path, "--json", "-"))
    assert line["image"] == str(path)
    assert line["size"] == [104, 72]
