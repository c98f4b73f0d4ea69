"""A fitted detector: what `fit` returns, `load` reads, and `predict` runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import (
    Engine,
    EngineName,
    OnnxExtractor,
    Packed,
    export_backbone,
    is_exportable,
    pack_backbone,
    unpack_backbone,
)
from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.core.spatial.regions import Region, find_regions
from patchbank.detector.bundle import Bundle, read_bundle, write_bundle
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.latency import within_latency
from patchbank.detector.member import (
    Member,
    MemberPredictions,
    ScoreStandardization,
    combined_map,
    combined_score,
    highest_value,
)
from patchbank.detector.packing import pack_settings, unpack_settings
from patchbank.errors import BackboneError, DetectorFileError, ParameterError, PatchbankError
from patchbank.images.folders import list_images
from patchbank.images.read import ImageInput, n_pixels, read_image
from patchbank.methods import find_method
from patchbank.runtime.devices import Device
from patchbank.runtime.threads import map_in_order
from patchbank.runtime.torch_device import open_device
from patchbank.settings import part_of
from patchbank.settings.rules import Choice
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
    ladder: BankSizeCalibration | None = None
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
        return tuple(self._cuts().bank_rows.tolist())

    def _cuts(self) -> BankSizeCalibration:
        if self.ladder is None:
            raise ParameterError(
                "expected a detector whose bank can be cut: of one member, selected greedily from "
                "two photographs or more, with the exact index, fitted by this version or a newer "
                "one, got another; fit it with fewer rows"
            )
        return self.ladder

    def with_bank_rows(self, n_rows: int) -> Detector:
        """The detector of a smaller bank: the first rows, which are the coreset of that size.

        Its threshold is that of the smaller bank.  It is faster, and less exact.

        Raises:
            ParameterError: the bank cannot be cut, or not to this size.
        """
        ladder = self._cuts()
        if n_rows == ladder.bank_rows[-1]:
            return self
        calibration = ladder.at(n_rows, self.calibration)
        model: Any = self.members[0].model  # a BankModel, as there is a ladder
        return replace(
            self,
            members=(replace(self.members[0], model=model.with_rows(n_rows)),),
            calibration=calibration,
            ladder=ladder.truncated(n_rows, calibration),
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
        Choice(("onnx", "torch")).check("backbone", backbone)
        record: dict[str, Any] = {
            "members": [],
            "fitted_on": self.fitted_on,
            "false_alarm_rate": self.calibration.false_alarm_rate,
            "views_of_one": self.calibration.views_of_one,
            "versions": dict(self.versions),
        }
        tensors: dict[str, NDArray[Any]] = {
            "calibration.image_scores": self.calibration.image_scores,
            "calibration.map_peaks": self.calibration.map_peaks,
        }
        if self.ladder is not None:
            tensors |= {
                f"ladder.{f.name}": getattr(self.ladder, f.name)
                for f in fields(BankSizeCalibration)
            }
        for number, member in enumerate(self.members):
            member_record, member_tensors = pack_member(member, as_onnx=backbone == "onnx")
            record["members"].append(member_record)
            tensors |= {f"{number}.{name}": t for name, t in member_tensors.items()}
        write_bundle(Path(path), Bundle(tensors, record))

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


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    engine: EngineName | None = None,
    bank_rows: int | None = None,
    latency_budget_ms: float | None = None,
) -> Detector:
    """Open a detector file: safe (no code in it runs), whole (no network), the same scores.

    Args:
        path: of the file.
        device: where it runs: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``.
        engine: what runs ONNX backbones: ``onnxruntime`` or ``openvino``, with the same scores to
            1e-4; None takes onnxruntime, unless the detector was fitted in a precision that it
            lacks.
        bank_rows: use so many rows of the bank; see `Detector.with_bank_rows`.
        latency_budget_ms: use as many as let this machine inspect a photograph in that time; see
            `within_latency`.

    Raises:
        DetectorFileError: the file is missing, cut, altered, of another format or newer.
        BackboneError: it was saved for torch or fitted with OpenVINO, and there is none; or the
            engine lacks the precision that it was fitted in.
        ParameterError: there is no such device or engine, or the bank cannot be cut so.
    """
    if engine is not None:
        Engine(engine)  # says what is wrong with it, before the file is looked at
    if bank_rows is not None and latency_budget_ms is not None:
        raise ParameterError("bank_rows: expected without latency_budget, got both")
    detector = _load(Path(path), open_device(device), engine)
    if bank_rows is not None:
        return detector.with_bank_rows(bank_rows)
    if latency_budget_ms is not None:
        return within_latency(detector, latency_budget_ms)
    return detector


def _load(path: Path, device: Device, engine: EngineName | None) -> Detector:
    bundle = read_bundle(path)
    try:
        return _restore(bundle, device, engine)
    except BackboneError as error:
        programs = bundle.record.get("versions", {})
        names = ("openvino", "torch", "timm")
        fitted_with = ", ".join(f"{n} {programs[n]}" for n in names if n in programs)
        told = f"; fitted with {fitted_with}" if fitted_with else ""
        raise BackboneError(f"{path}: {error}{told}") from None
    except (KeyError, TypeError, PatchbankError) as error:
        raise DetectorFileError(
            f"{path}: expected a detector that this version knows, got: {error}; "
            "install a newer patchbank"
        ) from error


def versions() -> dict[str, str]:
    """Versions of this program and of what computes for it."""
    names = ("patchbank", "numpy", "onnxruntime", "openvino", "torch", "timm")
    return {name: version(name) for name in names if find_spec(name) is not None}


def pack_member(member: Member, *, as_onnx: bool) -> Packed:
    """Take a member apart into a JSON record and tensors by name."""
    extractor = member.extractor
    if as_onnx and is_exportable(extractor):
        content = export_backbone(extractor)
        extractor = OnnxExtractor(content, extractor.info.name, extractor.layers)
    backbone, weights = pack_backbone(extractor)
    record = {
        "method": member.method,
        "settings": pack_settings(member.settings.to_mapping()),
        "backbone": backbone,
        "facts": dict(member.model.summary()),
        "image_scale": asdict(member.image_scale),
        "map_scale": asdict(member.map_scale),
    }
    tensors = {f"model.{name}": tensor for name, tensor in member.model.tensors().items()}
    tensors |= {f"backbone.{name}": tensor for name, tensor in weights.items()}
    return record, tensors


def unpack_member(
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    device: Device,
    engine: EngineName | None = None,
) -> Member:
    """Build the member that `pack_member` took apart; `engine` as `load` takes it."""
    method = find_method(record["method"])
    settings = method.settings.from_mapping(unpack_settings(record["settings"]))
    parameters = part_of(settings, method.parameters)
    return Member(
        method=method.name,
        settings=settings,
        extractor=unpack_backbone(record["backbone"], _below("backbone.", tensors), device, engine),
        model=method.restore(parameters, _below("model.", tensors), device),
        device=device,
        image_scale=ScoreStandardization(**record["image_scale"]),
        map_scale=ScoreStandardization(**record["map_scale"]),
    )


def _restore(bundle: Bundle, device: Device, engine: EngineName | None) -> Detector:
    record, tensors = bundle.record, bundle.tensors
    members = tuple(
        unpack_member(member, _below(f"{number}.", tensors), device, engine)
        for number, member in enumerate(record["members"])
    )
    return Detector(
        members=members,
        calibration=Calibration(
            tensors["calibration.image_scores"],
            tensors["calibration.map_peaks"],
            record["false_alarm_rate"],
            record.get("views_of_one", False),  # not in files of 0.1.0
        ),
        fitted_on=tuple(record["fitted_on"]),
        versions=record["versions"],
        ladder=_ladder(_below("ladder.", tensors)),
    )


def _ladder(tensors: Mapping[str, NDArray[Any]]) -> BankSizeCalibration | None:
    return BankSizeCalibration(**tensors) if tensors else None


def _name(source: ImageInput) -> str:
    return "array" if isinstance(source, np.ndarray) else str(source)


def _below(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
