"""A fitted detector: what `fit` returns, `load` reads, and `predict` runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.core.spatial.regions import Region, find_regions
from patchbank.detector.bundle import write_bundle
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.member import (
    Member,
    MemberPredictions,
    combined_map,
    combined_score,
    highest_value,
)
from patchbank.detector.packing import DetectorParts, pack
from patchbank.errors import ParameterError, PatchbankError
from patchbank.images.folders import list_images
from patchbank.images.read import ImageInput, n_pixels, read_image
from patchbank.methods.settings import require_choice
from patchbank.runtime.threads import map_in_order
from patchbank.types import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """Fitted members (one, unless it is an ensemble) and their calibration."""

    members: tuple[Member, ...]
    calibration: Calibration
    """Of the scores of all members together."""
    fitted_on: tuple[str, ...]
    """Names of the good images, in the order that the models number them."""
    versions: Mapping[str, str]
    """Of the programs that fitted it."""
    bank_size_calibration: BankSizeCalibration | None = None
    """Of the bank, where it can be cut."""

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is also an iterable of str
        self, images: str | os.PathLike[str] | Image
    ) -> Inspection: ...

    @overload
    def predict(self, images: Iterable[ImageInput]) -> Iterator[Inspection]: ...

    def predict(
        self, images: ImageInput | Iterable[ImageInput]
    ) -> Inspection | Iterator[Inspection]:
        """Inspect photographs.

        Args:
            images: one path or (H, W, 3) uint8 RGB array; or a list or iterator of them; or a
                folder, which stands for the list of the images below it.

        Returns:
            One Inspection for one image, an iterator of them otherwise.

        Raises:
            ImageError, ShapeError: an image cannot be read. `inspect` goes on to the next.
        """
        if isinstance(images, np.ndarray):
            return self._inspect(images)
        if isinstance(images, (str, os.PathLike)):
            if not Path(images).is_dir():
                return self._inspect(images)
            images = list_images(images)
        results = map_in_order(self._inspect, images, n_pixels)
        return (inspection.result() for _, inspection in results)

    def inspect(self, images: Iterable[ImageInput]) -> Iterator[Inspection | FailedInspection]:
        """Inspect photographs in their order; one that cannot be read gives a FailedInspection."""
        for source, inspection in map_in_order(self._inspect, images, n_pixels):
            name = _name(source)
            try:
                yield inspection.result()
            except PatchbankError as error:
                yield FailedInspection(name, str(error))
            except MemoryError:
                yield FailedInspection(
                    name, f"{name}: expected enough memory to inspect it, got too little"
                )

    @property
    def bank_sizes(self) -> tuple[int, ...]:
        """Rows of the banks that were calibrated, ascending; the last is the whole one.

        Raises:
            ParameterError: the bank cannot be cut.
        """
        return tuple(self._bank_sizes().bank_rows.tolist())

    def _bank_sizes(self) -> BankSizeCalibration:
        if self.bank_size_calibration is None:
            raise ParameterError(
                "expected a detector whose bank can be cut: of one member, selected greedily from "
                "two photographs or more, with the exact index, fitted by this version or a newer "
                "one, got another; fit it with fewer rows"
            )
        return self.bank_size_calibration

    def with_bank_rows(self, n_rows: int) -> Detector:
        """The detector of a smaller bank: the first rows, which are the coreset of that size.

        Its threshold is that of the smaller bank.  It is faster, and less exact.

        Raises:
            ParameterError: the bank cannot be cut, or not to this size.
        """
        sizes = self._bank_sizes()
        if n_rows == sizes.bank_rows[-1]:
            return self
        calibration = sizes.at(n_rows, self.calibration)
        model: Any = self.members[0].model  # a BankModel, as there is a ladder
        return replace(
            self,
            members=(replace(self.members[0], model=model.with_rows(n_rows)),),
            calibration=calibration,
            bank_size_calibration=sizes.up_to(n_rows, calibration),
        )

    def save(
        self, path: str | os.PathLike[str], *, backbone: Literal["onnx", "torch"] = "onnx"
    ) -> None:
        """Save as one self-contained file; a crash leaves the old file or the new one.

        Args:
            path: of the file.
            backbone: how timm backbones are held: as ``onnx``, so that the file opens without
                torch (scores stay the same to 1e-3), or as the weights for ``torch``, which can
                use a GPU.  ONNX backbones are held as they are.

        Raises:
            DetectorFileError: the file cannot be written.
            BackboneError: the backbone cannot be exported; it can be held for torch still.
            ParameterError: another word than these two.
        """
        require_choice("backbone", backbone, ("onnx", "torch"))
        parts = DetectorParts(
            members=self.members,
            calibration=self.calibration,
            bank_size_calibration=self.bank_size_calibration,
            fitted_on=self.fitted_on,
            versions=self.versions,
        )
        write_bundle(Path(path), pack(parts, as_onnx=backbone == "onnx"))

    def _inspect(self, source: ImageInput) -> Inspection:
        image = read_image(source)
        findings = tuple(member.find(image) for member in self.members)
        score = combined_score(findings)
        normalise = self.members[0].settings.normalise_score
        return Inspection(
            image=_name(source),
            size=(image.shape[1], image.shape[0]),
            score=score,
            p_value=self.calibration.p_value(score),
            threshold=self.calibration.threshold,
            pixel_threshold=self.calibration.pixel_threshold,
            regions=self._regions(findings),
            normalised_score=self.calibration.normalised(score) if normalise else None,
            findings=findings,
            source=source,
        )

    def _regions(self, findings: MemberPredictions) -> tuple[Region, ...]:
        threshold = self.calibration.pixel_threshold
        if highest_value(findings) <= threshold:
            return ()
        return find_regions(combined_map(findings), threshold)


def versions() -> dict[str, str]:
    """Versions of this program and of what computes for it."""
    names = ("patchbank", "numpy", "onnxruntime", "openvino", "torch", "timm")
    return {name: version(name) for name in names if find_spec(name) is not None}


def _name(source: ImageInput) -> str:
    return "array" if isinstance(source, np.ndarray) else str(source)
