"""A fitted detector: `fit` returns it, `load` opens it, and `predict` runs it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from patchbank.choices import EngineName
from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import Calibration
from patchbank.detector import changes
from patchbank.detector.bundle import (
    bundle_of,
    content_digest,
    replace_if_unchanged,
    to_bytes,
    write_bundle,
)
from patchbank.detector.card import NO_CARD, Card
from patchbank.detector.described import Described
from patchbank.detector.explanation.pictures import LearnedPhotographs
from patchbank.detector.inspection import Inspection, Normal
from patchbank.detector.likeness import Likeness
from patchbank.detector.lineage.chain import Lineage
from patchbank.detector.lineage.entry import Edit
from patchbank.detector.lineage.recording import recorded, undone
from patchbank.detector.member import Member
from patchbank.detector.packing import DetectorParts, pack, unpack
from patchbank.detector.remembered import RememberedDefect
from patchbank.detector.remembering import with_remembered
from patchbank.detector.settings_choice import SettingsChoice
from patchbank.detector.updates import Updates
from patchbank.errors import PhotographWarning
from patchbank.images.roi import RegionOfInterest
from patchbank.images.source import ImageInput
from patchbank.runtime.arguments import path_argument
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.progress import Progress
from patchbank.runtime.torch_device import open_device
from patchbank.settings.rules import Choice

if TYPE_CHECKING:
    from patchbank.detector.monitor import Monitor
    from patchbank.export import Exported


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Detector(Described):
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
    updates: Updates | None = None
    """Facts of its updates; None where there was none."""
    remembered: tuple[RememberedDefect, ...] = ()
    """Defects that later updates have to find."""
    card: Card = NO_CARD
    """Texts of its author, for its model card."""
    lineage: Lineage | None = None
    """History of its changes; None where none was recorded."""
    content_sha256: str | None = None
    """See `sha256`; None before it was computed."""

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
        return self._changed("cut", changes.with_smaller_bank(self._parts(), n_rows))

    def with_false_alarm_rate(self, rate: float) -> Detector:
        """The detector with the thresholds of another false-alarm rate, in (0, 1).

        They follow from the scores of the photographs that it learned, so nothing is fitted anew.
        Thresholds that were set by hand are replaced.

        Raises:
            ParameterError: not such a number, or the detector has learned a single photograph.
        """
        changed = changes.with_thresholds(self._parts(), {"false_alarm_rate": rate})
        return self._changed("threshold", changed)

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
        return self._changed("threshold", changes.with_thresholds(self._parts(), by_hand))

    def with_card(self, **texts: str) -> Detector:
        """The detector with texts of its author; what it is and does stays the same.

        Args:
            texts: by the names of `Card`: ``title``, ``description``, ``intended_use``,
                ``license``, ``contact``; an empty one is removed, others stay.

        Raises:
            ParameterError: no such name, or a text that `Card` refuses.
        """
        return detector_of(replace(self._parts(), card=self.card.changed(texts)), self.sha256)

    def _changed(self, kind: str, parts: DetectorParts) -> Detector:
        """The detector of changed parts; one with a history gets an entry."""
        if self.members == parts.members and self.calibration is parts.calibration:
            return self
        if self.lineage is not None:
            parts = recorded(self._parts(), parts, Edit(kind))
        return detector_of(parts, None)

    def recorded(self, before: Detector, edit: Edit) -> Detector:
        """This detector with the history of the one that it was made from, and one more entry.

        A history begins with the first change that is recorded.  Where both detectors are equal,
        nothing is added.

        Args:
            before: the detector that was changed, with its history if it has one.
            edit: what is written down; a history that this detector had is replaced.

        Raises:
            ParameterError: the detectors have different backbones, which no change can give.
        """
        return detector_of(recorded(before._parts(), self._parts(), edit), self.content_sha256)

    def undone(self, to: int | None = None, *, reason: str = "", by: str = "") -> Detector:
        """The detector of an earlier state, to the last bit, with an entry about the undo.

        What was undone cannot be had again.

        Args:
            to: number of the entry in the history whose state is restored; None for the state
                before the last change.
            reason: of the undo.
            by: name of the person.

        Raises:
            ParameterError: there is no such state in the history any more, or a text is too long.
            DetectorFileError: the history was altered.
        """
        return detector_of(undone(self._parts(), to, Edit("undo", reason, by)), None)

    def updated(
        self,
        good: ImageInput | Iterable[ImageInput] | None = None,
        *,
        normal: Inspection | Iterable[Normal] = (),
        reason: str = "",
        by: str = "",
        limit_rows: int | None = None,
        force: bool = False,
        must_find: ImageInput | Iterable[ImageInput] | None = None,
        progress: Progress | None = None,
    ) -> Detector:
        """The detector that has learned further good photographs, without those of its fit.

        Scores keep their unit.  Left-out scores of the new photographs join those of the old ones,
        and thresholds follow.  What is exact, and what is not, is in docs/methods/update.md.

        Args:
            good: photographs as `Recipe.fit` takes them; all that came, flagged or not.  Those that
                are learned already are left out.
            normal: photographs that were flagged, and are good: an `Inspection`, or a pair of it
                and those of its regions that are normal.  No more of them is learned than makes
                them ordinary, and they have no part in the threshold.
            reason: of the update, for the history.
            by: name of the person, for the history.
            limit_rows: rows that a memory bank has at most, without those of photographs said to be
                normal; None for one and a half times those of the fit.
            force: whether photographs of something else than was learned are learned, and, with a
                reason, those that hide a defect.
            must_find: photographs confirmed as defects, a folder or several: each that is found
                before is found after.
            progress: shows the steps.

        Raises:
            DataError: nothing is given, or all is known already; or photographs of something else.
            ImageError, ShapeError: no photograph can be read, or one that is normal cannot.
            ParameterError: the method has to be fitted anew, or a value is out of range.
            GuardError: a defect that was found before would be lost, or cannot be inspected.

        Warns:
            PhotographWarning: photographs that cannot be read, are known already, or are odd.
        """
        # The one import that goes up: a verb of detectors that needs all that a fit needs.
        from patchbank.training.update.guard import defects_of
        from patchbank.training.update.request import UpdateRequest, normal_parts
        from patchbank.training.update.updating import updated_with_warnings

        defects = defects_of(must_find)
        request = UpdateRequest(normal_parts(normal), limit_rows, force, reason, by, defects)
        return detector_of(updated_with_warnings(parts_of(self), good, request, progress), None)

    def remembering(
        self, defects: ImageInput | Iterable[ImageInput], *, reason: str = "", by: str = ""
    ) -> Detector:
        """The detector that remembers defects, which every later `updated` has to find.

        Their photographs need not stay: the patches that their scores are made of are kept.

        Args:
            defects: photographs confirmed as defects: a folder, one, or several.
            reason: for the history.
            by: name of the person, for the history.

        Raises:
            DataError: no photograph is found and not remembered yet, or one cannot be read.
            ParameterError: the score of a method needs the whole photograph, or 1,000 defects are
                remembered already.

        Warns:
            PhotographWarning: photographs that are not found, or remembered already.
        """
        edit = Edit("remember", reason, by)
        parts, lines = with_remembered(self._parts(), defects, edit)
        for line in lines:
            warnings.warn(line, PhotographWarning, stacklevel=2)
        return detector_of(parts, None)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        format: Literal["onnx", "openvino"] = "onnx",
        entry: Literal["photograph", "pixels"] = "photograph",
        precision: Literal["float32", "float16", "int8"] | None = None,
        photographs: ImageInput | Iterable[ImageInput] = (),
    ) -> Exported:
        """Write the detector as one graph, from photographs to verdicts, and verify it.

        It runs wherever ONNX Runtime or OpenVINO does, without Patchbank.  Arguments and errors are
        those of `patchbank.export.export_detector`.
        """
        from patchbank.export import export_detector  # goes up, as `updated` does

        return export_detector(
            self, path, format=format, entry=entry, precision=precision, photographs=photographs
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of the content without its history in hexadecimal digits: as in its file.

        Where a timm backbone was exported as the file was saved, the file is another detector.
        """
        digest = self.content_sha256
        if digest is None:
            parts = replace(self._parts(), lineage=None)
            digest = content_digest(pack(parts, as_onnx=False))
            object.__setattr__(self, "content_sha256", digest)  # it follows from the other fields
        return digest

    def __eq__(self, other: object) -> bool:
        return self.sha256 == other.sha256 if isinstance(other, Detector) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> tuple[Callable[..., Detector], tuple[Any, ...]]:
        """The bytes of the file, and how another process opens them: no object is pickled."""
        content = to_bytes(pack(self._parts(), as_onnx=False))
        device = "cpu" if self.members[0].device.name == "cpu" else "auto"
        engine = getattr(getattr(self.members[0].extractor, "engine", None), "name", None)
        return detector_from_bytes, (content, self.sha256, device, engine)

    def _parts(self) -> DetectorParts:
        return parts_of(self)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        backbone: Literal["onnx", "torch"] = "onnx",
        replaces: str | None = None,
    ) -> None:
        """Save as one self-contained file; a crash leaves the old file or the new one.

        Args:
            path: of the file.
            backbone: how timm backbones are stored: as ``onnx``, so that the file opens without
                torch (scores stay the same to 1e-3), or as the weights for ``torch``, which can
                use a GPU.  ONNX backbones are stored as they are.
            replaces: SHA-256 of the bytes of the only file that may be replaced, as
                ``sha256sum FILE`` prints it.  So of two programs that change one file at once, one
                succeeds, and the other gets an error.

        Raises:
            DetectorFileError: the file cannot be written, or is not the one to replace.
            BackboneError: the backbone cannot be exported; it can still be stored for torch.
            ParameterError: `backbone` is neither of these two.
        """
        file = path_argument("path", path)
        Choice(("onnx", "torch")).check("backbone", backbone)
        content = pack(self._parts(), as_onnx=backbone == "onnx")
        if replaces is None:
            write_bundle(file, content)
        else:
            replace_if_unchanged(file, replaces.lower(), content)
        LOGGER.info("saved %s", path)


def parts_of(detector: Detector) -> DetectorParts:
    """The parts of a detector that a file holds."""
    return DetectorParts(**{f.name: getattr(detector, f.name) for f in fields(DetectorParts)})


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
