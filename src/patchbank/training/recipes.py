"""Recipes: the settings of a method, and the verb that makes a detector of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from typing_extensions import Self

from patchbank.backbones import Engine
from patchbank.choices import AUTO_PRESET, ChannelAxis, ColourOrder, EngineName, Precision
from patchbank.detector.detector import Detector
from patchbank.detector.fit_facts import FitFacts
from patchbank.errors import CalibrationWarning, DataError, ParameterError, PhotographWarning
from patchbank.images.arrays import ArrayLayout
from patchbank.images.roi import ShapeInput
from patchbank.images.several import taken_over
from patchbank.images.source import ImageInput
from patchbank.methods import (
    METHODS,
    GraphCoreSettings,
    Method,
    PadimSettings,
    PatchCoreSettings,
    Settings,
    SimpleNetSettings,
    SpadeSettings,
)
from patchbank.report import check_page
from patchbank.runtime.arguments import of_kind
from patchbank.runtime.progress import Progress, listener
from patchbank.runtime.torch_device import open_device
from patchbank.settings import given_with_tiles, settings_of
from patchbank.settings.rules import Choice
from patchbank.training.choose import AutomaticSettings
from patchbank.training.exclusion import names_to_exclude
from patchbank.training.fit import PhotographChoice, fit
from patchbank.training.groups import AUTO, Groups
from patchbank.training.interest import Interest
from patchbank.training.left_out import LeftOutPhotographs
from patchbank.training.photographs import Remarks
from patchbank.training.report import write_fit_report

RecipeType = TypeVar("RecipeType", bound="Recipe")


def names_checked(recipe: type[RecipeType]) -> type[RecipeType]:
    """Make the constructor raise ParameterError, not TypeError, for a name that is no setting.

    Its signature stays that of the dataclass, for type checkers and `inspect.signature`.
    """
    make = recipe.__init__

    @wraps(make)
    def checked(self: RecipeType, *arguments: Any, **given: Any) -> None:
        recipe.check_names(given)
        make(self, *arguments, **given_with_tiles(recipe, given))
        if len(given) < len(settings_of(recipe)):  # a copy with changes names all settings
            self.check_given(given)

    recipe.__init__ = checked  # type: ignore[method-assign, assignment]
    return recipe


class Learnable:
    """Base of all recipes: of a method, of an ensemble, and of one that chooses its settings."""

    __slots__ = ()

    @property
    def _asked(self) -> Sequence[tuple[Method, Settings]] | AutomaticSettings:
        """Method and settings of each member, or the request to choose those of one."""
        raise NotImplementedError

    def fit(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        device: str = "auto",
        engine: EngineName = "onnxruntime",
        precision: Precision = "float32",
        progress: Progress | None = None,
        skip_unreadable: bool = False,
        exclude: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        groups: Groups = AUTO,
        roi: ShapeInput | None = None,
        ignore: ShapeInput | None = None,
        colour_order: ColourOrder = "rgb",
        channels: ChannelAxis | None = None,
        report: str | os.PathLike[str] | None = None,
        keep_crops: bool = True,
        cluster: str | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Detector:
        """Learn from good photographs.

        Args:
            images: a folder, a data set (its training photographs), or an iterable of folders,
                paths, arrays in RGB order, bytes of image files, file objects or Pillow images, or
                a stack of arrays, (N, H, W, C).  One image is enough to find anomalous patches, but
                does not show how good parts differ: the threshold is provisional then.
            device: where it computes: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``,
                ``cuda:1``.  On a cluster ``cuda`` gives each block of photographs a GPU,
                ``auto`` and ``cpu`` mean processors, and a GPU cannot be chosen by its number.
            engine: what runs ONNX backbones: ``onnxruntime`` or ``openvino``.
            precision: of the backbone: ``float32``; with OpenVINO ``bfloat16``; or ``int8``, for
                which the network is quantised with these photographs (extra ``export``).  The
                lower ones are faster, with other scores (`training.precision.score_change`
                measures the difference), and the detector stays with its engine.
            progress: shows the steps.
            skip_unreadable: whether images that cannot be read are left out, with a warning each.
            exclude: name of an image that is not learned, or several: of files, or ends of their
                paths.
            groups: images that belong together (one part, one lot, frames of one film), and are
                left out together when the threshold is found, so that none is compared with its
                like.  ``auto``: those of a subfolder where there are six or more, of the column
                ``group`` of a table, copies, and series of images that are alike in the order of
                their names, of the times in their files, or in which they were given, unless the
                numbers in their names are those of a random draw from a longer sequence.
                ``series``: also then.  ``none``: each alone.  ``subfolders``.  A regular
                expression: images in whose names it finds the same (its first group, if it has
                one) belong together; it is searched in their paths where it has a ``/``.  Or the
                group of each image, in a list.
            roi: what is inspected of each image, in its pixels: (x, y, width, height), corners
                [(x, y), ...], a mask as the path of a file or an array (H, W), or a text as
                ``--roi`` takes it; or a list of these, all of which are inspected.  Nothing else is
                learned or scored.  A mask of another size with the same aspect ratio is scaled.
            ignore: what is not inspected, in the same forms.
            colour_order: of arrays: ``rgb``, or ``bgr`` as OpenCV reads them.
            channels: of arrays and tensors; see `Detector.predict`.
            report: a folder, into which a page is written as ``index.html``: the oddest of these
                photographs, and where each differs from the others.
            keep_crops: whether small pictures of these photographs travel in the file, so that
                `Inspection.explain` can show crops of them without the photographs: at most 4 MB,
                and 40 % of all else in the file.
            cluster: address of a Ray cluster that computes, keeps and selects features (``auto``,
                ``HOST:PORT``, ``ray://HOST:PORT``), or ``local`` for processes of this machine;
                the detector is the same.  None for this process.
            checkpoint: with a cluster, a folder that all its machines see: features are kept there,
                and a fit that is begun again does not compute them again.

        Raises:
            ImageTypeError: `images` is neither one image nor several, or an array has other
                numbers than uint8 or uint16.
            DataError: no image, or a folder with other images than good ones, or images that are
                all the same, or a single group, or a name to exclude that no image has, or no page
                can be written into the folder of the report.
            ImageError, ShapeError: images that cannot be read; one error names all of them.
            ParameterError: settings that these images cannot meet, or no such device, engine or
                precision.
            BackboneError: no such backbone or layers, or weights that cannot be had; no OpenVINO.
            ClusterError: no cluster answers, or its processes die again and again.

        Warns:
            CalibrationWarning: too few images to resolve the false-alarm rate.
            PhotographWarning: images that are black, of one colour, doubled or left out, whose 16
                bits are not all in use, that come in series, or are clearly unlike the others.
            UserWarning: the report could not be written any more after the fit.
        """
        return _fit(
            self._asked,
            taken_over(images, ArrayLayout(colour_order, channels)),
            device,
            Engine(engine, precision),
            progress,
            PhotographChoice(
                skip_unreadable,
                names_to_exclude(exclude),
                groups,
                Interest.of(roi, ignore),
                keep_crops,
            ),
            report,
            (cluster, checkpoint),
        )


@dataclass(frozen=True, kw_only=True)
class Recipe(Learnable, Settings):
    """Shared by the recipes of all methods; each adds the settings of its method."""

    METHOD: ClassVar[str]
    """Name of the method in METHODS."""

    @property
    def _asked(self) -> Sequence[tuple[Method, Settings]]:
        return [(METHODS[self.METHOD], self)]

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The recipe of a preset, with changes; `METHODS[...].presets` lists the presets.

        PatchCore has ``fast``, ``balanced`` and ``accurate``, from small to large; ``few-shot`` for
        one to eight photographs; and ``official``, ``hcw`` and ``anomalib``, which compute what
        those implementations compute.

        >>> PatchCore.preset("fast", seed=1).backbone
        'efficientnet_lite0'
        """
        method = METHODS[cls.METHOD]
        if name == AUTO_PRESET:
            raise ParameterError(
                f"preset: expected one with settings of its own, got {name!r}, which chooses them; "
                "use PatchCore.auto"
            )
        Choice(tuple(method.presets)).check("preset", name)
        return cls.from_mapping(method.changed_preset(name, changes))


@names_checked
@dataclass(frozen=True, kw_only=True)
class PatchCore(PatchCoreSettings, Recipe):
    """Distance to a bank of patches of good parts (Roth et al., CVPR 2022).

    >>> PatchCore(image_size=320, bank_rows=4000).bank_rows
    4000
    """

    METHOD: ClassVar[str] = "patchcore"

    @classmethod
    def auto(cls, *, time_limit_s: float | None = None, **changes: Any) -> AutoRecipe:
        """The recipe whose settings are chosen from the good photographs, by trials.

        Size of the input, size of a patch and scales are chosen, unless they are among the changes.
        Below 20 photographs nothing is chosen.

        Args:
            time_limit_s: seconds for the choice; trials that are not finished by then do not
                count, and all patch sizes and scales of one image size are one trial.
            changes: settings that are given, and stay.

        >>> PatchCore.auto(false_alarm_rate=0.05).recipe.false_alarm_rate
        0.05
        """
        return AutoRecipe(cls(**changes), frozenset(changes), time_limit_s)


@names_checked
@dataclass(frozen=True, kw_only=True)
class GraphCore(GraphCoreSettings, Recipe):
    """Distance to a bank of graph features of patches of good parts (Xie et al., ICLR 2023).

    >>> GraphCore().graph_neighbours
    9
    """

    METHOD: ClassVar[str] = "graphcore"


@names_checked
@dataclass(frozen=True, kw_only=True)
class PaDiM(PadimSettings, Recipe):
    """A Gaussian of patches at each position (Defard et al., 2020).

    >>> PaDiM().resize
    'squash'
    """

    METHOD: ClassVar[str] = "padim"


@names_checked
@dataclass(frozen=True, kw_only=True)
class SPADE(SpadeSettings, Recipe):
    """The most similar good photographs, then their most similar pixels (Cohen, Hoshen, 2020).

    >>> SPADE(n_images=5).n_images
    5
    """

    METHOD: ClassVar[str] = "spade"


@names_checked
@dataclass(frozen=True, kw_only=True)
class SimpleNet(SimpleNetSettings, Recipe):
    """Discriminator between patches of good parts and patches with noise (Liu et al., CVPR 2023).

    >>> SimpleNet.preset("balanced", seed=3).seed
    3
    """

    METHOD: ClassVar[str] = "simplenet"


@dataclass(frozen=True, slots=True)
class AutoRecipe(Learnable):
    """The recipe of a detector whose settings are chosen by trials; made by `PatchCore.auto`.

    Synthetic defects are pasted on photographs that are held out, and the settings are chosen that
    separate them best.  `Detector.settings_choice` has what was tried, and why one was chosen.
    """

    recipe: Recipe
    """Settings that are given, and the defaults of all others."""
    given: frozenset[str] = frozenset()
    """Names of the settings that are given, and stay."""
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        _ = self._asked  # checks the time limit

    @property
    def _asked(self) -> AutomaticSettings:
        method = METHODS[self.recipe.METHOD]
        return AutomaticSettings(method, self.recipe, self.given, self.time_limit_s)


@dataclass(frozen=True, slots=True)
class Ensemble(Learnable):
    """The recipe of a detector of several members, each with its own method and backbone.

    Each member's scores and maps are standardised by its leave-one-out scores of the good
    images, then averaged; the threshold comes from those averages.  No test image is needed for it.

    >>> Ensemble((PatchCore(), PaDiM(backbone="efficientnet_lite0"))).recipes[1].METHOD
    'padim'
    """

    recipes: tuple[Recipe, ...]

    def __post_init__(self) -> None:
        of_kind("ensemble", self.recipes, Iterable, "a list of recipes")
        object.__setattr__(self, "recipes", tuple(self.recipes))
        if not self.recipes:
            raise ParameterError("ensemble: expected at least one recipe, got none")
        for recipe in self.recipes:
            if not isinstance(recipe, Recipe):
                raise ParameterError(
                    "ensemble: expected recipes, which are fitted together, such as PatchCore(), "
                    f"got {type(recipe).__name__}"
                )
        for name in ("false_alarm_rate", "normalise_score", "bit_depth"):
            values = {getattr(recipe, name) for recipe in self.recipes}
            if len(values) > 1:
                raise ParameterError(
                    f"{name}: expected the same for all members, got {sorted(values, key=str)}"
                )

    @property
    def _asked(self) -> Sequence[tuple[Method, Settings]]:
        return [(METHODS[recipe.METHOD], recipe) for recipe in self.recipes]


def _fit(
    asked: Sequence[tuple[Method, Settings]] | AutomaticSettings,
    images: ImageInput | Iterable[ImageInput],
    device: str,
    engine: Engine,
    progress: Progress | None,
    choice: PhotographChoice,
    report: str | os.PathLike[str] | None,
    where: tuple[str | None, str | os.PathLike[str] | None],
) -> Detector:
    """Fit for the `fit` of all recipes; warnings point at their caller (stacklevel=3)."""
    from patchbank.cluster.fitting import device_here, reader_on

    if report is not None:
        check_page(Path(report))
    remarks = Remarks(shown=None if report is None else LeftOutPhotographs())
    with reader_on(where[0], asked, device=device, engine=engine, checkpoint=where[1]) as reader:
        detector = fit(
            asked,
            images,
            listener(progress),
            open_device(device_here(device, where[0])),
            engine=engine,
            choice=choice,
            remarks=remarks,
            reader=reader,
        )
    odd = FitFacts.of(detector).warning
    lines = [*remarks.lines, *filter(None, [odd])]
    for line in [*(f"left out: {error}" for error in remarks.unread), *lines]:
        warnings.warn(line, PhotographWarning, stacklevel=3)
    if detector.calibration.remark:
        warnings.warn(detector.calibration.remark, CalibrationWarning, stacklevel=3)
    if report is not None:
        try:
            write_fit_report(detector, remarks, Path(report))
        except DataError as error:  # the fit is not lost with it
            warnings.warn(str(error), UserWarning, stacklevel=3)
    return detector


def asked_of(recipe: Learnable) -> Sequence[tuple[Method, Settings]] | AutomaticSettings:
    """Method and settings of each member that a recipe asks for, or the request to choose them."""
    return recipe._asked
