"""A fitted detector: `fit` returns it, `load` opens it, and `predict` runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.choices import ChannelAxis, ColourOrder, EngineName
from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.detector import changes
from patchbank.detector.bundle import bundle_of, content_digest, to_bytes, write_bundle
from patchbank.detector.explanation.pictures import LearnedPhotographs
from patchbank.detector.inspecting import inspect_photograph
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.likeness import Likeness
from patchbank.detector.member import Member
from patchbank.detector.notebook import html_table
from patchbank.detector.packing import DetectorParts, pack, unpack
from patchbank.detector.settings_choice import SettingsChoice
from patchbank.errors import ImageError, PatchbankError
from patchbank.images.arrays import ArrayLayout
from patchbank.images.roi import RegionOfInterest
from patchbank.images.several import several_images
from patchbank.images.source import ImageInput, ImageSource, image_source, is_one_image, path_of
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.torch_device import open_device
from patchbank.settings.rules import Choice

if TYPE_CHECKING:
    from patchbank.detector.monitor import Monitor

Result = TypeVar("Result")
Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
ManyInputs: TypeAlias = str | os.PathLike[str] | Pixels | Iterable[ImageInput]
"""A folder, a stack (N, H, W, C), or a list or an iterator of images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detector:
    """Fitted members (one, unless it is an ensemble) and their calibration.

    Detectors of the same content are equal.  Copies, and those that are handed to other processes,
    are made of the bytes of the file.
    """

    members: tuple[Member, ...]
    calibration: Calibration
    """Calibration of the scores of all members together."""
    fitted_on: tuple[str, ...]
    """Names of the good images, no two alike, in the order that the models number them."""
    versions: Mapping[str, str]
    """Versions of the programs that fitted it."""
    bank_size_calibration: BankSizeCalibration | None = None
    """Calibrations of smaller banks; None where the bank cannot be truncated."""
    likeness: Likeness | None = None
    """Traits of the learned photographs; None in files that have none, such as those of format 2.
    """
    roi: RegionOfInterest | None = None
    """Region of interest: all that is learned and scored; None for whole photographs."""
    photograph_digests: NDArray[np.uint8] | None = None
    """(n, 8) `images.digest.pixel_digest` of each photograph; None in files that have none."""
    settings_choice: SettingsChoice | None = None
    """Record of how the settings were chosen; None where all were given."""
    photographs: LearnedPhotographs | None = None
    """Pictures and poses of learned photographs, for explanations; None where none were kept."""
    content_sha256: str | None = None
    """See `sha256`; None before it was computed."""

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is also an iterable of str
        self,
        images: str | os.PathLike[str] | Pixels | bytes | BinaryIO | pillow.Image | ImageSource,
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Inspection: ...

    @overload
    def predict(
        self,
        images: Iterable[ImageInput],
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Iterator[Inspection]: ...

    def predict(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Inspection | Iterator[Inspection]:
        """Inspect one photograph; `predict_each` inspects several.

        Args:
            images: a path, which is always that of one photograph; the bytes of an image file; a
                file object in binary mode; a Pillow image; or an array of uint8 or uint16: (H, W),
                (H, W, 1), (H, W, 3), or (H, W, 4) with alpha.  A list or an iterator of these is
                passed on to `predict_each`.
            keep_image: whether the inspection keeps pixels and map; see `inspect`.
            colour_order: of arrays: ``rgb``, or ``bgr`` as OpenCV reads them.
            channels: the axis of arrays and tensors that they are: ``last``, (H, W, C), or
                ``first``, (C, H, W).  None is ``last`` for arrays; tensors of torch must say it.

        Returns:
            An Inspection of one image; an iterator of them for a list or an iterator.

        Raises:
            ImageTypeError: it is no image, or an array of other numbers; also a TypeError.
            ShapeError: an array has other axes; a stack is for `predict_each`.
            ImageError: the image cannot be read; a folder is for `predict_each`.
        """
        layout = ArrayLayout(colour_order, channels)
        if not is_one_image(images):
            several = several_images(images, layout)
            return several.results(partial(self._inspect, keep_image=keep_image))
        if isinstance(images, (str, os.PathLike)) and path_of(images).is_dir():
            raise ImageError(
                f"{images}: expected one photograph, got a folder; "
                "predict_each inspects the photographs in it"
            )
        source = image_source(cast(ImageInput, images), layout=layout)
        return self._inspect(source, keep_image=keep_image)

    def predict_each(
        self,
        images: ManyInputs,
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Iterator[Inspection]:
        """Inspect photographs, and yield their inspections in order.

        A folder, a list or a stack is read ahead, and inspected on all cores.  An iterator is asked
        for a photograph after the caller asked for its inspection, so a camera is never ahead.

        Args:
            images: a folder, which stands for the photographs below it; a list or an iterator of
                images, as `predict` takes one; or a stack of arrays, (N, H, W, C).
            keep_image: whether inspections keep pixels and map; see `inspect`.
            colour_order: of arrays; see `predict`.
            channels: of arrays and tensors; see `predict`.

        Raises:
            ImageTypeError: it is none of these; raised before the first inspection.
            DataError: no such folder, or no image in it; likewise.
            ImageError, ShapeError: an image cannot be read; `inspect` goes on to the next.
        """
        several = several_images(images, ArrayLayout(colour_order, channels))
        return several.results(partial(self._inspect, keep_image=keep_image))

    def inspect(
        self,
        images: ManyInputs,
        *,
        keep_image: bool = False,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Iterator[Inspection | FailedInspection]:
        """Inspect photographs in order; one that cannot be read gives a FailedInspection.

        Args:
            images: as `predict_each` takes them, and in the same way.
            keep_image: whether each inspection keeps the pixels and the anomaly map, 7 bytes a
                pixel.  Without, that of an array keeps a copy of its pixels, 3 bytes a pixel;
                `Inspection.overlay` reads a file again, and refuses one that changed.
                `inspect_with` draws overlays at no such cost.
            colour_order: of arrays; see `predict`.
            channels: of arrays and tensors; see `predict`.

        Raises:
            ImageTypeError: `images` is neither one image nor several.
            DataError: no such folder, or no image in it.
        """
        several = several_images(images, ArrayLayout(colour_order, channels))
        return several.results(partial(self._outcome, keep_image=keep_image))

    def inspect_with(
        self,
        images: ManyInputs,
        work: Callable[[Inspection], Result],
        *,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
    ) -> Iterator[tuple[Inspection, Result] | FailedInspection]:
        """Inspect photographs in order, and do more with each while its pixels are in memory.

        So an overlay is drawn from the pixels that were inspected, on all cores, and memory does
        not grow with the number of photographs.

        Args:
            images: as `predict_each` takes them, and in the same way.
            work: called with an inspection that has pixels and map, in the thread that inspected
                it; its errors are raised.
            colour_order: of arrays; see `predict`.
            channels: of arrays and tensors; see `predict`.

        Yields:
            The inspection without its pixels, and what `work` returned; or a FailedInspection.

        Raises:
            ImageTypeError: `images` is neither one image nor several.
            DataError: no such folder, or no image in it.
        """

        def worked(source: ImageSource) -> tuple[Inspection, Result] | FailedInspection:
            outcome = self._outcome(source, keep_image=True, keep_maps=True)
            if isinstance(outcome, FailedInspection):
                return outcome
            return outcome.without_pixels(), work(outcome)

        return several_images(images, ArrayLayout(colour_order, channels)).results(worked)

    def monitor(
        self, false_alarm_rate: float = 0.01, *, state: str | os.PathLike[str] | None = None
    ) -> Monitor:
        """Begin to monitor whether good parts stay like the learned ones.

        Args:
            false_alarm_rate: promised share of runs, of any length, with a false alarm; in (0, 1).
            state: a file of `Monitor.save` to go on from, if it is there already.

        Raises:
            ParameterError: `false_alarm_rate` is outside (0, 1).
            DataError: the file is damaged, or of another detector or rate.
        """
        from patchbank.detector.monitor import open_monitor

        return open_monitor(self.calibration, self.sha256, false_alarm_rate, state)

    @property
    def bank_sizes(self) -> tuple[int, ...]:
        """Sizes of the bank that were calibrated, ascending; the last is the size in use.

        Raises:
            ParameterError: the bank cannot be truncated.
        """
        return tuple(changes.bank_sizes_of(self._parts()).bank_rows.tolist())

    def with_bank_rows(self, n_rows: int) -> Detector:
        """The detector with a smaller bank: the first rows, which are the coreset of that size.

        It is faster and less exact.  Its thresholds are those of the smaller bank at the same
        false-alarm rate; for a threshold that was set by hand, that is the rate expected of it.

        Raises:
            ParameterError: the bank cannot be truncated, or not to this size.
        """
        return self._changed(changes.with_smaller_bank(self._parts(), n_rows))

    def with_false_alarm_rate(self, rate: float) -> Detector:
        """The detector with the thresholds of another false-alarm rate, in (0, 1).

        They follow from the scores of the photographs that it learned, so nothing is fitted anew.
        Thresholds that were set by hand are replaced.

        Raises:
            ParameterError: not such a number, or the detector has learned a single photograph.
        """
        return self._changed(changes.with_thresholds(self._parts(), {"false_alarm_rate": rate}))

    def with_threshold(
        self, threshold: float | None = None, pixel_threshold: float | None = None
    ) -> Detector:
        """The detector with thresholds that are set by hand.

        Args:
            threshold: of the image score; None leaves it as it is.
            pixel_threshold: of the anomaly map; None leaves it as it is.

        Raises:
            ParameterError: not a number, or one below which no score can be.
        """
        by_hand: changes.Thresholds = {"threshold": threshold, "pixel_threshold": pixel_threshold}
        return self._changed(changes.with_thresholds(self._parts(), by_hand))

    def _changed(self, parts: DetectorParts) -> Detector:
        same = self.members == parts.members and self.calibration is parts.calibration
        return self if same else detector_of(parts, None)

    @property
    def sha256(self) -> str:
        """SHA-256 of the content in hexadecimal digits: that in the header of its file.

        Where a timm backbone was exported as the file was saved, the file is another detector.
        """
        digest = self.content_sha256
        if digest is None:
            digest = content_digest(pack(self._parts(), as_onnx=False))
            object.__setattr__(self, "content_sha256", digest)  # it follows from the other fields
        return digest

    def __eq__(self, other: object) -> bool:
        return self.sha256 == other.sha256 if isinstance(other, Detector) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        members = " + ".join(self._member_names())
        return (
            f"<Detector {members}, {len(self.fitted_on)} good images, "
            f"threshold {self.calibration.threshold:.4g}, sha256 {self.sha256[:12]}>"
        )

    def _repr_html_(self) -> str:
        rows = {
            "members": ", ".join(self._member_names()),
            "good images": len(self.fitted_on),
            "threshold": f"{self.calibration.threshold:.4g}",
            "false-alarm rate": f"{self.calibration.false_alarm_rate:g}",
            "sha256": self.sha256,
        }
        return html_table("Detector", rows)

    def _member_names(self) -> list[str]:
        return [f"{member.method} on {member.extractor.info.name}" for member in self.members]

    def __reduce__(self) -> tuple[Callable[..., Detector], tuple[Any, ...]]:
        """The bytes of the file, and how another process opens them: no object is pickled."""
        content = to_bytes(pack(self._parts(), as_onnx=False))
        device = "cpu" if self.members[0].device.name == "cpu" else "auto"
        engine = getattr(getattr(self.members[0].extractor, "engine", None), "name", None)
        return detector_from_bytes, (content, self.sha256, device, engine)

    def _parts(self) -> DetectorParts:
        return DetectorParts(**{f.name: getattr(self, f.name) for f in fields(DetectorParts)})

    def save(
        self, path: str | os.PathLike[str], *, backbone: Literal["onnx", "torch"] = "onnx"
    ) -> None:
        """Save as one self-contained file; a crash leaves the old file or the new one.

        Args:
            path: of the file.
            backbone: how timm backbones are stored: as ``onnx``, so that the file opens without
                torch (scores stay the same to 1e-3), or as the weights for ``torch``, which can
                use a GPU.  ONNX backbones are stored as they are.

        Raises:
            DetectorFileError: the file cannot be written.
            BackboneError: the backbone cannot be exported; it can still be stored for torch.
            ParameterError: `backbone` is neither of these two.
        """
        Choice(("onnx", "torch")).check("backbone", backbone)
        write_bundle(Path(path), pack(self._parts(), as_onnx=backbone == "onnx"))
        LOGGER.info("saved %s", path)

    def _outcome(self, source: ImageSource, **keep: bool) -> Inspection | FailedInspection:
        try:
            return self._inspect(source, **keep)
        except PatchbankError as error:
            failed = FailedInspection.of(source.name, error)
        except MemoryError:
            message = f"{source.name}: expected enough memory to inspect it, got too little"
            failed = FailedInspection(source.name, message, MemoryError)
        LOGGER.warning("not inspected: %s", failed.error, extra={"failed": failed})
        return failed

    def _inspect(self, source: ImageSource, **keep: bool) -> Inspection:
        return inspect_photograph(self._parts(), source, **keep)


def detector_of(parts: DetectorParts, sha256: str | None) -> Detector:
    """The detector of the parts in a file whose content has this digest."""
    same = {field.name: getattr(parts, field.name) for field in fields(parts)}
    return Detector(**same, content_sha256=sha256)


def detector_from_bytes(
    content: bytes,
    sha256: str | None = None,
    device: str = "auto",
    engine: EngineName | None = None,
) -> Detector:
    """Open the bytes of a file, such as those of `Detector.__reduce__`; errors are as of `load`.

    Args:
        content: of the file, as `bundle.to_bytes` makes it.
        sha256: that the detector had where they come from; None for that of the bytes themselves.
        device: as in `load`.
        engine: as in `load`.
    """
    bundle = bundle_of(content, "detector")
    parts = unpack(bundle, "detector", open_device(device), engine)
    return detector_of(parts, sha256 or bundle.sha256)
