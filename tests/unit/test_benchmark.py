"""What a benchmark is made of: methods as written, plans, results, tables, plots and the cache."""

import json
import math
import re
import shutil
from dataclasses import replace
from html import unescape
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from patchbank.backbones import open_backbone
from patchbank.benchmark import plots
from patchbank.benchmark.cache import CachedExtractor, FeatureCache
from patchbank.benchmark.method_spec import MethodSpec, split_outside
from patchbank.benchmark.page import page
from patchbank.benchmark.plan import drawn, make_plan, parse_shots, run_key
from patchbank.benchmark.results import Results, locked
from patchbank.benchmark.summary import Cell, summarise
from patchbank.benchmark.tables import as_csv, as_markdown
from patchbank.datasets import find_categories
from patchbank.detector.settings_file import unpack_settings
from patchbank.errors import DataError, ParameterError
from patchbank.methods import METHODS
from patchbank.runtime import process
from patchbank.runtime.devices import HOST
from tests.photographs import part, write_dataset
from tests.report_pages import without_explanations

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "image_size": st.integers(64, 512) | st.lists(st.integers(64, 512), min_size=2, max_size=2),
        "coreset": st.floats(0.001, 1.0),
        "backbone": TEXTS,
        "layers": st.lists(TEXTS, min_size=1, max_size=3),
        "weights": st.none() | TEXTS,
        "normalise_score": st.booleans(),
        "scales": st.lists(st.floats(0.1, 1.0), min_size=1, max_size=3),
        "metric": st.sampled_from(["euclidean", "squared"]),
    },
)
LABELS = st.none() | st.text("abc <>&|é1-.", min_size=1, max_size=9).map(str.strip).filter(bool)


@pytest.fixture(scope="module")
def categories(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_dataset(root / "nuts", n_train=6)
    write_dataset(root / "plates", n_train=3)
    return find_categories(root)


# Methods as they are written


@settings(deadline=None)
@given(label=LABELS, preset=st.none() | st.just("fast"), changes=CHANGES)
def test_a_method_is_read_as_it_was_written(label, preset, changes):
    spec = MethodSpec("patchcore", preset, changes, label)
    assert MethodSpec.parse(str(spec)) == spec
    assert split_outside(f"{spec},{spec}") == [str(spec)] * 2


def test_values_are_json_or_text_and_the_label_is_ones_own():
    found = MethodSpec.parse(
        ' few = patchcore:fast( backbone=a-b.onnx, scales=[1, 0.5], weights="7" )'
    )
    assert found.label == "few"
    assert found.changes == {"backbone": "a-b.onnx", "scales": [1, 0.5], "weights": "7"}


def test_values_may_be_written_as_for_fit():
    found = MethodSpec.parse(
        "patchcore(image_size=256x512,zooms=0.9:1.1,layers=blocks.1,backbone=123,crop=none)"
    )
    assert found.changes == {
        "image_size": [256, 512],
        "zooms": [0.9, 1.1],
        "layers": ["blocks.1"],
        "backbone": "123",
        "crop": None,
    }
    assert found.settings.image_size == (256, 512)
    assert MethodSpec.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patchcor", "method: expected one of patchcore, .*did you mean 'patchcore'?"),
        ("patchcore:fats", "preset of patchcore: .*got 'fats'; did you mean 'fast'?"),
        ("patchcore(image_siz=3)", "image_siz=3.*expected a setting .*did you mean 'image_size'?"),
        ("patchcore(coreset=7)", r"patchcore\(coreset=7\): coreset: expected a number, .*, got 7$"),
        ("spade(image_size=big)", r"spade\(.*\): image_size: expected a side, .*, got 'big'$"),
        ("patchcore(coreset)", "expected SETTING=VALUE with commas between, got 'coreset'"),
        ("patchcore(seed=1,seed=2)", "seed: expected once"),
        ("patchcore(scales=[1)", "brackets and quotes in pairs"),
        ("patchcore:(seed=1)", "methods: expected LABEL=NAME:PRESET"),
        ("=patchcore", "methods: expected LABEL=NAME:PRESET"),
        ("patchcore:fast)", "got 'fast\\)'"),
        ("", "methods: expected LABEL=NAME:PRESET"),
    ],
)
def test_a_method_that_is_none_is_one_line_with_a_hint(text, message):
    with pytest.raises(ParameterError, match=message) as caught:
        MethodSpec.parse(text)
    assert "\n" not in str(caught.value)


