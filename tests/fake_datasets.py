"""Tiny copies of the data sets of the field, laid out as theirs."""

import csv

import numpy as np

from tests.photographs import save

SIZE = (9, 14)  # height x width: never square
GREY = np.full((*SIZE, 3), 128, np.uint8)
BLACK = np.zeros(SIZE, np.uint8)
MARKED = BLACK.copy()
MARKED[2:5, 3:9] = 255


def photos(folder, *names):
    for name in names:
        save(folder / name, GREY)


def masks(folder, *names):
    for name in names:
        save(folder / name, MARKED)


def mvtec_category(folder, *, train=2, good="good", test="test", truth="ground_truth", bad="crack"):
    photos(folder / "train" / good, *(f"{i}.png" for i in range(train)))
    photos(folder / test / good, "0.png")
    photos(folder / test / bad, "0.png", "1.png")
    masks(folder / truth / bad, "0_mask.png", "1_mask.png")
    return folder


def loco(root):
    for name in ("breakfast_box", "pushpins"):
        folder = mvtec_category(root / name, bad="structural_anomalies")
        photos(folder / "validation" / "good", "7.png")
        photos(folder / "test" / "logical_anomalies", "0.png")
        masks(folder / "ground_truth" / "logical_anomalies" / "0", "000.png", "001.png")
    return root


def visa(root, objects=("candle", "pcb1")):
    rows = [["object", "split", "label", "image", "mask"]]
    for name in objects:
        for split, stem in (("train", "1"), ("train", "0"), ("test", "2")):
            rows.append([name, split, "normal", f"{name}/Data/Images/Normal/{stem}.JPG", ""])
            photos(root / name / "Data" / "Images" / "Normal", f"{stem}.JPG")
        image, mask = f"{name}/Data/Images/Anomaly/0.JPG", f"{name}/Data/Masks/Anomaly/0.png"
        rows.append([name, "test", "anomaly", image, mask])
        save(root / image, GREY)
        save(root / mask, MARKED)
    write_table(root / "split_csv" / "1cls.csv", rows)
    return root


def kolektor(root):
    for item in range(1, 11):
        for part in range(3):
            photos(root / f"kos{item:02}", f"Part{part}.jpg")
            label = MARKED if part == 1 else BLACK
            save(root / f"kos{item:02}" / f"Part{part}_label.bmp", label)
    return root


def kolektor_2(root):
    for split, first in (("train", 10000), ("test", 20000)):
        for i in range(4):
            photos(root / split, f"{first + i}.png")
            save(root / split / f"{first + i}_GT.png", MARKED if i == 2 else BLACK)
    return root


def magnetic_tiles(root):
    for i in range(12):
        photos(root / "MT_Free" / "Imgs", f"exp1_num_{i}.jpg")
        save(root / "MT_Free" / "Imgs" / f"exp1_num_{i}.png", BLACK)
    for name in ("MT_Blowhole", "MT_Fray"):
        photos(root / name / "Imgs", "exp2_num_1.jpg")
        masks(root / name / "Imgs", "exp2_num_1.png")
    return root


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def table(root, *extra, header=("path", "label", "split", "mask", "category")):
    rows = [
        ["a/1.png", "good", "train", "", "bolt"],
        ["a/2.png", "0", "test", "", "bolt"],
        ["a/3.png", "dent", "test", "m/3.png", "bolt"],
        ["b/1.png", "OK", "train", "", "nut"],
        ["b/2.png", "normal", "test", "", "nut"],
        ["b/3.png", "1", "test", "", "nut"],
    ]
    for row in rows:
        save(root / row[0], GREY)
    save(root / "m" / "3.png", MARKED)
    return write_table(root / "parts.csv", [header, *rows, *extra])


def names(paths):
    return [path.name for path in paths]


def by_label(category):
    labels = {sample.label for sample in category.test.samples}
    return {
        label: [s.path.name for s in category.test.samples if s.label == label] for label in labels
    }
