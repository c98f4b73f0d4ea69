"""Write the words of docs/glossary.md that pages of results explain into the package.

    python tools/make_glossary.py            writes src/patchbank/report/glossary.json

A test compares the file with what this makes, so run it after a change to the glossary.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "docs" / "glossary.md"
TARGET = ROOT / "src" / "patchbank" / "report" / "glossary.json"

EXPLAINED: dict[str, tuple[str, ...]] = {
    "AUROC": (),
    "average precision, AP": (),
    "F1-max": (),
    "AUPRO": (),
    "ROC curve": (),
    "anomaly score, score": ("image score", "scores"),
    "threshold, pixel threshold": (),
    "false-alarm rate": ("false alarms expected", "expected false alarms", "good parts flagged"),
    "detection rate": ("defects found",),
    "p-value": (),
    "guaranteed rate": ("at most, on average",),
    "left-out score": ("left out",),
    "group": ("groups",),
    "unlike the others": (),
    "region": (),
    "coreset": (),
    "memory bank, bank row": ("rows of the bank",),
    "backbone": (),
    "synthetic defect": (),
    "share of the threshold": (),
    "test martingale, evidence": (),
    "expected false, false discovery rate": ("expected good",),
    "rank correlation": ("Rank correlation",),
    "exact copy, near copy": (),
    "spot, odd spot": (),
    "shots": (),
}
"""First cell of a row of the glossary -> phrases of pages that mean the same."""


def glossary() -> str:
    """The content of the file.

    Raises:
        KeyError: the glossary lacks a row.
    """
    rows = rows_of(SOURCE.read_text(encoding="utf-8"))
    entries = [
        {"words": key.split(", "), "phrases": phrases, "meaning": rows[key]}
        for key, phrases in EXPLAINED.items()
    ]
    return json.dumps(entries, ensure_ascii=False, indent=1) + "\n"


def rows_of(text: str) -> dict[str, str]:
    """First and second cell of the rows of all tables, the second as plain text."""
    cells = re.findall(r"^\| (.+?) \| (.+) \|$", text, re.M)
    return {word: plain(meaning) for word, meaning in cells}


def plain(text: str) -> str:
    """A text without marks of Markdown: links, code and stress."""
    without_links = re.sub(r" ?\(\[[^]]*\]\([^)]*\)\)|\[([^]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[`*]", "", without_links)


if __name__ == "__main__":
    TARGET.write_text(glossary(), encoding="utf-8")
    print(TARGET)
