"""Our side of the comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from patchbank import load
from patchbank.core.coreset import Coreset, greedy_coreset
from patchbank.core.neighbours import ExactIndex
from patchbank.images.source import read_image
from protocol import Settings, Task, serve


def selection(folder: Path, settings: Settings) -> Task:
    """The block selection."""
    features = np.load(folder / "features.npy")

    def run(picks: int) -> Coreset:
        return greedy_coreset(features, picks)

    return Task(run, lambda picked: {"rows": picked.centres.tolist()})


def search(folder: Path, settings: Settings) -> Task:
    """The exact index."""
    index = ExactIndex(np.load(folder / "bank.npy"))
    queries = np.load(folder / "queries.npy")  # (images, n, d)

    def run(image: int) -> tuple[Any, Any]:
        return index.nearest(queries[image], 1)

    return Task(run, lambda found: {"distances": found[0][:, 0].tolist()})


def predict(folder: Path, settings: Settings) -> Task:
    """Inspection of many photographs, with their maps where they are asked for."""
    detector = load(folder / "detector.patchbank")
    paths = sorted((folder / "images").iterdir())
    arrays = [read_image(path) for path in paths]

    def run(source: str, maps: bool, count: int) -> list[float]:
        scores = []
        for seen in detector.predict((arrays if source == "arrays" else paths)[:count]):
            scores.append(seen.score)
            if maps:
                seen.anomaly_map  # noqa: B018  (made when it is asked for)
        return scores

    return Task(run, lambda scores: {"scores": scores})


if __name__ == "__main__":
    serve(
        {"selection": selection, "search": search, "predict": predict},
        ("patchbank", "numpy", "onnxruntime"),
    )
