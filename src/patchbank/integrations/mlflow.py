"""A detector as a model of MLflow (extra ``mlflow``): flavour ``patchbank``, and a pyfunc.

The folder of the model has the detector file as it is; nothing is pickled, and opening the model
runs no code that it holds.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from patchbank.backbones import runtime_of
from patchbank.detector.bundle import file_digest
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import FailedInspection
from patchbank.detector.loading import load
from patchbank.detector.saving import written_to
from patchbank.errors import DataError, ImageError
from patchbank.images.source import ImageSource, image_source
from patchbank.images.urls import fetched, is_url
from patchbank.runtime.printable import one_line
from patchbank.runtime.threads import map_in_order

FLAVOUR = "patchbank"
FILE = "detector.patchbank"
COLUMN = "image"
READ_FILES = "read_files"
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, COLUMN)]),
    outputs=Schema(
        [
            ColSpec(DataType.double, "score", required=False),
            ColSpec(DataType.double, "p_value", required=False),
            ColSpec(DataType.boolean, "is_anomalous", required=False),
            ColSpec(DataType.double, "threshold", required=False),
            ColSpec(DataType.string, "error", required=False),
        ]
    ),
)


def save_model(
    detector: Detector | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    mlflow_model: Model | None = None,
    read_files: bool = True,
    pip_requirements: list[str] | str | None = None,
    **options: Any,
) -> None:
    """Save a detector as a model of MLflow in a folder.

    Args:
        detector: to save; or the path of its file, which is copied as it is.
        path: of the folder, which must not exist.
        mlflow_model: `mlflow.models.Model` that gets the flavours.
        read_files: whether the pyfunc reads paths and URLs.  A service that anybody may ask should
            not: false lets it inspect only what a request brings along.
        pip_requirements: of the environment; None for this version of Patchbank with the extras
            that the detector needs.
        options: of `mlflow.pyfunc.save_model`: ``input_example``, ``extra_pip_requirements``,
            ``conda_env``, ``code_paths``, ``metadata``, ...

    Raises:
        DetectorFileError: the file is no detector file, or cannot be written.
        MlflowException: as `mlflow.pyfunc.save_model`.
    """
    model = Model() if mlflow_model is None else mlflow_model
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        opened = written_to(file, detector)
        model.add_flavor(
            FLAVOUR,
            patchbank_version=version("patchbank"),
            data=f"data/{FILE}",
            file_sha256=file_digest(file),
            detector_sha256=opened.sha256,
        )
        if pip_requirements is None and "conda_env" not in options:
            pip_requirements = [_requirement(opened)]
        mlflow.pyfunc.save_model(
            path=os.fspath(path),
            loader_module=__name__,
            data_path=str(file),
            mlflow_model=model,
            model_config={READ_FILES: read_files},
            pip_requirements=pip_requirements,
            **{"signature": SIGNATURE, **options},
        )


def log_model(
    detector: Detector | str | os.PathLike[str],
    name: str = FLAVOUR,
    *,
    registered_model_name: str | None = None,
    **options: Any,
) -> Any:
    """Log a detector as a model of the active run of MLflow, or of a new one.

    Args:
        detector: as of `save_model`.
        name: of the model.
        registered_model_name: of the model in the registry, which gets a new version; None
            registers nothing.
        options: of `save_model`, and of `mlflow.models.Model.log`: ``params``, ``tags``, ...

    Returns:
        The `mlflow.models.model.ModelInfo`; its ``model_uri`` is for `load_model`.
    """
    return Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[__name__],
        registered_model_name=registered_model_name,
        detector=detector,
        **options,
    )


def load_model(
    model_uri: str, *, dst_path: str | os.PathLike[str] | None = None, **options: Any
) -> Detector:
    """The detector of a model of MLflow.

    Args:
        model_uri: ``models:/NAME/VERSION``, ``models:/ID``, ``runs:/ID/NAME``, or a folder.
        dst_path: folder that it is downloaded to; None for one of MLflow's choice.
        options: of `patchbank.load`: ``device``, ``engine``, ``bank_rows``, ...

    Raises:
        DataError: it is no model of this flavour.
        DetectorFileError: the detector file is not the one that was saved.
        MlflowException: there is no such model.
    """
    target = None if dst_path is None else os.fspath(dst_path)
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=target))
    flavours = Model.load(str(folder)).flavors
    if FLAVOUR not in flavours:
        raise DataError(
            f"{model_uri}: expected a model of the flavour {FLAVOUR}, got one of "
            f"{', '.join(sorted(flavours))}"
        )
    flavour = flavours[FLAVOUR]
    return load(folder / flavour["data"], **{"sha256": flavour["file_sha256"], **options})


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> PhotographModel:
    """The pyfunc of a model; MLflow calls it with the path of the detector file."""
    read_files = (model_config or {}).get(READ_FILES, True)
    if not isinstance(read_files, bool):
        raise DataError(f"{READ_FILES}: expected true or false, got {read_files!r}")
    return PhotographModel(load(path), read_files)


@dataclass(frozen=True, slots=True)
class PhotographModel:
    """The pyfunc: a row of verdicts for each row with a photograph."""

    detector: Detector
    read_files: bool

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Inspect the photographs of the column ``image``, or of the only column.

        Args:
            model_input: a photograph a row: base64 of a file, with or without ``data:...,``; a
                path that has a suffix, or a URL; or, in Python, bytes, an array, a Pillow image.

        Returns:
            A frame with the same index and the columns ``score``, ``p_value``, ``is_anomalous``,
            ``threshold`` and ``error``.  A photograph that cannot be read has an error, and None
            for all others, so it is never a normal one.

        Raises:
            DataError: there is no such column.
        """
        column = _column(model_input)
        items = list(enumerate(column.tolist()))
        outcomes = map_in_order(self._row, items, self._n_pixels)
        rows = [outcome.result() for _, outcome in outcomes]
        return pd.DataFrame(
            {
                "score": _values(rows, "score", np.float64, column.index),
                "p_value": _values(rows, "p_value", np.float64, column.index),
                "is_anomalous": _values(rows, "anomalous", np.bool_, column.index),
                "threshold": _values(rows, "threshold", np.float64, column.index),
                "error": _values(rows, "error", np.object_, column.index),
            }
        )

    def _row(self, item: tuple[int, Any]) -> dict[str, Any]:
        number, value = item
        source = self._source(number, value)
        (outcome,) = self.detector.inspect(iter([source]))
        found = outcome.to_json()
        if isinstance(outcome, FailedInspection):
            found["error"] = one_line(found["error"])
        return found

    def _n_pixels(self, item: tuple[int, Any]) -> int:
        """Pixels of a photograph; those of a URL are not known before it is fetched."""
        number, value = item
        is_remote = isinstance(value, str) and is_url(value)
        return 0 if is_remote else self._source(number, value).n_pixels

    def _source(self, number: int, value: Any) -> ImageSource:
        name = f"row {number}"
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str):
            is_missing = value is None or (isinstance(value, float) and value != value)
            return _refused(name, "nothing") if is_missing else image_source(value, name)
        content = _decoded(value)
        if content is not None:
            return ImageSource(name, content)
        if value.startswith("data:"):
            return _refused(name, "a data URL without base64")
        if not value:
            return _refused(name, "an empty text")
        if not self.read_files:
            return _refused(name, "another text; this model reads no paths and URLs (read_files)")
        return fetched(value) if is_url(value) else image_source(value)


