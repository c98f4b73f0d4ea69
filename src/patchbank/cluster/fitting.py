"""A fit whose features are computed, kept and selected on a cluster; all else is as on one machine.

training.fit.fit                    as on one machine
     |  reader
fitting.ClusterReader               photographs in blocks, one task of Ray each
     |        |
     |   reading.read_part          on a node: decode, extract, embed
     |
features.FeaturesOnCluster          what the learner takes for an array
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchbank.backbones import Engine, FeatureExtractor
from patchbank.cluster.connection import connected
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.errors import DataError, ParameterError
from patchbank.images.source import ImageSource
from patchbank.methods import METHODS, Learner, Method
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.progress import Progress
from patchbank.settings import Settings, part_of
from patchbank.training.choose import AutomaticSettings
from patchbank.training.groups import GroupSearch
from patchbank.training.photographs import unreadable
from patchbank.training.reading import Reader, Reading, read_here

if TYPE_CHECKING:
    from patchbank.cluster.reading import BlockRead

MOST_PHOTOGRAPHS = 32
"""Photographs of a block: what is computed again when a process dies."""
BLOCKS_PER_CORE = 4
"""Blocks that each core of the cluster gets at least, so that none waits long for the last one."""


DEVICES = ("auto", "cpu", "cuda")
"""Devices of a fit on a cluster."""


def device_here(device: str, cluster: str | None) -> str:
    """Where the process that asks for a fit computes.

    On a cluster ``auto`` is a processor, as its machines may differ; and where they compute on
    their GPUs, this one needs none.

    >>> device_here("auto", None), device_here("auto", "local"), device_here("cuda", "local")
    ('auto', 'cpu', 'auto')
    """
    return device if cluster is None else {"auto": "cpu", "cuda": "auto"}.get(device, device)


@contextmanager
def reader_on(
    cluster: str | None,
    asked: Sequence[tuple[Method, Settings]] | AutomaticSettings,
    *,
    device: str,
    engine: Engine,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Iterator[Reader]:
    """Context of a reader of the photographs of a fit: here, or on a cluster that is connected.

    Args:
        cluster: address of the cluster; "local" for processes of this machine; None for this one.
        asked: method and settings of each member.
        device: of each node: ``cuda``, or ``auto`` or ``cpu`` for its processors.
        engine: what runs ONNX backbones.
        checkpoint: folder that all nodes see, in which blocks of features and selections are kept
            for another run.

    Raises:
        ParameterError: a method or a setting needs all features in one place, or the package ray is
            not installed.
        DataError: the checkpoint is no folder.
        ClusterError: no cluster answers.
    """
    if cluster is None:
        if checkpoint is not None:
            raise ParameterError(
                "checkpoint: expected together with cluster, got it without; leave it out"
            )
        yield read_here
        return
    _check(asked, engine, device)
    folder = None if checkpoint is None else _made(Path(checkpoint))
    with connected(cluster):
        reader = ClusterReader("cuda" if device == "cuda" else "cpu", engine, folder)
        try:
            yield reader
        finally:
            reader.close()


def _check(
    asked: Sequence[tuple[Method, Settings]] | AutomaticSettings, engine: Engine, device: str
) -> None:
    """Check that each member can learn features that are in shards, and the device."""
    if device not in DEVICES:
        raise ParameterError(
            f"device: expected auto, cpu or cuda on a cluster, got {device!r}; Ray chooses which "
            "GPU of a machine reads a block of photographs"
        )
    able = [one.name for one in METHODS.values() if one.check_in_shards is not None]
    parts = asked.parts if isinstance(asked, AutomaticSettings) else asked
    for method, settings in parts:
        if method.check_in_shards is None:
            raise ParameterError(
                f"method: expected {' or '.join(able)} on a cluster, got {method.name!r}, which "
                "needs all features in one place; fit it without a cluster"
            )
        method.check_in_shards(part_of(settings, method.parameters))
    if engine.precision == "int8":
        raise ParameterError(
            "precision: expected float32 or bfloat16 on a cluster, got 'int8', for which the "
            "network is quantised on one machine; fit it without a cluster"
        )


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"checkpoint: expected a folder, got {folder}: {error.strerror}") from None
    return folder.absolute()


@dataclass(frozen=True, slots=True)
class ClusterReader:
    """Reads photographs on all nodes of the cluster that this process is connected to."""

    device: str
    """``cuda`` or ``cpu``."""
    engine: Engine
    checkpoint: Path | None = None
    actors: list[list[Any]] = field(default_factory=list)
    """Actors that hold the shards of each member."""

    def close(self) -> None:
        """End all that holds shards."""
        from patchbank.cluster.shards import end

        for of_member in self.actors:
            end(of_member)

    def __call__(
        self,
        reading: Reading,
        extractor: FeatureExtractor,
        learner: Learner,
        search: GroupSearch,
        progress: Progress,
    ) -> list[ImageGeometry]:
        """Read all photographs, a block of them at a time, and let the learner join the blocks."""
        from patchbank.cluster.features import FeaturesOnCluster, KeptSelections
        from patchbank.cluster.reading import Work

        work = Work(reading, self.device, self.engine, self.checkpoint)
        sources = search.sources
        reads = self._read(work, sources, progress)
        errors = [error for read in reads for error in read.part.unread]
        if errors:
            raise unreadable(errors, len(sources))
        facts = [content for read in reads for content in read.part.contents.contents]
        for source, content in zip(sources, facts, strict=False):  # of a first member only
            search.contents.add(source, content)
        for read in reads:
            search.join(read.part.patches)
        blocks = [read.block for read in reads if read.block.n_rows]
        if not blocks:
            raise DataError("expected at least one patch that counts, got images masked all over")
        sharded: Any = learner  # `_check` has seen that it is a `ShardedLearner`
        width = next(read.width for read in reads if read.block.n_rows)
        self.actors.append([])
        kept = None
        if self.checkpoint is not None:
            kept = KeptSelections(self.checkpoint, [read.digest for read in reads])
        features = FeaturesOnCluster.of(blocks, width, self.actors[-1], kept)
        sharded.join(features, [read.collected for read in reads])
        return [geometry for read in reads for geometry in read.part.geometries]

    def _read(
        self, work: Any, sources: Sequence[ImageSource], progress: Progress
    ) -> list[BlockRead]:
        """Results of all blocks, in order."""
        from patchbank.cluster.reading import Nodes, blocks_read

        nodes = Nodes.alive(with_gpus=self.device == "cuda")
        n_blocks = max(1, BLOCKS_PER_CORE * nodes.n_at_once, -(-len(sources) // MOST_PHOTOGRAPHS))
        size = -(-len(sources) // n_blocks)
        begins = range(0, len(sources), size)
        LOGGER.info(
            "reading %d photographs in %d blocks on %d nodes with %d %s",
            len(sources),
            len(begins),
            len(nodes.names),
            nodes.n_at_once,
            "GPUs" if nodes.gpus else "cores",
        )
        reads = {}
        with progress.task("reading good images", len(sources)) as advance:
            parts = [sources[begin : begin + size] for begin in begins]
            for read in blocks_read(work, parts, nodes):
                LOGGER.info(
                    "block %d of %d: %d rows on node %s, %s",
                    read.number + 1,
                    len(parts),
                    read.block.n_rows,
                    read.block.node[:8],
                    "from the checkpoint" if read.is_kept else f"{read.seconds:.1f} s",
                )
                reads[read.number] = read
                advance(len(parts[read.number]))
        return [reads[number] for number in range(len(parts))]