# Plans


@given(n=st.integers(1, 30), seed=st.integers(0, 99))
def test_fewer_shots_are_among_more_of_the_same_seed(n, seed):
    train = [Path(str(i)) for i in range(n)]
    draws = [drawn(train, k, seed) for k in range(1, n + 1)]
    for few, more in pairwise(draws):
        assert more[: len(few)] == few
    assert sorted(draws[-1]) == sorted(train)
    assert drawn(train, None, seed) == tuple(train)


def test_other_seeds_draw_other_shots():
    train = [Path(str(i)) for i in range(50)]
    assert len({drawn(train, 4, seed) for seed in range(10)}) == 10


def test_a_plan_has_every_run_once_and_says_what_it_leaves_out(categories):
    specs = [MethodSpec("patchcore", "fast"), MethodSpec("graphcore")]
    plan = make_plan(categories, specs, shots=(None, 2, 5), seeds=3, full_seeds=2)
    assert len(plan.runs) == 2 * (2 + 3) + 2 * (2 + 3 + 3)
    assert plan.skipped == ("plates: 3 training images, so 5 shots are left out",)
    assert len({run.key for run in plan.runs}) == len(plan.runs)
    assert [run.category.name for run in plan.runs] == ["nuts"] * 16 + ["plates"] * 10
    assert {run.settings.seed for run in plan.runs if run.shots == 2} == {0, 1, 2}
    with pytest.raises(ParameterError, match="shots: expected fewer: nuts: 6 training images"):
        make_plan(categories, specs, shots=(7,))


def test_a_run_adds_its_seed_to_that_of_the_settings(categories):
    plan = make_plan(categories, [MethodSpec.parse("patchcore(seed=7)")], full_seeds=2)
    assert [run.settings.seed for run in plan.runs] == [7, 8, 7, 8]


def test_the_key_depends_on_what_determines_the_numbers_and_nothing_else(categories, tmp_path):
    def keys(found=categories, text="patchcore:fast", **options):
        return [run.key for run in make_plan(found, [MethodSpec.parse(text)], **options).runs]

    assert keys() == keys(text="other label=patchcore:fast")
    copies = shutil.copytree(categories[0].train[0].parents[3], tmp_path / "copy")
    assert keys(find_categories(copies)) == keys()
    others = [
        keys(text="patchcore:fast(coreset=0.5)"),
        keys(shots=(2,), seeds=1),
        keys(device="cuda:0"),
        keys(text="patchcore:fast(banks=joint)"),  # settings that came later count, too
        keys(text="patchcore:fast(bit_depth=12)"),
        keys(text="patchcore:fast(position=auto)"),
        keys(text="patchcore(tiles=true)"),
    ]
    (copies / "nuts" / "train" / "good" / "000.png").write_bytes(b"another size")
    changed = keys(find_categories(copies))
    assert changed[0] != keys()[0]
    assert changed[1] == keys()[1]
    assert not any(set(other) & set(keys()) for other in others)


@pytest.mark.parametrize("which", ["full", "shots"])
def test_the_keys_of_stored_results_are_those_of_the_same_runs_now(which):
    lines = (BENCHMARKS / "quality" / "methods" / which / "results.jsonl").read_text().splitlines()
    assert lines
    for row in map(json.loads, lines):
        kind = METHODS[row["method"]].settings
        record = kind.from_mapping(unpack_settings(row["settings"], kind))
        determined_by = {
            name: row[name] for name in ("dataset", "category", "method", "shots", "seed", "device")
        } | {"data": row["data_sha256"], "patchbank": row["versions"]["patchbank"]}
        assert run_key(determined_by, record) == row["key"], row["label"]


def test_the_key_of_a_run_is_that_of_its_fields(categories):
    (run,) = make_plan(categories[:1], [MethodSpec("padim")], shots=(2,), seeds=1).runs
    determined_by = {
        "dataset": run.category.dataset,
        "category": "nuts",
        "method": "padim",
        "shots": 2,
        "seed": 0,
        "device": "cpu",
        "data": run.data,
        "patchbank": version("patchbank"),
    }
    assert run.key == run_key(determined_by, run.settings)


