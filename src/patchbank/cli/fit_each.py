"""Run `patchbank fit --each`: a line for each product, a page of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchbank.cli import output
from patchbank.cli.statuses import Exit
from patchbank.cli.targets import check_report
from patchbank.errors import ParameterError

if TYPE_CHECKING:
    from patchbank.cli.setting_options import FitOptions
    from patchbank.methods import Method
    from patchbank.products.fitting import ProductFit
    from patchbank.settings import Settings
    from patchbank.training.choose import AutomaticSettings
    from patchbank.training.fit import PhotographChoice

Each = Annotated[
    bool,
    typer.Option(
        "--each",
        help="Learn a detector for each subfolder of GOOD, or each category of a table; --out is "
        "then a folder.  Those that were fitted with the same photographs and settings are kept.",
    ),
]


def option_of_each(each: Each = False) -> None:
    """Carry the signature from which typer, and the reference, make the option."""


def each_parameter() -> Any:
    """The option ``--each``, as a command of typer holds it."""
    app = typer.Typer(add_completion=False)
    app.command()(option_of_each)
    (found,) = typer.main.get_command(app).params
    return found


def check_each(good: Sequence[Path], out: Path, others: Mapping[str, object]) -> None:
    """Check that one folder of products was given, a folder to write to, and nothing of one fit.

    Raises:
        ParameterError: several folders, or options of one fit.
        DataError: the folder cannot be written to.
    """
    if len(good) != 1:
        raise ParameterError(
            f"GOOD: expected one folder of products, or one table, with --each, got {len(good)}"
        )
    for option, value in others.items():
        if value:
            raise ParameterError(
                f"{option}: expected without --each, whose page is in --out, got both; fit the "
                "product by itself for it"
            )
    check_report("--out", out)


def fit_each(
    root: Path,
    out: Path,
    asked: Sequence[tuple[Method, Settings]] | AutomaticSettings,
    options: FitOptions,
    choice: PhotographChoice,
) -> None:
    """Fit a detector for each product, and say what came of it."""
    from patchbank.backbones import Engine
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.products.fitting.each import Products
    from patchbank.products.fitting.terms import Terms

    terms = Terms.of(
        asked,
        choice=choice,
        device=options.device,
        engine=Engine(options.engine, options.precision),
        save_backbone=options.save_backbone,
    )
    products = Products.below(root, out)
    output.notes(products.notes)
    fits = products.fitted(terms, ConsoleProgress(), _show)
    failed = sum(fit.error is not None for fit in fits)
    kept = sum(fit.is_kept for fit in fits)
    fitted = len(fits) - failed - kept
    output.say(f"{fitted} fitted, {kept} kept, {failed} failed")
    output.note(f"report: {out / 'index.html'}")
    if failed or any(fit.unread for fit in fits):
        raise typer.Exit(Exit.INCOMPLETE)


def _show(fit: ProductFit) -> None:
    """Print the line of a product."""
    from patchbank.runtime.percent import percent

    if fit.error is not None:
        output.error(f"{fit.product}: {fit.error}")
        return
    rate = "not known" if fit.false_alarm_rate is None else percent(fit.false_alarm_rate)
    what = (
        "kept, fitted before with the same photographs and settings"
        if fit.is_kept
        else f"{fit.photographs} good photographs, threshold {fit.threshold:.4g} (false alarms "
        f"{rate}), {fit.seconds:.1f} s"
    )
    decide = f"; {fit.n_to_decide} to decide about" if fit.n_to_decide else ""
    output.say(f"{fit.product}: {what}{decide}")
    for unread in fit.unread:
        output.error(f"{fit.product}: left out: {unread}")
