"""`patchbank card`: the model card of a detector file, and the texts of its author."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from patchbank.cli import output
from patchbank.cli.changed_files import check_changed_file, open_to_change, save_changed
from patchbank.cli.detector_options import DetectorPath
from patchbank.cli.option_records import with_options
from patchbank.cli.options import Sha256
from patchbank.cli.targets import check_distinct, check_file
from patchbank.errors import DataError

NONE = "none"
"""Value of an option that removes a text; an empty argument is refused everywhere."""


def _text(option: str, text: str) -> Any:
    shown = f"{text}: kept in FILE, which is replaced; none removes it."
    return typer.Option(option, metavar="TEXT", help=shown)


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """Options of `patchbank card`."""

    file: DetectorPath
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the card to this file, such as README.md; if not given, it is printed.",
        ),
    ] = None
    title: Annotated[Optional[str], _text("--title", "Title")] = None
    description: Annotated[
        Optional[str], _text("--description", "What the detector is for, in Markdown")
    ] = None
    intended_use: Annotated[
        Optional[str],
        _text("--intended-use", "Where it is to be used, and where not, in Markdown"),
    ] = None
    license: Annotated[Optional[str], _text("--license", "License of the file")] = None
    contact: Annotated[Optional[str], _text("--contact", "Whom to ask")] = None
    sha256: Sha256 = None

    @property
    def texts(self) -> dict[str, str]:
        """The texts that were given; an empty one is to be removed."""
        given = {
            "title": self.title,
            "description": self.description,
            "intended_use": self.intended_use,
            "license": self.license,
            "contact": self.contact,
        }
        return {
            name: "" if text == NONE else text for name, text in given.items() if text is not None
        }


@with_options(CardOptions)
def card(options: CardOptions) -> None:
    """Show the model card of a detector as Markdown, for people and for the Hugging Face hub.

    Texts that are given are kept in FILE and stand in its card from then on. Verdicts, the hash of
    the content and the history do not depend on them.
    """
    if options.texts:
        check_changed_file(options.file, None)
    if options.out is not None:
        check_file("--out", options.out)
        check_distinct({"--out": options.out}, [options.file])
    from patchbank.report.model_card import model_card
    from patchbank.runtime.atomic_file import replace_file

    detector, sha256 = open_to_change(options.file, options.sha256)
    if options.texts:
        detector = detector.with_card(**options.texts)
        save_changed(detector, options.file, None, sha256)
    text = model_card(detector, options.file)
    if options.out is None:
        for line in text.splitlines():
            output.say(line)
        return
    try:
        replace_file(options.out, text.encode())
    except OSError as error:
        raise DataError(f"{options.out}: expected to write a card, got: {error.strerror}") from None
    output.note(f"{options.out}: the model card of {options.file}")