def test_weights_in_files_are_part_of_the_key(categories, tmp_path):
    net = tmp_path / "net.onnx"
    found = []
    for content in (b"one", b"other"):
        net.write_bytes(content)
        spec = MethodSpec("patchcore", None, {"backbone": str(net)})
        found.append(make_plan(categories, [spec]).runs[0].key)
    assert found[0] != found[1]


@pytest.mark.parametrize("text", ["", "0", "full,full", "-1", "1.5", "one", "²"])
def test_shots_that_are_none_are_named(text):
    with pytest.raises(ParameterError, match="shots: expected"):
        parse_shots(text)


# Results


def test_a_line_cut_by_a_kill_is_dropped_and_the_others_stay(tmp_path):
    Results(tmp_path).append({"key": "a", "name": "\udcff"})
    Results(tmp_path).append({"key": "b"})
    file = tmp_path / "results.jsonl"
    whole = file.read_bytes()
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        results = Results(tmp_path)
        assert list(results.rows) == ["a", "b"][: whole[:cut].count(b"\n")]
        results.append({"key": "c"})
        assert list(Results(tmp_path).rows) == [*results.rows]
        assert file.read_bytes().endswith(b'{"key": "c"}\n')


@pytest.mark.parametrize("line", ["no JSON", "[1]", '{"name": 3}', ""])
def test_a_line_that_is_no_result_is_named(tmp_path, line):
    (tmp_path / "results.jsonl").write_text('{"key": "a"}\n' + line + "\n")
    with pytest.raises(DataError, match="got something else in line 2; remove that line"):
        Results(tmp_path)


def test_two_benchmarks_do_not_write_to_one_folder(tmp_path):
    with locked(tmp_path), pytest.raises(DataError, match="in use"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


# Tables and page


@given(values=st.lists(st.floats(0, 1), min_size=3, max_size=9))
def test_the_interval_is_that_of_student(values):
    cell = Cell(tuple(values), len(values))
    low, high = cell.mean - cell.half_width, cell.mean + cell.half_width
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    if error > 1e-9:
        expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), error)
        assert (low, high) == pytest.approx(expected)


def measured(image_auroc, **figures):
    """A row of the results file, without what no table shows."""
    machine = {"processor": "P", "cores": 8, "worker_cores": 4, "system": "S", "python": "3"}
    return {
        "image_auroc": image_auroc,
        "pixel_auroc": None,
        "aupro": None,
        "image_f1_max": 0.5,
        "fit_seconds": 1.0,
        "ms_per_image": 20.0,
        "model_bytes": 3_000_000,
        "file_bytes": None,
        "peak_memory_bytes": 400_000_000,
        "device": "cpu",
        "machine": machine,
        "versions": {"patchbank": "0"},
        **figures,
    }


@pytest.fixture
def summed(categories):
    """Two methods on two categories; one run of one method is not done."""
    specs = [MethodSpec.parse("a|b=patchcore:fast"), MethodSpec.parse("<i>=graphcore")]
    plan = make_plan(categories, specs, shots=(2, None), seeds=2)
    rows = {
        run.key: measured(0.5 + 0.1 * run.seed + 0.2 * (run.category.name == "nuts"))
        for run in plan.runs
    }
    missing = next(r for r in plan.runs if r.seed == 1 and r.spec.label == "<i>")
    del rows[missing.key]
    return plan, rows


