"""scikit-learn's brute force in the comparison of exact searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from protocol import Settings, Task, serve


def search(folder: Path, settings: Settings) -> Task:
    """Brute force in float32."""
    index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(np.load(folder / "bank.npy"))
    queries = np.load(folder / "queries.npy")  # (images, n, d)

    def run(image: int) -> tuple[Any, Any]:
        return index.kneighbors(queries[image])

    return Task(run, lambda found: {"distances": found[0][:, 0].astype(float).tolist()})


if __name__ == "__main__":
    serve({"search": search}, ("scikit-learn", "numpy"))
