"""What lies in the folder of a reader: photographs, and files that a page takes for granted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from patchbank import PatchCore, load
from tests import long_parts
from tests.page_shell import Shell
from tests.pages import ROOT, Command
from tests.photographs import part, save, write_dataset

QUICK = PatchCore(
    backbone="efficientnet_lite0", image_size=96, bank_limit=200, false_alarm_rate=0.2
)
BEFORE = {
    "README.md": "mvtec",
    "docs/benchmark.md": "mvtec",
    "docs/file-format.md": "bolts.patchbank",
    "docs/guides/changes.md": "bolts.patchbank",
    "docs/guides/cluster-predict.md": "bolts.patchbank photographs.parquet",
    "docs/guides/comparing.md": "bolts.patchbank bolts-updated.patchbank",
    "docs/guides/drift.md": "bolts.patchbank tuesday.jsonl",
    "docs/guides/explanations.md": "bolts.patchbank",
    "docs/guides/export.md": "bolts.patchbank inspect_photographs.py",
    "docs/guides/false-alarm.md": "large.patchbank bolts/test/scratch",
    "docs/guides/few-photographs.md": "one-good-bolt.png five-good-bolts screws",
    "docs/guides/inspection-line.md": "large.patchbank last-run list.txt",
    "docs/guides/labelling-tools.md": "bolts.patchbank srv/photos",
    "docs/guides/large-photographs.md": "plates boards",
    "docs/guides/line.md": "bolts.patchbank nuts.patchbank srv/cameras line.pem",
    "docs/guides/many-products.md": "products line",
    "docs/guides/mlflow-and-hub.md": "bolts.patchbank",
    "docs/guides/photographs.md": "flat-plates",
    "docs/guides/records.md": "bolts.patchbank patchbank-data",
    "docs/guides/results.md": "bolts.patchbank srv/results",
    "docs/guides/threshold.md": "new",
    "docs/json.md": "bolts.patchbank bolts-updated.patchbank bolts.onnx monday.jsonl tuesday.jsonl"
    " photographs.parquet products mvtec patchbank-data",
    "docs/service.md": "bolts.patchbank nuts",
}
"""Page -> what is there before its first command, beside the photographs of bolts."""


def write_photographs(folder: Path) -> None:
    """The photographs of bolts that all pages speak of."""
    bolts = write_dataset(folder / "bolts", n_train=6, n_good=2, n_defect=2)
    for number in (16, 17):
        save(bolts / "new" / f"{number}.png", part(300 + number, defect=number % 2 * 9))
    (bolts / "test" / "blot").rename(bolts / "test" / "dent")
    (bolts / "ground_truth" / "blot").rename(bolts / "ground_truth" / "dent")


def prepare(page: str, folder: Path, made: Path) -> None:
    """Write what the page takes for granted.

    Args:
        page: name of the page.
        folder: of the reader, in which the photographs of bolts are.
        made: folder that keeps single files for the next pages.
    """
    for name in BEFORE.get(page, "").split():
        if not (made / name).is_file():
            WRITERS[name](folder)
            if (folder / name).is_file():
                shutil.copy(folder / name, made / name)
        elif not (folder / name).exists():
            shutil.copy(made / name, folder / name)


def bolts(folder: Path) -> None:
    QUICK.fit(folder / "bolts" / "train" / "good", device="cpu").save(folder / "bolts.patchbank")


def scratched(folder: Path) -> None:
    """Photographs with a scratch, and one with a label and a dent, which are two regions."""
    for number in range(2):
        image = part(200 + number)
        image[58:62, 5:40] = 255
        save(folder / "bolts" / "test" / "scratch" / f"{number}.png", image)
    image = part(317)
    image[50:65, 75:98] = 0
    image[4:12, 4:14] = 255
    save(folder / "bolts" / "new" / "17.png", image)


def large(folder: Path) -> None:
    """A detector with more than 2,000 rows."""
    recipe = PatchCore(backbone="efficientnet_lite0", flips="horizontal", false_alarm_rate=0.2)
    recipe.fit(folder / "bolts" / "train" / "good").save(folder / "bolts.patchbank")


def nuts(folder: Path) -> None:
    QUICK.fit(write_nuts(folder / "fitted"), device="cpu").save(folder / "nuts.patchbank")


def updated(folder: Path) -> None:
    detector = load(folder / "bolts.patchbank", device="cpu")
    other = detector.updated(folder / "bolts" / "new" / "16.png", reason="second supplier")
    other.save(folder / "bolts-updated.patchbank")


def exported(folder: Path) -> None:
    load(folder / "bolts.patchbank", device="cpu").export(folder / "bolts.onnx")


def write_nuts(folder: Path, n: int = 6) -> Path:
    """Photographs of another product: turned by a right angle."""
    for number in range(1, n + 1):
        save(folder / f"{number}.png", np.rot90(part(number)))
    return folder


def mvtec(folder: Path) -> None:
    write_dataset(folder / "mvtec" / "bottle", n_train=3, n_good=2, n_defect=2)


def products(folder: Path) -> None:
    shutil.copytree(folder / "bolts" / "train" / "good", folder / "products" / "bolts")
    write_nuts(folder / "products" / "nuts")


def line(folder: Path) -> None:
    shutil.copytree(folder / "bolts" / "test" / "good", folder / "line" / "today")
    save(folder / "line" / "today" / "nut.png", np.rot90(part(400)))


def lines_of(folder: Path, name: str, photograph: str) -> None:
    """Lines of `predict`, as another day has them."""
    run(folder, f"patchbank predict bolts.patchbank {photograph} --json {name}")


def run(folder: Path, *commands: str) -> None:
    """Run commands that are not of the page."""
    shell = Shell(folder)
    try:
        for text in commands:
            assert shell.run(Command(0, text)) == 0, text
    finally:
        shell.stop()


def parquet(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    paths = ["bolts/new/16.png", "bolts/new/17.png", "bolts/test/good/000.png"]
    pyarrow.parquet.write_table(pyarrow.table({"path": paths}), folder / "photographs.parquet")


def few(folder: Path) -> None:
    for number in range(5):
        save(folder / "five-good-bolts" / f"{number}.png", part(number))


def screws(folder: Path) -> None:
    """Parts that lie anywhere."""
    for number in range(3):
        image = long_parts.photograph(long_parts.PIN, 70 * number, seed=number)
        save(folder / "screws" / f"{number}.png", image)


def plates(folder: Path) -> None:
    for number in range(3):
        save(folder / "plates" / "good" / f"{number}.png", part(number, size=(320, 480)))
    save(folder / "plates" / "new" / "3.png", part(3, size=(320, 480), defect=9))


def flat_plates(folder: Path) -> None:
    plates(folder)
    for path in (folder / "plates" / "good").iterdir():
        path.rename(folder / "plates" / path.name)
    shutil.rmtree(folder / "plates" / "good")
    shutil.rmtree(folder / "plates" / "new")


def boards(folder: Path) -> None:
    for number in range(2):
        save(folder / "boards" / "good" / f"{number}.png", part(number, size=(300, 400)))
    clamps = np.zeros((300, 400), np.uint8)
    clamps[150:170, 200:240] = 255
    save(folder / "clamps.png", clamps)


def listed(folder: Path) -> None:
    names = sorted(p.relative_to(folder).as_posix() for p in (folder / "bolts" / "new").iterdir())
    (folder / "list.txt").write_text("\n".join(names) + "\n")


def last_run(folder: Path) -> None:
    """A file that is older than the photographs."""
    (folder / "last-run").touch()
    os.utime(folder / "last-run", (0, 0))


def photos(folder: Path) -> None:
    shutil.copytree(folder / "bolts" / "new", folder / "srv" / "photos" / "line3" / "today")
    shutil.copy(folder / "bolts.patchbank", folder / "srv" / "photos")


def cameras(folder: Path) -> None:
    shutil.copytree(folder / "bolts" / "new", folder / "srv" / "cam1")
    write_nuts(folder / "srv" / "cam2", 1)
    (folder / "srv" / "done").mkdir()


def certificate(folder: Path) -> None:
    subject = "/CN=localhost"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj {subject}".split()
    files = ["-keyout", "line.key", "-out", "line.pem"]
    subprocess.run([*command, *files], cwd=folder, check=True, capture_output=True)


def records(folder: Path) -> None:
    """Records of a service that has inspected two photographs."""
    run(
        folder,
        "patchbank serve bolts.patchbank",
        "patchbank send http://127.0.0.1:8760 bolts/new",
    )
    (folder / "backup").mkdir()


WRITERS: dict[str, Callable[[Path], object]] = {
    "boards": boards,
    "bolts/test/scratch": scratched,
    "bolts-updated.patchbank": updated,
    "bolts.onnx": exported,
    "bolts.patchbank": bolts,
    "five-good-bolts": few,
    "inspect_photographs.py": lambda folder: shutil.copy(
        ROOT / "examples" / "onnxruntime" / "inspect_photographs.py", folder
    ),
    "flat-plates": flat_plates,
    "large.patchbank": large,
    "last-run": last_run,
    "line": line,
    "line.pem": certificate,
    "list.txt": listed,
    "monday.jsonl": lambda folder: lines_of(folder, "monday.jsonl", "bolts/new"),
    "mvtec": mvtec,
    "new": lambda folder: shutil.copytree(folder / "bolts" / "new", folder / "new"),
    "nuts": lambda folder: write_nuts(folder / "nuts"),
    "nuts.patchbank": nuts,
    "one-good-bolt.png": lambda folder: save(folder / "one-good-bolt.png", part(0)),
    "patchbank-data": records,
    "photographs.parquet": parquet,
    "plates": plates,
    "products": products,
    "screws": screws,
    "srv/cameras": cameras,
    "srv/photos": photos,
    "srv/results": lambda folder: (folder / "srv" / "results").mkdir(parents=True),
    "tuesday.jsonl": lambda folder: lines_of(folder, "tuesday.jsonl", "bolts/test/good"),
}
