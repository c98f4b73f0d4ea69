"""Cases of `same_scores.py`: every method and preset, and the ways to fit that change the code run.

A case is JSON, so that both sides receive the same. Presets that ask for a Wide ResNet or a ViG
run on an embedded backbone: their steps are what is compared, and no weights are fetched.
"""

from __future__ import annotations

from typing import Any

LITE0 = {"backbone": "efficientnet_lite0"}
THREE_LAYERS = {**LITE0, "layers": ["blocks.1", "blocks.2", "blocks.4"]}
FOUR_LAYERS = {**LITE0, "layers": ["blocks.1", "blocks.2", "blocks.3", "blocks.4"]}
SMALLER = {**FOUR_LAYERS, "image_size": 144, "crop": 112}  # as it is, it takes minutes
BRIEF = {**LITE0, "steps": 60, "folds": 2, "hidden_dims": 128}


def _case(name: str, *members: tuple[str, str, dict[str, Any]], **options: Any) -> dict[str, Any]:
    """A case: its members (class, preset, changes) and options.

    Options are `n_good` (fit on so many photographs), `bank_rows` (load the saved file with so
    many) and `torch` (both sides need it).
    """
    return {"name": name, "members": [list(member) for member in members], **options}


CASES: tuple[dict[str, Any], ...] = (
    _case("patchcore:fast", ("PatchCore", "fast", {})),
    _case("patchcore:balanced", ("PatchCore", "balanced", {})),
    _case("patchcore:accurate", ("PatchCore", "accurate", {})),
    _case("patchcore:few-shot", ("PatchCore", "few-shot", {}), n_good=8),
    _case("patchcore:official", ("PatchCore", "official", LITE0)),
    _case("patchcore:hcw", ("PatchCore", "hcw", LITE0)),
    _case("patchcore:anomalib", ("PatchCore", "anomalib", LITE0)),
    _case("graphcore:balanced", ("GraphCore", "balanced", {})),
    _case("graphcore:paper", ("GraphCore", "paper", LITE0)),
    _case("padim:balanced", ("PaDiM", "balanced", {})),
    _case("padim:paper", ("PaDiM", "paper", {**THREE_LAYERS, "dims": 100})),
    _case("padim:rank", ("PaDiM", "balanced", {"rank": 8, "dims": 60})),
    _case("spade:balanced", ("SPADE", "balanced", {})),
    _case("spade:paper", ("SPADE", "paper", SMALLER)),
    _case("simplenet:balanced", ("SimpleNet", "balanced", BRIEF), torch=True),
    _case("simplenet:paper", ("SimpleNet", "paper", {**BRIEF, "batch_patches": 512}), torch=True),
    _case(
        "simplenet:early_stopping",
        ("SimpleNet", "balanced", {**BRIEF, "schedule": "early_stopping"}),
        torch=True,
    ),
    _case("ensemble", ("PatchCore", "fast", {}), ("PaDiM", "balanced", LITE0)),
    _case("cut bank", ("PatchCore", "fast", {}), bank_rows=700),
    _case("random selection", ("PatchCore", "fast", {"selection": "random", "bank_rows": 2000})),
    _case("all patches", ("PatchCore", "fast", {"selection": "all", "image_size": 192})),
    _case("covering radius", ("PatchCore", "fast", {"covering_radius": 20.0})),
    _case("hnsw", ("PatchCore", "fast", {"index": "hnsw"})),
    _case("ivf", ("PatchCore", "fast", {"index": "ivf"})),
    _case(
        "neighbours and projection",
        ("PatchCore", "fast", {"n_neighbours": 3, "projection": "gaussian"}),
    ),
    _case(
        "augmentation",
        (
            "PatchCore",
            "fast",
            {"rotations": 4, "flips": "both", "translations": 2, "zooms": [0.9, 1.1]},
        ),
        n_good=8,
    ),
    _case("one photograph", ("PatchCore", "fast", {}), n_good=1),
    _case("one photograph, few-shot", ("PatchCore", "few-shot", {}), n_good=1),
)
