"""`fit --each`: a detector a product, in processes; failures, what is kept, what a kill leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from patchbank import (
    DataError,
    Ensemble,
    PaDiM,
    ParameterError,
    PatchCore,
    PhotographWarning,
    fit_each,
    load,
)
from patchbank.backbones import Engine
from patchbank.datasets import TrainingImages
from patchbank.methods import METHODS
from patchbank.products.fitting.each import USUAL_FIT_BYTES, processes
from patchbank.products.fitting.found import find_products
from patchbank.products.fitting.terms import Terms
from patchbank.products.fitting.work import Work
from patchbank.runtime import memory
from patchbank.training.choose import AutomaticSettings
from patchbank.training.fit import PhotographChoice
from patchbank.training.interest import Interest
from patchbank.training.recipes import asked_of
from tests import command_line
from tests.photographs import part, parts, save
from tests.unit.test_json_schemas import check

TINY = PatchCore(backbone="efficientnet_lite0", image_size=96, bank_limit=150)
OPTIONS = ("--backbone", "efficientnet_lite0", "--image-size", 96, "--bank-limit", 150)
NAMES = ("Größe 2", "bolts", "nuts & more")


def write_products(root, names=NAMES, n=4):
    """Products with names as people give them, of parts that are not square."""
    for number, name in enumerate(names):
        for seed, image in enumerate(parts(n, size=(72 + 8 * number, 104))):
            save(root / name / f"{seed}.png", image)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_products(tmp_path_factory.mktemp("products"))


@pytest.fixture(scope="module")
def fitted(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("fitted")
    fit_each(root, out, recipe=TINY, device="cpu")
    return out


def files(out):
    """Detector files: name -> bytes."""
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.patchbank"))}


def leftovers(out):
    return [path for path in out.rglob("*") if path.name.startswith(".patchbank-")]


def run(capsys, *arguments):
    return command_line.run(capsys, "fit", *arguments, *OPTIONS)


def started(*arguments):
    """`patchbank fit` in a process of its own."""
    code = "from patchbank.cli import main; main()"
    command = [sys.executable, "-c", code, "fit", *map(str, arguments), *map(str, OPTIONS)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_each_product_gets_the_detector_that_a_fit_of_its_own_gives(root, fitted):
    assert sorted(files(fitted)) == sorted(f"{name}.patchbank" for name in NAMES)
    for name in NAMES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone = TINY.fit(root / name, device="cpu")
        assert load(fitted / f"{name}.patchbank", device="cpu") == alone


def test_the_json_has_each_product_by_name(fitted):
    content = json.loads((fitted / "products.json").read_text(encoding="utf-8"))
    check("products", content)
    assert [one["product"] for one in content["products"]] == sorted(NAMES)
    for one in content["products"]:
        detector = load(fitted / one["file"], device="cpu")
        assert one["error"] is None
        assert one["good_photographs"] == 4
        assert one["threshold"] == detector.calibration.threshold
        assert one["file_bytes"] == (fitted / one["file"]).stat().st_size
        assert one["seconds"] > 0
        assert len(one["oddest"]) == 3


def test_the_page_names_each_product_and_draws_its_oddest_photographs(fitted):
    page = (fitted / "index.html").read_text(encoding="utf-8")
    assert "Größe 2" in page
    assert "nuts &amp; more" in page
    assert page.count('src="data:image/jpeg;base64,') == 3 * len(NAMES)
    assert "http" not in page.split("<body>")[1]  # no other file is needed


def test_a_second_run_keeps_what_was_fitted_with_the_same(root, fitted, capsys, tmp_path):
    out = shutil.copytree(fitted, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.patchbank")}
    status, printed, _ = run(capsys, root, "--each", "--out", out, "--device", "cpu")
    assert status == 0
    assert "0 fitted, 3 kept, 0 failed" in printed
    assert "bolts: kept, fitted before with the same photographs and settings" in printed
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.patchbank")} == before
    assert (out / "index.html").read_text(encoding="utf-8").count(">kept<") == 3


def test_another_photograph_or_setting_has_it_fitted_anew(fitted, tmp_path):
    root, out = write_products(tmp_path / "root"), shutil.copytree(fitted, tmp_path / "out")

    def fitted_again(recipe=TINY):
        found = fit_each(root, out, recipe=recipe, device="cpu")
        assert all(fit.error is None for fit in found)
        return [fit.product for fit in found if not fit.is_kept]

    assert fitted_again() == []  # the same photographs in another folder
    save(root / "bolts" / "9.png", part(9, size=(80, 104)))
    assert fitted_again() == ["bolts"]
    save(root / "bolts" / "9.png", part(10, size=(80, 104)))
    assert fitted_again() == ["bolts"]
    (root / "nuts & more" / "3.png").rename(root / "nuts & more" / "last.png")
    assert fitted_again() == ["nuts & more"]
    assert fitted_again(TINY.with_changes(false_alarm_rate=0.3)) == sorted(NAMES)
    assert fitted_again(TINY.with_changes(false_alarm_rate=0.3)) == []


def test_a_detector_that_was_changed_since_is_not_replaced(root, fitted, tmp_path):
    out = shutil.copytree(fitted, tmp_path / "out")
    file = out / "bolts.patchbank"
    load(file, device="cpu").with_threshold(7.0).save(file)
    bolts, *others = sorted(
        fit_each(root, out, recipe=TINY, device="cpu"), key=lambda fit: fit.product != "bolts"
    )
    assert "changed since" in bolts.error
    assert all(fit.is_kept for fit in others)
    assert load(file, device="cpu").calibration.threshold == 7.0


def test_one_bad_product_stops_no_other(capsys, tmp_path):
    root = write_products(tmp_path / "root", ("good",))
    (root / "empty").mkdir()
    save(root / "broken" / "a.png", part(0))
    (root / "broken" / "b.png").write_bytes(b"no image")
    save(root / "black" / "a.png", part(0) * 0)
    save(root / "black" / "b.png", part(0) * 0)
    status, printed, errors = run(capsys, root, "--each", "--out", tmp_path / "out")
    assert status == 1
    assert "1 fitted, 0 kept, 3 failed" in printed
    lines = {line.split(": ")[1]: line for line in errors.splitlines() if line.startswith("error")}
    assert sorted(lines) == ["black", "broken", "empty"]
    assert "b.png" in lines["broken"]
    assert "at least one image" in lines["empty"]
    content = json.loads((tmp_path / "out" / "products.json").read_text())
    kept = {one["product"]: one["error"] for one in content["products"]}
    assert kept["good"] is None
    for name, line in lines.items():
        assert kept[name] in line
        assert kept[name].split(":")[0] in (tmp_path / "out" / "index.html").read_text()
    assert sorted(files(tmp_path / "out")) == ["good.patchbank"]


def test_unreadable_photographs_are_left_out_when_asked(capsys, tmp_path):
    root = write_products(tmp_path / "root", ("bolts",))
    (root / "bolts" / "9.png").write_bytes(b"no image")
    out = tmp_path / "out"
    status, printed, errors = run(capsys, root, "--each", "--out", out, "--skip-unreadable")
    assert status == 1
    assert "1 fitted" in printed
    assert "bolts: left out" in errors
    assert "9.png" in errors
    assert "1 photograph could not be read" in (out / "index.html").read_text()


def test_a_table_has_a_product_a_category(tmp_path):
    rows = ["path,label,split,category"]
    for name in ("M8 x 40", "Zöpfe", "a/b"):
        for image in parts(3):
            file = tmp_path / f"{len(rows)}.png"
            save(file, image)
            rows.append(f"{file.name},good,train,{name}")
    table = tmp_path / "all.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    found = fit_each(table, tmp_path / "out", recipe=TINY, device="cpu")
    assert [fit.product for fit in found] == ["M8 x 40", "Zöpfe", "a/b"]
    assert [fit.error is None for fit in found] == [True, True, False]
    assert "a file can be named by" in found[2].error
    assert sorted(files(tmp_path / "out")) == ["M8 x 40.patchbank", "Zöpfe.patchbank"]


def test_what_is_no_folder_of_products_is_refused(tmp_path, capsys):
    save(tmp_path / "one" / "train" / "good" / "a.png", part(0))
    with pytest.raises(DataError, match="one data set"):
        find_products(tmp_path / "one")
    save(tmp_path / "flat" / "a.png", part(0))
    with pytest.raises(DataError, match="one subfolder a product"):
        find_products(tmp_path / "flat")
    with pytest.raises(DataError, match="got neither"):
        find_products(tmp_path / "none")
    status, _, errors = run(capsys, tmp_path / "one", tmp_path / "flat", "--each", "--out", "x")
    assert status == 2
    assert "GOOD: expected one folder" in errors
    status, _, errors = run(capsys, tmp_path, "--each", "--out", "x", "--report", "y")
    assert status == 2
    assert "--report: expected without --each" in errors
    with pytest.raises(DataError, match="outside of"):
        fit_each(tmp_path, tmp_path / "out", recipe=TINY)
    with pytest.raises(ParameterError):
        fit_each(tmp_path, tmp_path.parent / "out", recipe=TINY, engine="none")


def test_work_is_given_to_a_process_as_json():
    mask = np.zeros((5, 7), dtype=bool)
    mask[1:3, 2:6] = True
    patchcore = METHODS["patchcore"]
    interest = Interest.of(["1,2,30,40", "0.1,0 9,0 9,9.5"], [mask, "mask.png"])
    for asked in (
        asked_of(TINY),
        asked_of(Ensemble([TINY, PaDiM(weights="net.pth")])),
        AutomaticSettings(patchcore, patchcore.settings(), frozenset({"backbone"}), 9.5),
    ):
        terms = Terms.of(
            asked,
            choice=PhotographChoice(True, ("a*",), r"lot(\d+)", interest, True),
            device="cpu",
            engine=Engine(),
        )
        images = tuple(Path("lot 1", name) for name in ("größe.png", "\udcff.png"))
        found = TrainingImages(images, ("a line",), (Path("x.raw"),), ("a", None))
        work = Work(product="ü", found=found, out=Path("o"), fit_sha256="0" * 64, terms=terms)
        told = Work.from_json(json.loads(json.dumps(work.to_json())))
        assert told.found == found
        assert told.to_json() == work.to_json()
        assert type(told.terms.asked) is type(terms.asked)
        assert told.terms.members[0][1].image_size == terms.members[0][1].image_size
        assert (told.product, told.out, told.fit_sha256) == ("ü", Path("o"), "0" * 64)
        kept = told.terms.choice.interest
        assert kept.roi == interest.roi
        np.testing.assert_array_equal(kept.ignore[0].pixels, mask)
        assert kept.ignore[1] == interest.ignore[1]


def test_the_region_of_interest_is_that_of_a_fit_of_its_own(root, tmp_path):
    mask = np.zeros((72, 104), dtype=np.uint8)
    mask[8:60, 16:90] = 1
    only = tmp_path / "root" / NAMES[0]
    shutil.copytree(root / NAMES[0], only)
    terms = {"roi": mask, "ignore": "20,20,16,8", "device": "cpu"}
    (fit,) = fit_each(tmp_path / "root", tmp_path / "out", recipe=TINY, **terms)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = TINY.fit(only, **terms)
    assert load(fit.file, device="cpu") == alone
    with pytest.raises(ParameterError, match="groups: expected a word"):
        fit_each(tmp_path / "root", tmp_path / "out", recipe=TINY, groups=[1, 2])


def test_photographs_of_no_product_and_detectors_of_none_are_named(tmp_path):
    root = write_products(tmp_path / "root", ("bolts",), n=2)
    save(root / "stray.png", part(0))
    out = tmp_path / "out"
    out.mkdir()
    (out / "gone.patchbank").write_bytes(b"")
    with pytest.warns(PhotographWarning) as seen:
        fit_each(root, out, recipe=TINY, device="cpu")
    texts = [str(one.message) for one in seen]
    assert any("1 photograph in" in text for text in texts)
    assert any("gone" in text for text in texts)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_nothing_half_written_and_goes_on(how, root, fitted, tmp_path):
    out = tmp_path / "out"
    process = started(root, "--each", "--out", out, "--device", "cpu")
    wait_until(lambda: process.poll() is not None or files(out))
    process.send_signal(how)
    process.communicate(timeout=60)
    left = files(out)
    assert left
    for name, content in left.items():
        assert content == (fitted / name).read_bytes()
    if how != signal.SIGKILL:
        assert process.returncode in (0, 130, 143)
        assert not leftovers(out)
    found = fit_each(root, out, recipe=TINY, device="cpu")
    assert all(fit.error is None for fit in found)
    assert files(out) == files(fitted)
    assert not leftovers(out)


def test_what_was_fitted_is_not_fitted_again_after_kills(root, fitted, tmp_path):
    out, seen = tmp_path / "out", {}
    for _ in range(5):
        process = started(root, "--each", "--out", out, "--device", "cpu")
        n_before = len(list(out.glob("records/*.json")))
        wait_until(
            lambda n=n_before, p=process: (
                p.poll() is not None or len(list(out.glob("records/*.json"))) > n
            )
        )
        process.kill()
        process.communicate(timeout=60)
        for record in out.glob("records/*.json"):
            file = out / f"{record.stem}.patchbank"
            state = os.stat(file).st_mtime_ns
            assert seen.setdefault(file.name, state) == state
    assert files(out) == files(fitted)


def test_a_process_has_a_share_of_the_memory(monkeypatch):
    monkeypatch.setattr(memory, "_SHARES", [])
    free = memory.free_bytes()
    memory.hold_to_memory(USUAL_FIT_BYTES // 10)
    assert memory.free_bytes() < min(free, USUAL_FIT_BYTES // 10)


def test_processes_are_as_many_as_products_cores_and_memory_allow(monkeypatch):
    module = "patchbank.products.fitting.each"
    monkeypatch.setattr(f"{module}.usable_cores", lambda: 8)
    monkeypatch.setattr(f"{module}.free_bytes", lambda: 5 * USUAL_FIT_BYTES)
    assert processes(100, is_cpu=True) == 5
    assert processes(3, is_cpu=True) == 3
    assert processes(100, is_cpu=False) == 1
    monkeypatch.setattr(f"{module}.free_bytes", lambda: USUAL_FIT_BYTES // 2)
    assert processes(100, is_cpu=True) == 1
    monkeypatch.setattr(f"{module}.free_bytes", lambda: 100 * USUAL_FIT_BYTES)
    assert processes(100, is_cpu=True) == 8
