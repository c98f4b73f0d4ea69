"""Fit a detector on good photographs: extract, fit each member, calibrate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from patchbank.backbones import ONNX_RUNTIME, Engine, FeatureExtractor, open_backbone
from patchbank.core.scores.left_out import group_shares
from patchbank.datasets import TrainingImages, training_images
from patchbank.detector.changes import check_reachable
from patchbank.detector.detector import Detector
from patchbank.detector.likeness import Likeness
from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.tiling import check_tiles, photograph_scores
from patchbank.errors import DataError, ParameterError
from patchbank.images.augment import views_of_one
from patchbank.images.roi import RegionOfInterest
from patchbank.images.small_pictures import PictureScale
from patchbank.images.source import ImageInput, ImageSource, image_source
from patchbank.methods import Method, PatchScores
from patchbank.runtime.devices import Device
from patchbank.runtime.forks import computing
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.machine import versions
from patchbank.runtime.progress import Progress
from patchbank.settings import Settings
from patchbank.training.calibrate import Calibrations, FittedMember, calibrate, standardised
from patchbank.training.choose import (
    AutomaticSettings,
    ChosenSettings,
    choose_settings,
    with_missed,
)
from patchbank.training.exclusion import excluded
from patchbank.training.groups import AUTO, Groups, GroupSearch, Labels, labels_of
from patchbank.training.interest import EVERYTHING, Interest
from patchbank.training.names import names_of
from patchbank.training.photographs import Remarks, readable, with_bit_depth
from patchbank.training.pictures import kept_photographs, picture_scale
from patchbank.training.position import with_position
from patchbank.training.quantising import quantised_for
from patchbank.training.reading import Reader, Reading, read_here

Wrap: TypeAlias = Callable[[FeatureExtractor], FeatureExtractor]
Opened: TypeAlias = Callable[[Settings], FeatureExtractor]


@dataclass(frozen=True, slots=True)
class PhotographChoice:
    """Which of the photographs are learned, which part of them, and which are left out together."""

    skip_unreadable: bool = False
    """Whether photographs that cannot be read are left out, with a line each."""
    exclude: Sequence[str] = ()
    """Names of photographs that are not learned; see `training.exclusion.excluded`."""
    groups: Groups = AUTO
    """Photographs that are left out together; see `training.groups.labels_of`."""
    interest: Interest = EVERYTHING
    """Part of each photograph that is learned and scored."""
    keep_crops: bool = False
    """Whether small pictures of the photographs travel in the file, for explanations."""

    def pictures(
        self, settings: Settings, sources: Sequence[ImageSource], roi: RegionOfInterest | None
    ) -> PictureScale | None:
        """Size of the small pictures; None for none."""
        return picture_scale(settings, sources, roi) if self.keep_crops else None


ALL_PHOTOGRAPHS = PhotographChoice()


@computing.long()
def fit(
    parts: Sequence[tuple[Method, Settings]] | AutomaticSettings,
    images: ImageInput | Iterable[ImageInput] | TrainingImages,
    progress: Progress,
    device: Device,
    *,
    engine: Engine = ONNX_RUNTIME,
    wrap: Wrap = lambda extractor: extractor,
    choice: PhotographChoice = ALL_PHOTOGRAPHS,
    remarks: Remarks | None = None,
    reader: Reader = read_here,
) -> Detector:
    """Fit a detector with one member for each of `parts`.

    With a single photograph nothing can be left out: other views of it stand in for other good
    photographs, and the calibration says so.

    Args:
        parts: method and settings of each member, or a request to choose those of one.
        images: as `Recipe.fit` takes them, or what `training_images` found.
        progress: shows the steps.
        device: where it computes.
        engine: what runs ONNX backbones.
        wrap: applied to each opened backbone before it is used, to put a cache around it, say.
        choice: which of the photographs are learned, and which are left out together.
        remarks: receives lines about the photographs; if not given, `progress` shows them.
        reader: reads the photographs into the learner of each member, here or elsewhere.
    """
    said = Remarks() if remarks is None else remarks
    asked = parts if isinstance(parts, AutomaticSettings) else ChosenSettings(list(parts))
    _check(choice.interest, asked)
    sources, labels = _chosen(images, choice, said)
    sources, bit_depth = with_bit_depth(sources, _bit_depth(asked.parts), said, progress)
    search = _searched(sources, labels, choice, said, progress)
    sources = list(search.sources)
    roi, lines = choice.interest.region(sources)
    said.lines += lines
    search.contents.pictures = choice.pictures(asked.parts[0][1], sources, roi)
    opened: Opened = partial(open_backbone_of, device=device, engine=_first(engine))
    chosen = asked.with_bit_depth(bit_depth)
    if isinstance(chosen, AutomaticSettings):
        chosen = choose_settings(chosen, search, _wrapped(opened, wrap), progress, device, roi)
    parts = with_position(chosen.parts, sources, said, progress, has_region=bool(choice.interest))
    LOGGER.info("fitting %s on %d photographs", _shown(parts), len(sources))
    opened = _in_precision(engine, opened, search, roi, said, progress)
    fitted = _fit_members(parts, _wrapped(opened, wrap), search, roi, progress, device, reader)
    grouping, contents = search.grouping(), search.contents
    said.lines += [*contents.remarks(are_grouped=search.labels.finds_copies), *grouping.lines]
    if remarks is None:
        said.show(progress)
    if len(fitted) > 1:
        fitted = [standardised(member, progress) for member in fitted]
    rate, is_one = parts[0][1].false_alarm_rate, len(sources) == 1
    calibrations = calibrate(fitted, rate, progress, views_of_one=is_one, groups=grouping.numbers)
    whole = calibrations.whole
    contents.check_threshold(whole)
    check_reachable(whole)
    if said.shown is not None:
        said.shown.fill(sources, [each.left_out for each in fitted], whole)
        said.shown.groups += grouping.shown
    LOGGER.info("fitted %s: threshold %.4g", _shown(parts), whole.threshold)
    return Detector(
        members=tuple(each.member for each in fitted),
        calibration=whole,
        bank_size_calibration=calibrations.by_size,
        fitted_on=tuple(names_of(sources)),
        likeness=_likeness(search, calibrations, fitted),
        roi=roi,
        photograph_digests=contents.digests,
        versions=versions(),
        settings_choice=with_missed(chosen.record, fitted[0].member, sources, whole, progress, roi),
        photographs=kept_photographs(contents.small_pictures, fitted, len(sources)),
    )


def _likeness(
    search: GroupSearch, calibrations: Calibrations, fitted: Sequence[FittedMember]
) -> Likeness:
    """Traits of the photographs; what an ensemble leaves uncovered is not known."""
    traits = search.contents.traits
    return Likeness.of(
        traits,
        calibrations.patch_distances,
        group_shares(calibrations.whole.groups, len(search.sources)),
        fitted[0].uncovered if len(fitted) == 1 else None,
    )


def _chosen(
    images: ImageInput | Iterable[ImageInput] | TrainingImages,
    choice: PhotographChoice,
    remarks: Remarks,
) -> tuple[list[ImageSource], Labels]:
    """The photographs to learn from, and what is known of their groups."""
    found = images if isinstance(images, TrainingImages) else training_images(images)
    if found is not images:  # otherwise the caller shows its notes
        found.log()
    sources = [image_source(image) for image in found.images]
    if not sources:
        raise DataError("expected at least one good image, got none")
    is_out, lines = excluded(choice.exclude, sources, names_of(sources))
    remarks.lines += lines
    is_kept = [not out for out in is_out]
    kept = [source for source, stays in zip(sources, is_kept, strict=True) if stays]
    if not isinstance(choice.groups, str):  # there is a label for each photograph, excluded or not
        return kept, labels_of(choice.groups, sources).only(is_kept).check()
    column: Sequence[str | None] | None = found.groups
    if column is not None:
        column = [label for label, stays in zip(column, is_kept, strict=True) if stays]
    return kept, labels_of(choice.groups, kept, column)


def _searched(
    sources: Sequence[ImageSource],
    labels: Labels,
    choice: PhotographChoice,
    remarks: Remarks,
    progress: Progress,
) -> GroupSearch:
    """The photographs that can be read, where others are left out, and the search for groups."""
    if not choice.skip_unreadable:
        return GroupSearch(sources, labels)
    kept = readable(sources, remarks, progress)
    numbers = {id(source) for source in kept}  # membership in a list would take n^2 steps
    return GroupSearch(kept, labels.only([id(source) in numbers for source in sources]).check())


def _check(interest: Interest, asked: AutomaticSettings | ChosenSettings) -> None:
    """Check what can be checked before a photograph is read."""
    check_tiles(asked.parts)
    interest.check(asked.parts)


def _shown(parts: Sequence[tuple[Method, Settings]]) -> str:
    """Methods and backbones, for the log."""
    return " + ".join(f"{method.name} on {settings.backbone}" for method, settings in parts)


def _bit_depth(parts: Sequence[tuple[Method, Settings]]) -> int | None:
    depths = {settings.bit_depth for _, settings in parts}
    if len(depths) > 1:
        raise ParameterError(
            f"bit_depth: expected the same for all members, got {' and '.join(map(str, depths))}"
        )
    return depths.pop()


def _first(engine: Engine) -> Engine:
    """The engine of the network that is quantised, or of the one that is used as it is."""
    return Engine(engine.name) if engine.precision == "int8" else engine


def open_backbone_of(settings: Settings, device: Device, engine: Engine) -> FeatureExtractor:
    """The backbone that settings ask for."""
    open_with = partial(
        open_backbone,
        settings.backbone,
        normalisation=settings.normalisation,
        weights=settings.weights,
        device=device,
        engine=engine,
    )
    extractor = open_with(settings.layers)
    if settings.tiles and settings.layers is None:
        extractor = open_with(extractor.layers[:1])  # the smallest patches
    return extractor


def _wrapped(opened: Opened, wrap: Wrap) -> Opened:
    return lambda settings: wrap(opened(settings))


def _in_precision(
    engine: Engine,
    opened: Opened,
    search: GroupSearch,
    roi: RegionOfInterest | None,
    remarks: Remarks,
    progress: Progress,
) -> Opened:
    """Backbones in the precision of the engine; for int8 they are quantised, with a remark."""
    if engine.precision != "int8":
        return opened

    def quantised(settings: Settings) -> FeatureExtractor:
        found = quantised_for(opened(settings), settings, search.sources, roi, progress)
        remarks.decisions.append(f"{settings.backbone}: {found}")
        return found.extractor

    return quantised


def _fit_members(
    parts: Sequence[tuple[Method, Settings]],
    backbone: Opened,
    search: GroupSearch,
    roi: RegionOfInterest | None,
    progress: Progress,
    device: Device,
    reader: Reader,
) -> list[FittedMember]:
    """Fit the members one after the other, each with a backbone that is opened for it."""
    return [
        _fit_member(
            Reading.of(method, settings, search, roi),
            backbone(settings),
            progress,
            device,
            search=search,
            reader=reader,
            calibrate_sizes=len(parts) == 1,
        )
        for method, settings in parts
    ]


def _fit_member(
    reading: Reading,
    extractor: FeatureExtractor,
    progress: Progress,
    device: Device,
    *,
    search: GroupSearch,
    reader: Reader,
    calibrate_sizes: bool,
) -> FittedMember:
    """Fit one member, and predict images that it has not learned."""
    sources, settings = search.sources, reading.settings
    with device.full_precision():
        learner = reading.learner(len(sources), progress, device)
        geometries = reader(reading, extractor, learner, search, progress)
        if reading.with_contents:
            search.contents.check()
        learned = learner.fit(search.grouping().numbers)
        # Each size that is read costs a search of its own.
        by_size = dict(learned.calibration_by_size) if calibrate_sizes else {}
    member = Member(
        method=reading.method_name,
        settings=settings,
        extractor=extractor,
        model=learned.model,
        device=device,
    )
    if len(sources) == 1:
        return FittedMember(member, _predict_other_views(member, sources[0], reading.roi), {})

    def predictions(left_out: Sequence[PatchScores]) -> list[MemberPrediction]:
        pairs = list(zip(left_out, geometries, strict=True))
        if settings.tiles:
            pairs = [(photograph_scores(extractor, settings, *pair), pair[1]) for pair in pairs]
        return [MemberPrediction(*pair) for pair in pairs]

    return FittedMember(
        member,
        predictions(learned.left_out),
        {n_rows: predictions(left_out) for n_rows, left_out in by_size.items()},
        learned.uncovered,
    )


def _predict_other_views(
    member: Member, source: ImageSource, roi: RegionOfInterest | None
) -> list[MemberPrediction]:
    """Predict views of a photograph that are unlike those that were learned."""
    image, settings = source.read(), member.settings
    views = views_of_one(settings.copies, settings.position == "canonical")
    if roi is None:
        return [member.predict(image, augmentation=view) for view in views]
    part = roi.on((image.shape[0], image.shape[1]))
    cut = part.box.of(image)
    parts = [(view, part.copied(view)) for view in views]
    return [member.predict(view.of(cut), own) for view, own in parts if own.mask.any()]