def _refused(name: str, found: str) -> ImageSource:
    return ImageSource(
        name, ImageError(f"{name}: expected a photograph as base64, a path or a URL, got {found}")
    )


def _decoded(text: str) -> bytes | None:
    """Bytes of a text in base64; None for any other text, such as that of a path with a suffix."""
    head, comma, rest = text.partition(",") if text.startswith("data:") else ("", "", text)
    if (head and not (comma and head.endswith(";base64"))) or not rest:
        return None
    try:
        return base64.b64decode("".join(rest.splitlines()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _column(frame: Any) -> pd.Series:
    """The column with the photographs."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"input: expected a DataFrame with a column {COLUMN}, got {type(frame).__name__}"
        )
    names = list(frame.columns)
    if names.count(COLUMN) != 1 and len(names) != 1:
        raise DataError(
            f"input: expected one column {COLUMN} with the photographs, got "
            f"{', '.join(map(str, names)) or 'none'}"
        )
    return frame[COLUMN] if COLUMN in names else frame.iloc[:, 0]


def _values(rows: list[dict[str, Any]], name: str, kind: Any, index: Any) -> pd.Series:
    """A column of the result; where something is not known, it has None, which is null in JSON."""
    found = [row[name] for row in rows]
    is_whole = all(value is not None for value in found)
    return pd.Series(found, index=index, dtype=kind if is_whole else np.object_)


def _requirement(detector: Detector) -> str:
    """The requirement of pip for an environment that opens the detector."""
    programs = {runtime_of(member.extractor)[0] for member in detector.members}
    extras = ["mlflow", *sorted(programs & {"openvino", "torch"})]
    return f"patchbank[{','.join(extras)}]=={version('patchbank')}"