def test_tables_are_those_of_papers(summed):
    text = as_markdown(summarise(*summed))
    assert text.startswith("# Benchmark\n\n11 of 12 runs. ")
    assert (
        """## Image AUROC, 2 shots

| method | nuts | plates | mean |
| --- | --: | --: | --: |
| a\\|b | 0.750 [0.700, 0.800] | 0.550 [0.500, 0.600] | 0.650 [0.600, 0.700] |
| <i> | 0.700 (1 of 2) | 0.550 [0.500, 0.600] | - |

## Pixel AUROC, 2 shots

| method | nuts | plates | mean |
| --- | --: | --: | --: |
| a\\|b | - | - | - |
| <i> | - | - | - |
"""
        in text
    )
    assert (
        """## Costs, all training images

| method | fit, s | ms an image | model, MB | file, MB | peak memory, MB |
| --- | --: | --: | --: | --: | --: |
| a\\|b | 1 | 20 | 3 | - | 400 |
"""
        in text
    )
    assert "Measured on P, 4 of 8 cores a run, device cpu; S, Python 3, patchbank 0." in text
    lines = as_csv(summarise(*summed)).splitlines()
    assert lines[0] == "table,shots,metric,method,category,seeds,value,half_width"
    assert lines[1] == "accuracy,2,image_auroc,a|b,nuts,2,0.75,"  # of two seeds no interval
    assert "accuracy,full,image_auroc,<i>,mean,1,0.6," in lines
    assert "cost,full,ms an image,a|b,median,,20.0," in lines


def test_tables_do_not_depend_on_the_order_of_finishing(summed, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1772348759")
    plan, rows = summed
    backwards = dict(reversed(rows.items()))
    strangers = {"of another plan": measured(0.1)}
    for write in (as_markdown, as_csv, page):
        assert write(summarise(plan, backwards | strangers)) == write(summarise(plan, rows))


def test_an_interval_of_the_mean_is_over_seeds_not_over_categories(categories):
    plan = make_plan(categories, [MethodSpec("patchcore")], full_seeds=3)
    rows = {
        run.key: measured(0.5 + (0.1 if run.category.name == "nuts" else -0.1) * (run.seed - 1))
        for run in plan.runs
    }
    _, cells, mean = summarise(plan, rows).table("image_auroc", None).lines[0]
    assert all(cell.half_width == pytest.approx(0.2484, abs=1e-4) for cell in cells)  # 4.303 / 10√3
    assert mean.half_width == pytest.approx(0)


def test_the_page_says_names_as_they_are_and_needs_nothing_beside_it(summed):
    text = page(summarise(*summed))
    assert "&lt;i&gt;" in text
    assert "<i>" not in text
    assert text.count('role="img"') == 2
    assert "http" not in text
    assert "nan" not in text


def test_a_page_without_results_says_so(summed):
    plan, _ = summed
    text = page(summarise(plan, {}))
    assert "0 of 12 runs" in text
    assert 'role="img"' not in text
    assert "0 of 12 runs are done, which is too few for a comparison." in text
    assert "rates" not in text.split("</style>")[1]


def test_the_page_begins_with_the_best_methods_of_the_largest_number_of_shots(summed):
    text = unescape(without_explanations(page(summarise(*summed))))
    sentence = re.search(r'<p class="verdict"><span>(.*?)</span>', text)[1]
    both = "a|b and <i>"  # their means are the same
    assert sentence == f"Highest image AUROC: {both}; fastest: {both} (all training images)."
    rates = text.split('<div class="figures rates">')[1].split("<p")[0]
    assert re.findall("<b>(.*?)</b>(.*?)</div>", rates) == [
        ("0.600", f"mean image AUROC of {both}"),
        ("20 ms", f"an image, with {both}"),
    ]
    assert text.count('class="best"') == 6  # in two metrics: of two shots one method has no mean


def test_of_several_methods_the_page_names_the_best_and_the_fastest(categories):
    specs = [MethodSpec.parse("slow=patchcore"), MethodSpec.parse("quick=graphcore")]
    plan = make_plan(categories, specs, full_seeds=1)
    rows = {}
    for run in plan.runs:
        is_slow = run.spec.label == "slow"
        time = 80.0 if is_slow else 5.0
        rows[run.key] = {**measured(0.9 if is_slow else 0.7), "ms_per_image": time}
    text = without_explanations(page(summarise(plan, rows)))
    assert "Highest image AUROC: slow; fastest: quick (all training images)." in text
    assert "<b>5 ms</b>an image, with quick</div>" in text


@settings(deadline=None, max_examples=50)
@given(
    places=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6),
    text=st.sampled_from(["ab", "patchcore:balanced"]),
)
def test_names_in_a_plot_do_not_cover_each_other(places, text):
    points = [plots.Point(40.0 * x, 28.0 * y, i, "") for i, (x, y) in enumerate(places)]
    labels = plots._label_positions(points, [text] * len(points))
    assert sorted(label.number for label in labels) == list(range(len(points)))
    boxes = [(*plots._span(label), label.y) for label in labels]
    for i, (left, right, y) in enumerate(boxes):
        for other_left, other_right, other_y in boxes[:i]:
            apart = abs(y - other_y) >= plots.LABEL_HEIGHT - 1
            assert apart or right <= other_left or other_right <= left


