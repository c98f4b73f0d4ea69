"""How much faster is the official 1024-dim embedding without unfolding than unfolded in torch?

    python benchmarks/speed/embedding.py                 # needs the extra ``torch``

Both get the same feature maps of Wide ResNet-50 at 224 x 224 (512 x 28 x 28 and 1024 x 14 x 14) and
return 784 x 1024.  They are timed in turn, in one process, with the same number of threads.
"""

from __future__ import annotations

import numpy as np
import torch

from contract import Run, Times, arguments, measured, summary
from patchbank.core.spatial.patch_embedding import adaptively_pooled

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
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    run = Run(__file__, __doc__, given := parser.parse_args())
    rng = np.random.default_rng(0)
    maps = [rng.standard_normal(shape).astype(np.float32) for shape in LAYERS]
    tensors = [torch.from_numpy(m) for m in maps]
    ways = {
        "ours_numpy": lambda: adaptively_pooled(maps, PATCH, layer_dims=DIMS, target_dims=DIMS),
        "ours_torch_cpu": lambda: adaptively_pooled(
            tensors, PATCH, layer_dims=DIMS, target_dims=DIMS
        ),
        "unfolded_torch_cpu": lambda: unfolded(tensors),
    }
    all_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.repeats):
        for name, way in ways.items():  # in turn, each warmed up anew
            times, _ = measured(way, repeats=1)
            all_s[name].append(times.median_s)
    expected = unfolded(tensors).numpy()
    ours = ways["ours_numpy"]().reshape(-1, DIMS)
    pairs = zip(all_s["unfolded_torch_cpu"], all_s["ours_numpy"], strict=True)
    run.write(
        {
            "versions": {"torch": torch.__version__},
            "threads": torch.get_num_threads(),
            **{name: Times(tuple(values), 1).to_json() for name, values in all_s.items()},
            "times_faster": summary([theirs / own for theirs, own in pairs]),
            "largest_difference": float(np.abs(ours - expected).max()),
        }
    )


if __name__ == "__main__":
    main()
