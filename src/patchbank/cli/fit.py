"""`patchbank fit`: every setting of every method is an option, made from its declaration."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeAlias

import typer
from typer.core import TyperCommand

from patchbank.choices import AUTO_PRESET
from patchbank.cli import output
from patchbank.cli.statuses import Exit
from patchbank.cli.targets import check_distinct, check_file, check_outside, check_report
from patchbank.errors import BackboneError, DetectorFileError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from patchbank.choices import SavedBackbone
    from patchbank.cli.setting_options import FitOptions
    from patchbank.detector.detector import Detector
    from patchbank.methods import Method
    from patchbank.settings import Settings
    from patchbank.training.choose import AutomaticSettings
    from patchbank.training.fit import PhotographChoice
    from patchbank.training.photographs import Remarks

SMALLEST_DETECTOR_BYTES = 3_000_000  # a small backbone with a small bank
GIVEN = "patchbank.given"
"""Key under which the context holds the values of the options that are made from declarations."""
EACH = "patchbank.each"
"""Key under which it holds whether each subfolder is a product."""


Report: TypeAlias = Annotated[
    Optional[Path],
    typer.Option(
        "--report",
        metavar="DIR",
        help="Write a page with the oddest good photographs and where they differ.",
    ),
]
Exclude: TypeAlias = Annotated[
    Optional[list[str]],
    typer.Option(
        "--exclude",
        metavar="NAME",
        help="Do not learn this photograph: the name of its file, or its path.  Several times for "
        "several.",
    ),
]

Roi: TypeAlias = Annotated[
    Optional[list[str]],
    typer.Option(
        "--roi",
        metavar="MASK|X,Y,W,H|POINTS",
        help="Inspect only this part of each photograph: the file of a mask (what is not black), a "
        "rectangle in pixels, or corners 'x,y x,y x,y'.  Several times for several.",
    ),
]
Ignore: TypeAlias = Annotated[
    Optional[list[str]],
    typer.Option(
        "--ignore",
        metavar="MASK|X,Y,W,H|POINTS",
        help="Do not inspect this part of each photograph, in the same forms.",
    ),
]
Cluster: TypeAlias = Annotated[
    Optional[str],
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Compute, keep and select features on a Ray cluster: auto, HOST:PORT, "
        "ray://HOST:PORT, or local for processes of this machine.  The detector is the same.",
    ),
]
Checkpoint: TypeAlias = Annotated[
    Optional[Path],
    typer.Option(
        "--checkpoint",
        metavar="DIR",
        help="With --cluster: keep features in this folder, which all its machines see, so that a "
        "fit that is begun again does not compute them again.",
    ),
]
KeepCrops: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--keep-crops/--no-keep-crops",
        help="Keep small pictures of the photographs in the file, which explanations show: at most "
        "4 MB, and 40 % of all else in it.",
    ),
]


class FitCommand(TyperCommand):
    """A command whose options are made when they are needed, not for the list of all commands."""

    _is_complete = False

    def get_params(self, ctx: Any) -> list[Any]:
        """Parameters of the command, those of the settings among them."""
        if not self._is_complete:
            from patchbank.cli.fit_each import each_parameter
            from patchbank.cli.setting_options import option_parameters

            self.params = [*self.params, each_parameter(), *option_parameters()]
            self._is_complete = True
        return super().get_params(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, but name the new names of options that were renamed."""
        from patchbank.cli.setting_options import refuse_former_names

        refuse_former_names(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Call `fit`, which finds the values of the made options in the context."""
        from patchbank.cli.setting_options import setting_options

        ctx.meta[GIVEN] = {name: ctx.params.pop(name) for name in setting_options()}
        ctx.meta[EACH] = ctx.params.pop("each")
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options of every day, then the others by subject and method."""
        from patchbank.cli.setting_options import EVERY_DAY, panels

        parameters = {parameter.name: parameter for parameter in self.get_params(ctx)}
        sections = {"Arguments": ["good"], **panels()}
        own = ("out", "each", "report", "exclude", "roi", "ignore", "keep_crops")
        on_cluster = ("cluster", "checkpoint")
        sections[EVERY_DAY] = [*own, *sections[EVERY_DAY], *on_cluster, "help"]
        for heading, names in sections.items():
            records = [parameters[name].get_help_record(ctx) for name in names]
            with formatter.section(heading):
                formatter.write_dl([record for record in records if record is not None])


def fit(
    context: typer.Context,
    good: Annotated[
        list[Path],
        typer.Argument(
            metavar="GOOD...", help="Folders of good photographs, photographs, or a data set."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="File to which the detector is written.")
    ],
    report: Report = None,
    exclude: Exclude = None,
    roi: Roi = None,
    ignore: Ignore = None,
    keep_crops: KeepCrops = True,
    cluster: Cluster = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Learn a detector from good photographs."""
    is_each = context.meta[EACH]
    if is_each:
        from patchbank.cli.fit_each import check_each

        others = {"--report": report, "--exclude": exclude, "--cluster": cluster}
        check_each(good, out, others)
    else:
        _check_targets(out, report, good)
    from patchbank.cli.setting_options import fit_options

    options = fit_options(context.meta[GIVEN])
    members = _members(options, context.meta[GIVEN])
    choice = _choice(options, exclude or (), (roi, ignore), keep_crops)
    if is_each:
        from patchbank.cli.fit_each import fit_each

        fit_each(good[0], out, members, options, choice)
    else:
        _fit_one(good, (out, report), members, options, choice, (cluster, checkpoint))


def _fit_one(
    good: list[Path],
    targets: tuple[Path, Path | None],
    members: Sequence[tuple[Method, Settings]] | AutomaticSettings,
    options: FitOptions,
    choice: PhotographChoice,
    where: tuple[str | None, Path | None],
) -> None:
    """Fit one detector, there, and write it and its page to the `targets`."""
    from patchbank.backbones import Engine
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.cluster.fitting import device_here, reader_on
    from patchbank.datasets import training_images
    from patchbank.methods import METHODS
    from patchbank.runtime.torch_device import open_device
    from patchbank.training.fit import fit as fit_detector
    from patchbank.training.left_out import LeftOutPhotographs
    from patchbank.training.photographs import Remarks
    from patchbank.training.precision import score_change

    out, report = targets
    cluster, checkpoint = where
    found = training_images(good[0] if len(good) == 1 else good)
    fit_in = partial(
        fit_detector,
        images=found,
        progress=ConsoleProgress(),
        choice=choice,
    )
    remarks = Remarks(shown=None if report is None else LeftOutPhotographs())
    engine = Engine(options.engine, options.precision)
    with reader_on(
        cluster, members, device=options.device, engine=engine, checkpoint=checkpoint
    ) as reader:
        device = open_device(device_here(options.device, cluster))
        detector = fit_in(members, device=device, engine=engine, remarks=remarks, reader=reader)
    for line in found.lines:  # not earlier: an error is one line
        output.note(f"note: {line}")
    save(detector, out, options.save_backbone)
    output.fitted(detector, out)
    output.fit_remarks(remarks)
    if report is not None:
        _report(detector, remarks, report)
    if options.precision != "float32":
        same = [(METHODS[member.method], member.settings) for member in detector.members]
        engine = Engine(options.engine)
        precise = fit_in(same, device=device, engine=engine, remarks=Remarks())
        output.note(f"{options.precision}: {score_change(detector, precise)}")
    if remarks.unread:
        raise typer.Exit(Exit.INCOMPLETE)


def _choice(
    options: FitOptions,
    exclude: Sequence[str],
    shapes: tuple[list[str] | None, list[str] | None],
    keep_crops: bool,
) -> PhotographChoice:
    """Which photographs are learned, and which part of them."""
    from patchbank.training.fit import PhotographChoice
    from patchbank.training.interest import Interest

    interest = Interest.of(*shapes)
    return PhotographChoice(options.skip_unreadable, exclude, options.groups, interest, keep_crops)


def _members(
    options: FitOptions, given: Mapping[str, Any]
) -> Sequence[tuple[Method, Settings]] | AutomaticSettings:
    """Method and settings of each member, or the request to choose them.

    Raises:
        ParameterError: settings that cannot be, or that cannot be chosen.
    """
    from patchbank.cli.setting_options import changed_settings, members_of
    from patchbank.methods import METHODS
    from patchbank.training.choose import AutomaticSettings
    from patchbank.training.recipes import PatchCore

    method = METHODS[options.method]
    if options.preset != AUTO_PRESET:
        if options.time_limit_s is not None:
            raise ParameterError(
                f"time_limit_s: expected together with --preset {AUTO_PRESET}, which chooses "
                "settings, got it without; leave it out"
            )
        return [(method, one) for one in members_of(options, given)]
    if method.name != PatchCore.METHOD:
        raise ParameterError(
            f"preset: expected a preset of {method.name}, got {AUTO_PRESET!r}, which is of "
            f"{PatchCore.METHOD}; give --method {PatchCore.METHOD}, or another preset"
        )
    members = members_of(options, given)
    if len(members) > 1:
        raise ParameterError(
            f"preset: expected one backbone with {AUTO_PRESET!r}, got {len(members)}; give one, or "
            "no preset"
        )
    fixed = frozenset(changed_settings(given, options.augment))
    return AutomaticSettings(method, members[0], fixed, options.time_limit_s)


def _check_targets(out: Path, report: Path | None, good: list[Path]) -> None:
    """Check that the detector and the page have a place to go."""
    check_file("--out", out, n_bytes=SMALLEST_DETECTOR_BYTES)
    if report is not None:
        check_report("--report", report)
        check_outside("--report", report, [path for path in good if path.is_dir()])
    check_distinct({"--out": out, "--report": report}, good)


def _report(detector: Detector, remarks: Remarks, folder: Path) -> None:
    from patchbank.training.report import write_fit_report

    output.note(f"report: {write_fit_report(detector, remarks, folder)}")


def save(detector: Detector, out: Path, backbone: SavedBackbone) -> None:
    """Save, and lose no fit to a disk that is full by now, or a backbone that cannot be exported.

    Raises:
        DetectorFileError: the file cannot be written; it says where the detector is instead.
    """
    try:
        _save(detector, out, backbone)
    except DetectorFileError as error:
        elsewhere = Path(tempfile.mkdtemp(prefix="patchbank-")) / out.name
        _save(detector, elsewhere, backbone)
        raise DetectorFileError(f"{error}; the detector is saved as {elsewhere} instead") from None


def _save(detector: Detector, out: Path, backbone: SavedBackbone) -> None:
    try:
        detector.save(out, backbone=backbone)
    except BackboneError as error:
        detector.save(out, backbone="torch")
        output.note(f"note: {error}; saved with its backbone for torch instead")
