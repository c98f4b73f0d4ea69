"""faiss.IndexFlatL2 in the comparison of exact searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from protocol import Settings, Task, serve


def search(folder: Path, settings: Settings) -> Task:
    """The exact index of faiss, with all threads that it takes by itself."""
    bank = np.load(folder / "bank.npy")
    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(bank)
    queries = np.load(folder / "queries.npy")  # (images, n, d)

    def run(image: int) -> tuple[Any, Any]:
        return index.search(queries[image], 1)

    return Task(run, lambda found: {"distances": np.sqrt(found[0][:, 0]).tolist()})


if __name__ == "__main__":
    serve({"search": search}, ("faiss-cpu", "numpy"))
