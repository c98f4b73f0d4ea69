"""Plan of a benchmark: runs for every category, method, number of shots and seed."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from patchbank.benchmark.file_digests import FileDigests
from patchbank.benchmark.method_spec import MethodSpec
from patchbank.datasets import Category
from patchbank.detector.settings_file import pack_settings
from patchbank.errors import ParameterError
from patchbank.methods import Settings

FULL = "full"
ADDED_LATER: Mapping[str, Any] = {
    "bit_depth": None,
    "tiles": False,
    "position": "as_photographed",
    "part_size": None,
    "banks": "joint",
}
"""Settings that older keys do not have, each with the value that leaves the key of a stored result
as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One detector to fit and to measure."""

    category: Category
    spec: MethodSpec
    shots: int | None
    """Training images; None for all."""
    seed: int
    """Seed that draws the shots; it is added to the seed of the settings."""
    data: str
    """Hash of the names and contents of the files of the category."""
    key: str
    """Hash of everything that determines the figures."""

    @property
    def settings(self) -> Settings:
        """Settings of the method, with the seed of this run."""
        return seeded(self.spec, self.seed)

    @property
    def training(self) -> tuple[Path, ...]:
        """The good photographs for training."""
        return drawn(self.category.train, self.shots, self.seed)

    def __str__(self) -> str:
        shots = "" if self.shots is None else f"{shots_text(self.shots)}, "
        return f"{self.category.name}, {shots}seed {self.seed}, {self.spec.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All runs, in the order of execution."""

    categories: tuple[Category, ...]
    specs: tuple[MethodSpec, ...]
    shots: tuple[int | None, ...]
    runs: tuple[Run, ...]
    skipped: tuple[str, ...]
    """Combinations that are skipped, one line each."""

    def column(self, category: Category) -> str:
        """Label of a category in the tables."""
        several = len({c.dataset for c in self.categories}) > 1
        return f"{category.dataset}/{category.name}" if several else category.name


def make_plan(
    categories: Sequence[Category],
    specs: Sequence[MethodSpec],
    *,
    shots: Sequence[int | None] = (None,),
    seeds: int = 5,
    full_seeds: int = 1,
    device: str = "cpu",
    digests: FileDigests | None = None,
) -> Plan:
    """List the runs.

    Args:
        categories: categories to train and test on.
        specs: methods with distinct labels.
        shots: numbers of training images; None for all.
        seeds: number of draws of the shots, from seed 0.
        full_seeds: number of runs on all training images, from the seed of the settings.
        device: name of the device that computes.
        digests: of the contents of files, of earlier benchmarks; None reads all files.

    Raises:
        DataError: a file of a category cannot be read.
        ParameterError: two specs of one label, numbers that are not above 0, or more shots
            than any category has.
    """
    labels = [spec.label for spec in specs]
    for label in labels:
        if labels.count(label) > 1:
            raise ParameterError(f"methods: expected each label once, got {label!r} twice")
    for name, value in (("seeds", seeds), ("full_seeds", full_seeds)):
        if value < 1:
            raise ParameterError(f"{name}: expected 1 or more, got {value}")
    runs: list[Run] = []
    skipped: list[str] = []
    for category in categories:
        data = data_hash(category, digests or FileDigests())
        for k in shots:
            if k is not None and k > len(category.train):
                has = f"{len(category.train)} training images"
                skipped.append(f"{category.name}: {has}, so {shots_text(k)} are left out")
                continue
            runs += [
                _run(category, spec, k, seed, data, device)
                for spec in specs
                for seed in range(full_seeds if k is None else seeds)
            ]
    if not runs:
        raise ParameterError(f"shots: expected fewer: {'; '.join(skipped)}")
    done = {run.shots for run in runs}
    return Plan(
        categories=tuple(categories),
        specs=tuple(specs),
        shots=tuple(k for k in shots if k in done),
        runs=tuple(runs),
        skipped=tuple(skipped),
    )


def parse_shots(text: str) -> tuple[int | None, ...]:
    """Read numbers of shots, with commas.

    >>> parse_shots("full,1,4")
    (None, 1, 4)
    """
    shots: list[int | None] = []
    for part in (part.strip() for part in text.split(",")):
        if part != FULL and not (
            part.isascii() and part.isdigit() and len(part) < 10 and int(part) > 0
        ):
            raise ParameterError(
                f"shots: expected {FULL} and numbers above 0 with commas, got {text[:100]!r}"
            )
        shots.append(None if part == FULL else int(part))
    if len(set(shots)) < len(shots):
        raise ParameterError(f"shots: expected each number once, got {text[:100]!r}")
    return tuple(shots)


def shots_text(shots: int | None) -> str:
    """A number of shots in words."""
    if shots is None:
        return "all training images"
    return "1 shot" if shots == 1 else f"{shots} shots"


def in_order(shots: int | None) -> float:
    """Sort key of numbers of shots; all training images come last."""
    return math.inf if shots is None else shots


def drawn(train: Sequence[Path], shots: int | None, seed: int) -> tuple[Path, ...]:
    """Draw the training images of a run; smaller draws are subsets of larger ones."""
    if shots is None:
        return tuple(train)
    order = np.random.default_rng(seed).permutation(len(train))
    return tuple(train[i] for i in order[:shots])


def seeded(spec: MethodSpec, seed: int) -> Settings:
    """Settings of the run of a method with that seed."""
    settings = spec.settings
    return settings.with_changes(seed=settings.seed + seed)


def data_hash(category: Category, digests: FileDigests) -> str:
    """Hash of the names and contents of a category's files, wherever its folder is."""
    test = category.test.samples
    masks = [sample.mask for sample in test if sample.mask is not None]
    files = [*category.train, *(sample.path for sample in test), *masks]
    top = os.path.commonpath([os.path.abspath(path.parent) for path in files])

    def fact(path: Path | None) -> Any:
        return path and [Path(os.path.relpath(path, top)).as_posix(), digests.of(path)]

    facts = {
        "train": [fact(path) for path in category.train],
        "test": [[fact(sample.path), sample.label, fact(sample.mask)] for sample in test],
    }
    return _sha256(facts)


def _run(
    category: Category,
    spec: MethodSpec,
    shots: int | None,
    seed: int,
    data: str,
    device: str,
) -> Run:
    settings = seeded(spec, seed)
    determined_by = {
        "dataset": category.dataset,
        "category": category.name,
        "data": data,
        "method": spec.method,
        "shots": shots,
        "seed": seed,
        "device": device,
        "patchbank": version("patchbank"),
    }
    return Run(
        category=category,
        spec=spec,
        shots=shots,
        seed=seed,
        data=data,
        key=run_key(determined_by, settings),
    )


def run_key(determined_by: Mapping[str, Any], settings: Settings) -> str:
    """Hash of everything that determines the figures of a run.

    Settings enter by their keys in the detector file: a setting that is renamed leaves the key of
    a stored result as it is.

    Args:
        determined_by: all but the settings.
        settings: settings of the method, with the seed of the run.
    """
    files = _file_hashes(name for name in (settings.backbone, settings.weights) if name)
    packed = pack_settings(settings)
    own = {
        name: value
        for name, value in packed.items()
        if name not in ADDED_LATER or value != ADDED_LATER[name]
    }
    return _sha256({**determined_by, "settings": own, "files": files})


def _file_hashes(names: Iterable[str]) -> dict[str, str]:
    """Hashes of weights in files, whose names alone do not determine the figures."""
    paths = [Path(name) for name in names]
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()
    }


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