@given(low=st.floats(0, 0.999), width=st.floats(0.01, 1))
def test_ticks_are_round_and_inside(low, width):
    ticks = plots._level_ticks(low, low + width).ticks
    assert all(-1e-6 <= y <= plots.HEIGHT + 1e-6 for y, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks) <= 6
    for y, text in ticks:
        value = low + width * (1 - y / plots.HEIGHT)
        assert float(text) == pytest.approx(value, abs=1e-9)


# Cores


@given(n=st.integers(0, 9), workers=st.integers(1, 12))
def test_workers_share_all_cores(n, workers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "available_cores", lambda: list(range(n)))
        shares = process.shares_of_cores(workers)
    assert len(shares) == workers
    if 0 < workers <= n:
        assert sorted(core for share in shares for core in share) == list(range(n))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    elif n:
        assert all(len(share) == 1 for share in shares)


# The cache


@pytest.fixture(scope="module")
def extractor():
    return open_backbone("efficientnet_lite0")


def test_cached_features_are_the_same_bits(extractor, tmp_path):
    image = part(3, size=(96, 128))
    first = CachedExtractor(extractor, FeatureCache(tmp_path / "a", 10**8), HOST)
    again = CachedExtractor(extractor, FeatureCache(tmp_path / "a", 10**8), HOST)
    expected = extractor(image)
    for maps in (first(image), again(image)):
        assert all((a == b).all() for a, b in zip(maps, expected, strict=True))
        assert [m.dtype for m in maps] == [np.float32] * len(expected)
    assert len(list((tmp_path / "a").iterdir())) == 1
    assert again.info == extractor.info
    assert again.layers == extractor.layers


def test_another_image_layer_or_normalisation_is_another_entry(extractor, tmp_path):
    cache = FeatureCache(tmp_path / "a", 10**8)
    image = part(3, size=(96, 128))
    turned = np.ascontiguousarray(image.transpose(1, 0, 2))

    class Other:
        info = replace(extractor.info, mean=(0.1, 0.2, 0.3))
        layers = extractor.layers

        def __call__(self, image):
            return extractor(image)

    for one in (extractor, open_backbone("efficientnet_lite0", extractor.layers[:1]), Other()):
        cached = CachedExtractor(one, cache, HOST)
        for seen in (image, turned, image.reshape(128, 96, 3)):
            cached(seen)
    assert len(list((tmp_path / "a").iterdir())) == 9


def test_a_cache_stays_below_its_limit_and_survives_cut_files(extractor, tmp_path):
    image = part(3, size=(96, 128))
    CachedExtractor(extractor, FeatureCache(tmp_path / "a", 10), HOST)(image)
    assert list((tmp_path / "a").iterdir()) == []
    CachedExtractor(extractor, FeatureCache(tmp_path / "a", 10**8), HOST)(image)
    (entry,) = (tmp_path / "a").iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    again = CachedExtractor(extractor, FeatureCache(tmp_path / "a", 10**8), HOST)
    maps = again(image)
    assert all((a == b).all() for a, b in zip(maps, extractor(image), strict=True))
    assert entry.read_bytes()[len(whole) // 2 :] == whole[len(whole) // 2 :]


def test_times_are_reported_as_if_nothing_was_stored(tmp_path, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("patchbank.benchmark.cache.time.perf_counter", lambda: float(next(clock)))

    class Slow:
        info = open_backbone("efficientnet_lite0").info
        layers = ("a",)

        def __call__(self, image):
            next(clock), next(clock)  # 2 s, and 1 s a look at the clock
            return [np.ones((2, 3, 4), np.float32)]

    cache = FeatureCache(tmp_path / "a", 10**8)
    first, again = (CachedExtractor(Slow(), cache, HOST) for _ in range(2))
    image = part(3, size=(96, 128))
    first(image)
    assert first.saved_s == 3 - 5
    again(image)
    assert again.saved_s == 3 - 1
