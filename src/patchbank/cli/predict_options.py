"""Options of `patchbank predict`, and what cannot be asked for together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer

from patchbank.cli.detector_options import DetectorOptions
from patchbank.cli.options import JsonPath
from patchbank.cli.targets import (
    check_distinct,
    check_file,
    check_folder,
    check_json,
    check_outside,
    check_report,
)
from patchbank.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class PredictOptions(DetectorOptions):
    """Options of `patchbank predict`."""

    paths: Annotated[
        Optional[list[Path]],
        typer.Argument(
            metavar="PATH...", help="Photographs or folders; - reads paths from standard input."
        ),
    ] = None
    paths_from: Annotated[
        Optional[Path],
        typer.Option("--paths-from", metavar="FILE", help="Inspect the paths in FILE, one a line."),
    ] = None
    null: Annotated[
        bool,
        typer.Option("--null", "-0", help="Paths of a list end with NUL, as `find -print0` does."),
    ] = False
    out: Annotated[
        Optional[Path], typer.Option("--out", metavar="DIR", help="Write overlay pictures.")
    ] = None
    to_json: JsonPath = None
    csv: Annotated[
        Optional[Path],
        typer.Option("--csv", metavar="FILE", help="Write a table for spreadsheet programs."),
    ] = None
    sort_into: Annotated[
        Optional[Path],
        typer.Option("--sort-into", metavar="DIR", help="Copy photographs into DIR/OK and DIR/NG."),
    ] = None
    explain: Annotated[
        Optional[Path],
        typer.Option(
            "--explain",
            metavar="DIR",
            help="Write a page, and a picture of each flagged photograph: its odd spots next to "
            "the nearest learned patches.",
        ),
    ] = None
    photographs: Annotated[
        Optional[Path],
        typer.Option(
            "--photographs",
            metavar="DIR",
            help="Folder of the learned photographs, of which --explain then shows crops of full "
            "size.",
        ),
    ] = None
    label_studio: Annotated[
        Optional[Path],
        typer.Option(
            "--label-studio",
            metavar="FILE",
            help="Write tasks for Label Studio, and the labelling configuration next to them.",
        ),
    ] = None
    url_prefix: Annotated[
        Optional[str],
        typer.Option(
            "--url-prefix",
            metavar="URL",
            help="What stands in these tasks before the path of each photograph below this folder, "
            "such as /data/local-files/?d=.",
        ),
    ] = None
    fiftyone: Annotated[
        Optional[Path],
        typer.Option(
            "--fiftyone",
            metavar="DIR",
            help="Write a dataset for FiftyOne, with heat maps and masks, in a new folder.",
        ),
    ] = None
    parquet: Annotated[
        Optional[Path],
        typer.Option(
            "--parquet",
            metavar="DIR",
            help="Write all results as Parquet files, a row a photograph; goes on with a run that "
            "was stopped. PATH may then be a Parquet table.",
        ),
    ] = None
    column: Annotated[
        Optional[str],
        typer.Option(
            "--column", metavar="NAME", help="Column of the table with paths or URLs [path]."
        ),
    ] = None
    cluster: Annotated[
        Optional[str],
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Inspect on a Ray cluster: its HOST:PORT, auto for that of this machine, or local "
            "for new processes.",
        ),
    ] = None
    only_anomalous: Annotated[
        bool,
        typer.Option(
            "--only-anomalous",
            help="Leave good photographs out of lines, files and pictures; they are counted.",
        ),
    ] = False
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with status 3 if one is found.")
    ] = False
    auto: Annotated[
        bool,
        typer.Option(
            "--auto",
            help="FILE is a folder of detectors: inspect each photograph by that of the product "
            "it shows.",
        ),
    ] = False

    @property
    def names_detector(self) -> bool:
        """Whether one of the results names the detector."""
        return any((self.to_json, self.csv, self.label_studio, self.fiftyone))

    def check_targets(self, given: Sequence[Path]) -> None:
        """Check that all results have a place to go."""
        check_json(self.to_json)
        if self.csv is not None:
            check_file("--csv", self.csv)
        if self.out is not None:
            check_folder("--out", self.out)
        if self.sort_into is not None:
            check_folder("--sort-into", self.sort_into)
            check_outside("--sort-into", self.sort_into, given)
        if self.photographs is not None and self.explain is None:
            raise ParameterError("photographs: expected together with --explain, got it alone")
        if self.explain is not None:
            check_report("--explain", self.explain)
            check_outside("--explain", self.explain, given)
        if self.parquet is not None:
            check_folder("--parquet", self.parquet)
            check_outside("--parquet", self.parquet, given)
        self._check_labelling(given)
        self._check_parquet(given)
        files = {"--json": self.to_json, "--csv": self.csv, **self._labelling_files()}
        check_distinct(files, [self.file, *given, *filter(None, [self.paths_from])])
        if self.auto:
            self.check_auto()

    def _labelling_files(self) -> dict[str, Path]:
        """Files of tasks, by what they are called in messages."""
        if self.label_studio is None:
            return {}
        from patchbank.integrations.label_studio import config_path

        return {
            "--label-studio": self.label_studio,
            "--label-studio (configuration)": config_path(self.label_studio),
        }

    def _check_labelling(self, given: Sequence[Path]) -> None:
        """Check that files for labelling tools have a place to go."""
        if self.url_prefix is not None and self.label_studio is None:
            raise ParameterError("url-prefix: expected together with --label-studio, got it alone")
        for option, path in self._labelling_files().items():
            check_file(option, path)
        if self.fiftyone is not None:
            check_folder("--fiftyone", self.fiftyone)
            check_outside("--fiftyone", self.fiftyone, given)

    def _check_parquet(self, given: Sequence[Path]) -> None:
        """Check that options of Parquet files come with ``--parquet``, and no others do.

        Raises:
            ParameterError: they do not.
        """
        if self.parquet is None:
            from patchbank.bulk.predict_files import is_table

            table = next((str(path) for path in given if is_table(path)), None)
            alone = {"--cluster": self.cluster, "--column": self.column, f"{table}": table}
            for option, needs_it in alone.items():
                if needs_it is not None:
                    raise ParameterError(
                        f"{option}: expected --parquet DIR together with it, got it alone"
                    )
            return
        others: dict[str, object] = {
            "--out": self.out,
            "--json": self.to_json,
            "--csv": self.csv,
            "--sort-into": self.sort_into,
            "--explain": self.explain,
            "--label-studio": self.label_studio,
            "--fiftyone": self.fiftyone,
            "--only-anomalous": self.only_anomalous,
            "--auto": self.auto,
        }
        for option, value in others.items():
            if value:
                raise ParameterError(
                    f"{option}: expected without --parquet, which has all results, got both; leave "
                    "one of them out"
                )

    def check_auto(self) -> None:
        """Check that nothing of a single detector is given together with a folder of them.

        Raises:
            ParameterError: it is.
        """
        of_one = {
            "--explain": self.explain,
            "--bank-rows": self.bank_rows,
            "--latency-budget": self.latency_budget,
            "--false-alarm-rate": self.false_alarm_rate,
            "--threshold": self.threshold,
            "--pixel-threshold": self.pixel_threshold,
            "--sha256": self.sha256,
        }
        for option, value in of_one.items():
            if value is not None:
                raise ParameterError(
                    f"{option}: expected without --auto, as it is of one detector, got both; leave "
                    "one of them out"
                )
