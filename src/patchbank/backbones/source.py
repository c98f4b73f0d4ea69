"""The contract of a backbone source: it opens backbones by name and stores them in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from patchbank.backbones.engine import ONNX_RUNTIME, Engine
from patchbank.backbones.extractor import BackboneInfo, FeatureExtractor
from patchbank.backbones.packing import Packed
from patchbank.choices import EngineName, Normalisation
from patchbank.runtime.devices import HOST, Device


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """Choices of the caller when a backbone is opened."""

    layers: tuple[str, ...] | None = None
    """Layers to compute, shallow to deep; None for the default ones."""
    normalisation: Normalisation | None = None
    """Mean and standard deviation, for files that do not state them."""
    weights: str | None = None
    """File of weights, for sources that take one."""
    device: Device = HOST
    """Device of networks that run in torch."""
    engine: Engine = ONNX_RUNTIME
    """Program that runs ONNX networks."""


class BackboneSource(ABC):
    """A kind of backbone: one entry of `SOURCES`, built in or from an installed package.

    Another package adds a source by an entry point in the group ``patchbank.backbones``: its name
    is `kind`, its object an instance of a subclass.  The names of its backbones are `kind`, or
    begin with `kind` and a colon.
    """

    kind: ClassVar[str]
    """The word for this source in detector files, and the ``kind`` of its extractors."""
    names: tuple[str, ...] = ()
    """Backbones that ``patchbank backbones`` lists."""
    takes_weights: ClassVar[bool] = False
    """Whether a file of weights can be given."""
    takes_engine: ClassVar[bool] = False
    """Whether an engine other than ONNX Runtime can be chosen."""

    @abstractmethod
    def accepts(self, name: str) -> bool:
        """Whether this source opens the backbone `name`."""

    @abstractmethod
    def describe(self, name: str, normalisation: Normalisation | None) -> BackboneInfo:
        """Layers and preprocessing of a backbone; no weights are downloaded.

        Raises:
            BackboneError: no such backbone.
        """

    @abstractmethod
    def open(self, name: str, options: OpenOptions) -> FeatureExtractor:
        """Open a backbone.

        Raises:
            BackboneError: no such backbone or layer, or its weights are not available.
        """

    @abstractmethod
    def pack(self, extractor: Any) -> Packed:
        """The extractor as tensors, and what the JSON record holds besides info and layers."""

    @abstractmethod
    def restore(
        self,
        record: Mapping[str, Any],
        tensors: Mapping[str, NDArray[Any]],
        device: Device,
        engine: EngineName | None,
    ) -> FeatureExtractor:
        """Build the extractor from its record and tensors; nothing is downloaded.

        Args:
            record: ``info`` (see `patchbank.backbones.packing`), ``layers``, ``kind``, and the
                entries that `pack` returned, after a round trip through JSON.
            tensors: those of `pack`.
            device: of networks that run in torch.
            engine: the program that runs ONNX networks; None for the one of the record.

        Raises:
            BackboneError: a program is missing that the backbone needs.
            DetectorFileError: the record or the tensors are damaged.  Any other exception is
                reported as one.
        """
