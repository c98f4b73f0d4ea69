"""The official 1024-dim embedding: without unfolding, against the unfolded definition in torch.

    python benchmarks/speed/embedding.py                 # needs the extra ``torch``

Both get the same feature maps of Wide ResNet-50 at 224 x 224 (512 x 28 x 28 and 1024 x 14 x 14) and
return 784 x 1024.  They are timed in turn, in one process, with the same number of threads.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from environment import environment
from patchbank.core.patches import adaptively_pooled

LAYERS = ((512, 28, 28), (1024, 14, 14))
DIMS = 1024
PATCH = 3


def unfolded(maps: list[torch.Tensor]) -> torch.Tensor:
    """Unfold, align, pool each layer, pool all: the definition, as batched torch operations."""
    grid = maps[0].shape[1:]
    pooled = []
    for planes in maps:
        c, h, w = planes.shape
        patches = torch.nn.functional.unfold(planes[None], PATCH, padding=PATCH // 2)
        patches = patches.reshape(1, c * PATCH**2, h, w)
        if (h, w) != grid:
            patches = torch.nn.functional.interpolate(
                patches, size=grid, mode="bilinear", align_corners=False
            )
        rows = patches.reshape(1, c * PATCH**2, -1).transpose(1, 2)  # (1, n, c * 9)
        pooled.append(torch.nn.functional.adaptive_avg_pool1d(rows, DIMS))
    both = torch.cat(pooled, dim=2)
    return torch.nn.functional.adaptive_avg_pool1d(both, DIMS)[0]  # (n, 1024)


def main() -> None:
    """Measure and write embedding.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    maps = [rng.standard_normal(shape).astype(np.float32) for shape in LAYERS]
    tensors = [torch.from_numpy(m) for m in maps]
    rivals = {
        "ours_numpy": lambda: adaptively_pooled(maps, PATCH, layer_dims=DIMS, target_dims=DIMS),
        "ours_torch_cpu": lambda: adaptively_pooled(
            tensors, PATCH, layer_dims=DIMS, target_dims=DIMS
        ),
        "unfolded_torch_cpu": lambda: unfolded(tensors),
    }
    expected = unfolded(tensors).numpy()
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(given.repeats + 3):
        for name, run in rivals.items():
            began = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - began))
    median = {name: float(np.median(values[3:])) for name, values in times.items()}
    record = {
        "command": " ".join(sys.argv),
        "environment": environment(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "median_ms": median,
        "all_ms": {name: values[3:] for name, values in times.items()},
        "times_faster": median["unfolded_torch_cpu"] / median["ours_numpy"],
        "largest_difference": float(
            np.abs(rivals["ours_numpy"]().reshape(-1, DIMS) - expected).max()
        ),
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({k: v for k, v in record.items() if k != "all_ms"}, indent=1))


if __name__ == "__main__":
    main()
