"""Photographs read on the nodes of a cluster, a block of them in each task of Ray."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayTaskError, WorkerCrashedError

from patchbank.backbones import Engine, FeatureExtractor
from patchbank.cluster.blocks import MOST_RETRIES, Block, on_node
from patchbank.cluster.checkpoint import keep_block, kept_block, state_of
from patchbank.errors import ClusterError, PatchbankError
from patchbank.images.source import ImageSource
from patchbank.methods.patch_store import CollectedPatches
from patchbank.runtime.machine import versions
from patchbank.runtime.progress import NullProgress
from patchbank.runtime.threads import use_cores
from patchbank.runtime.torch_device import open_device
from patchbank.training.fit import open_backbone_of
from patchbank.training.reading import PartRead, Reading, read_part
from patchbank.types import Features

CORES = 1
"""Cores of a task without a GPU: tasks share the cores of a node."""


@dataclass(frozen=True, slots=True)
class Work:
    """Work that the tasks of one member have in common."""

    reading: Reading
    device: str
    engine: Engine
    checkpoint: Path | None
    """Folder for blocks that are kept; None for none."""

    @property
    def key(self) -> str:
        """Digest of all that a block depends on besides its photographs."""
        reading = self.reading
        region = None if reading.roi is None else reading.roi.mask.tobytes()
        facts = (
            *(reading.method_name, sorted(reading.settings.to_mapping().items()), region),
            *(reading.pictures, reading.with_contents, reading.with_patches),
            *(self.device, self.engine, sorted(versions().items())),
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def open(self) -> FeatureExtractor:
        """The backbone, of which a process holds one."""
        key = self.key
        if key not in _opened:
            _opened.clear()
            device = open_device(self.device)
            _opened[key] = open_backbone_of(self.reading.settings, device, self.engine)
        return _opened[key]


_opened: dict[str, FeatureExtractor] = {}


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """Facts of a block that a task returns besides its features."""

    part: PartRead
    collected: CollectedPatches
    width: int
    """Dimensions of a patch; 0 of a block without any."""
    node: str = ""
    seconds: float = 0.0
    is_kept: bool = False
    """Whether it comes from the checkpoint."""
    digest: str = ""
    """Digest of all that the features depend on; '' without a checkpoint."""


@dataclass(frozen=True, slots=True)
class BlockRead:
    """A block of photographs that was read."""

    number: int
    block: Block
    part: PartRead
    collected: CollectedPatches
    width: int
    seconds: float
    is_kept: bool
    digest: str


@dataclass(frozen=True, slots=True)
class Nodes:
    """The machines of a cluster."""

    names: tuple[str, ...]
    """Identity of each."""
    cores: tuple[int, ...]
    gpus: tuple[int, ...] = ()
    """GPUs of each, where those compute."""

    @classmethod
    def alive(cls, *, with_gpus: bool = False) -> Nodes:
        """Nodes that are alive and have cores, and GPUs where those shall compute.

        Raises:
            ClusterError: there is none.
        """
        found = [
            (node["NodeID"], int(node["Resources"].get("CPU", 0)), int(has.get("GPU", 0)))
            for node in ray.nodes()
            if node["Alive"] and (has := node["Resources"])
        ]
        able = sorted(one for one in found if one[1] >= CORES and (one[2] or not with_gpus))
        if not able:
            what = "a core and a GPU" if with_gpus else "a core"
            raise ClusterError(f"cluster: expected a node with {what}, got none; add one")
        names, cores, gpus = zip(*able, strict=True)
        return cls(names, cores, gpus if with_gpus else ())

    @property
    def n_cores(self) -> int:
        """Cores of all of them."""
        return sum(self.cores)

    @property
    def n_at_once(self) -> int:
        """Blocks of photographs that are read at once: one on each GPU, or core."""
        return sum(self.gpus) or self.n_cores // CORES

    @property
    def cores_of_block(self) -> int:
        """Cores of the process that reads a block: those that a node has for each of its GPUs.

        But for one, so that it is not kept from starting by something small; and the least of all
        nodes, as each may have to read the blocks of one that is lost.
        """
        if not self.gpus:
            return CORES
        return min(max(CORES, c // g - 1) for c, g in zip(self.cores, self.gpus, strict=True))

    def shared_out(self, n: int) -> list[str]:
        """The node of each of n blocks: runs of blocks, as long as the node has cores or GPUs."""
        ends = np.cumsum(self.gpus or self.cores)
        return [self.names[int(np.searchsorted(ends * n / ends[-1], at + 0.5))] for at in range(n)]


def blocks_read(
    work: Work, parts: Sequence[Sequence[ImageSource]], nodes: Nodes
) -> Iterator[BlockRead]:
    """Read blocks of photographs, and yield each as soon as it is done.

    A process that dies is replaced by Ray, which computes its block again, and those that are lost
    with a node too.

    Raises:
        ClusterError: processes die again and again.
        PatchbankError: the photographs cannot be learned.
    """
    shared, cores, n_gpus = ray.put(work), nodes.cores_of_block, 1 if nodes.gpus else 0
    waiting = {}
    for number, (part, node) in enumerate(zip(parts, nodes.shared_out(len(parts)), strict=True)):
        task = READ_BLOCK.options(
            scheduling_strategy=on_node(node), num_cpus=cores, num_gpus=n_gpus
        )
        features, found = task.remote(shared, list(part), cores)
        waiting[found] = number, features, node
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        number, features, node = waiting.pop(done)
        try:
            found = ray.get(done)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, PatchbankError) else error) from None
        except WorkerCrashedError as error:
            raise ClusterError(
                f"cluster: expected block {number + 1} of {len(parts)} to be read, but its process "
                f"on node {node[:8]} died {MOST_RETRIES + 1} times ({str(error).splitlines()[0]}); "
                "see the logs of Ray there"
            ) from None
        block = Block(features, found.collected.n_rows, found.node)
        yield BlockRead(
            number=number,
            block=block,
            part=found.part,
            collected=found.collected,
            width=found.width,
            seconds=found.seconds,
            is_kept=found.is_kept,
            digest=found.digest,
        )


def read_block(work: Work, sources: list[ImageSource], cores: int) -> tuple[Features, BlockFacts]:
    """Decode photographs, extract their features and embed them; -> features, and all else."""
    use_cores(cores)
    node = ray.get_runtime_context().get_node_id()
    began = time.perf_counter()
    digest, file, kept = "", None, None
    if work.checkpoint is not None:
        digest = _digest(work, sources)
        file = work.checkpoint / f"{digest}.block"
        kept = kept_block(file)
    if kept is None:
        features, facts = _read(work, sources)
        if file is not None and not facts.part.unread:
            keep_block(file, features, (facts.part, facts.collected))
    else:
        features, (part, collected) = kept
        facts = BlockFacts(part, collected, features.shape[1])
    seconds = time.perf_counter() - began
    return features, replace(
        facts, node=node, seconds=seconds, is_kept=kept is not None, digest=digest
    )


READ_BLOCK: Any = ray.remote(num_returns=2, max_retries=MOST_RETRIES)(read_block)


def _read(work: Work, sources: Sequence[ImageSource]) -> tuple[Features, BlockFacts]:
    device, silent = open_device(work.device), NullProgress()
    extractor = work.open()
    with device.full_precision():
        learner: Any = work.reading.learner(len(sources), silent, device)
        part = read_part(work.reading, extractor, learner, sources, silent)
    features = learner.features
    return features, BlockFacts(part, learner.collected, features.shape[1])


def _digest(work: Work, sources: Sequence[ImageSource]) -> str:
    """Digest of all that the features of photographs depend on."""
    facts = "\n".join([work.key, *(state_of(source) for source in sources)])
    return hashlib.sha256(facts.encode()).hexdigest()[:32]
