"""Published facts about the known data sets: where they are, their licence, their counts.

A test compares `docs/datasets.md` with this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

CC_BY_NC_SA = "CC BY-NC-SA 4.0"


class Counts(NamedTuple):
    """Images of one category: good ones for training, good and defect ones for testing."""

    train: int
    good: int
    defect: int


@dataclass(frozen=True, slots=True)
class Published:
    """Published facts about one data set."""

    name: str
    source: str
    licence: str
    layout: str
    """Expected layout of its folders, in one line; <names> vary."""
    counts: Mapping[str, Counts] = field(default_factory=dict)
    """Counts by category; without a published split `train` is 0 and `good` counts all."""
    has_split: bool = True
    """Whether the authors publish which photographs are for training."""


MVTEC_AD = Published(
    "MVTec AD",
    "https://www.mvtec.com/company/research/datasets/mvtec-ad",
    CC_BY_NC_SA,
    "<category>/train/good, <category>/test/<good or defect>, <category>/ground_truth/<defect>",
    {
        "bottle": Counts(209, 20, 63),
        "cable": Counts(224, 58, 92),
        "capsule": Counts(219, 23, 109),
        "carpet": Counts(280, 28, 89),
        "grid": Counts(264, 21, 57),
        "hazelnut": Counts(391, 40, 70),
        "leather": Counts(245, 32, 92),
        "metal_nut": Counts(220, 22, 93),
        "pill": Counts(267, 26, 141),
        "screw": Counts(320, 41, 119),
        "tile": Counts(230, 33, 84),
        "toothbrush": Counts(60, 12, 30),
        "transistor": Counts(213, 60, 40),
        "wood": Counts(247, 19, 60),
        "zipper": Counts(240, 32, 119),
    },
)

MVTEC_AD_2 = Published(
    "MVTec AD 2",
    "https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    CC_BY_NC_SA,
    "<category>/train/good, <category>/test_public/<good or bad>, "
    "<category>/test_public/ground_truth/bad",
    {
        "can": Counts(412, 72, 90),
        "fabric": Counts(387, 66, 90),
        "fruit_jelly": Counts(263, 20, 60),
        "rice": Counts(313, 42, 90),
        "sheet_metal": Counts(137, 24, 90),
        "vial": Counts(291, 35, 105),
        "wallplugs": Counts(293, 60, 90),
        "walnuts": Counts(432, 60, 90),
    },
)

MVTEC_LOCO = Published(
    "MVTec LOCO AD",
    "https://www.mvtec.com/company/research/datasets/mvtec-loco",
    CC_BY_NC_SA,
    "<category>/train/good, <category>/test/<good, logical_anomalies or structural_anomalies>, "
    "<category>/ground_truth/<defect>/<image>/<mask>.png",
    {
        "breakfast_box": Counts(351, 102, 173),
        "juice_bottle": Counts(335, 94, 236),
        "pushpins": Counts(372, 138, 172),
        "screw_bag": Counts(360, 122, 219),
        "splicing_connectors": Counts(360, 119, 193),
    },
)

VISA = Published(
    "VisA",
    "https://github.com/amazon-science/spot-diff",
    "CC BY 4.0",
    "split_csv/1cls.csv next to <category>/Data/Images/<Normal or Anomaly> and "
    "<category>/Data/Masks/Anomaly, or its conversion to the layout of MVTec AD",
    {
        "candle": Counts(900, 100, 100),
        "capsules": Counts(542, 60, 100),
        "cashew": Counts(450, 50, 100),
        "chewinggum": Counts(453, 50, 100),
        "fryum": Counts(450, 50, 100),
        "macaroni1": Counts(900, 100, 100),
        "macaroni2": Counts(900, 100, 100),
        "pcb1": Counts(904, 100, 100),
        "pcb2": Counts(901, 100, 100),
        "pcb3": Counts(905, 101, 100),
        "pcb4": Counts(904, 101, 100),
        "pipe_fryum": Counts(450, 50, 100),
    },
)

BTAD = Published(
    "BTAD",
    "https://github.com/pankajmishra000/VT-ADL",
    "CC BY-SA 4.0",
    "<01, 02 or 03>/train/ok, <01, 02 or 03>/test/<ok or ko>, <01, 02 or 03>/ground_truth/ko",
    {
        "01": Counts(400, 21, 49),
        "02": Counts(399, 30, 200),
        "03": Counts(1000, 400, 41),
    },
)

MPDD = Published(
    "MPDD",
    "https://github.com/stepanje/MPDD",
    "none stated on its page",
    MVTEC_AD.layout,
    {
        "bracket_black": Counts(289, 32, 47),
        "bracket_brown": Counts(185, 26, 51),
        "bracket_white": Counts(110, 30, 30),
        "connector": Counts(128, 30, 14),
        "metal_plate": Counts(54, 26, 71),
        "tubes": Counts(122, 32, 69),
    },
)

KOLEKTOR = Published(
    "KolektorSDD",
    "https://www.vicos.si/resources/kolektorsdd",
    CC_BY_NC_SA,
    "kos<item>/Part<n>.jpg and kos<item>/Part<n>_label.bmp",
    {"kolektorsdd": Counts(0, 347, 52)},
    has_split=False,
)

KOLEKTOR_2 = Published(
    "KolektorSDD2",
    "https://www.vicos.si/resources/kolektorsdd2",
    CC_BY_NC_SA,
    "train/<n>.png, train/<n>_GT.png, test/<n>.png and test/<n>_GT.png",
    {"kolektorsdd2": Counts(2085, 894, 110)},
)

MAGNETIC_TILES = Published(
    "Magnetic Tile Defects",
    "https://github.com/abin24/Magnetic-tile-defect-datasets.",
    "none stated: free to use, please cite",
    "MT_Free/Imgs/<n>.jpg, MT_<Defect>/Imgs/<n>.jpg and MT_<Defect>/Imgs/<n>.png",
    {"magnetic_tiles": Counts(0, 952, 392)},
    has_split=False,
)

TABLE = Published(
    "table",
    "your own photographs",
    "your own",
    "a .csv or .parquet file with the columns path, label (good, a defect's name, 0 or 1), split "
    "(train or test) and, if you like, mask and category",
)

FOLDERS = Published(
    "folders",
    "your own photographs",
    "your own",
    "train/good, test/<good or defect> and ground_truth/<defect>, or good and <defect>, or a "
    "folder of such folders",
)
