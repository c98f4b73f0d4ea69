"""How long do the features of a photograph take: the network, and the embedding of its patches?

    python benchmarks/speed/features.py

Of a drawn photograph of 512 x 512 pixels, with the embedded backbones: resizing and the network,
then both embeddings of what it gives (as concatenated, and the official 1024 numbers).  The
latter is compared with its definition in torch by embedding.py.
"""

from __future__ import annotations

import numpy as np

from contract import Run, arguments, measured
from patchbank import PatchCore
from patchbank.backbones import open_backbone
from patchbank.core.spatial.patch_embedding import adaptively_pooled, concatenated
from patchbank.detector.preprocessing import extract

CASES = {
    "lite0, 224": PatchCore(backbone="efficientnet_lite0", image_size=224, scales=(1.0,)),
    "lite0, 512": PatchCore(backbone="efficientnet_lite0", image_size=512, scales=(1.0,)),
    "lite2, 256": PatchCore(image_size=256, scales=(1.0,)),
    "lite2, 448 and 224": PatchCore(),
}
SIDE_PX = 512


def main() -> None:
    """Measure and write features.json."""
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    run = Run(__file__, __doc__, given := parser.parse_args())
    photograph = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    results = {}
    for name, recipe in CASES.items():
        extractor = open_backbone(recipe.backbone, recipe.layers)
        network, (maps, _) = measured(
            lambda extractor=extractor, recipe=recipe: extract(extractor, recipe, photograph),
            repeats=given.repeats,
            warm_up=3,
        )
        concatenation, _ = measured(
            lambda maps=maps: concatenated(maps), repeats=given.repeats, warm_up=3
        )
        official, _ = measured(
            lambda maps=maps: adaptively_pooled(maps), repeats=given.repeats, warm_up=3
        )
        results[name] = {
            "maps": [list(m.shape) for m in maps],
            "network": network.to_json(),
            "concatenated": concatenation.to_json(),
            "official_1024": official.to_json(),
        }
    run.write(results)


if __name__ == "__main__":
    main()
