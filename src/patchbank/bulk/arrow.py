"""The package pyarrow, which few have."""

from __future__ import annotations

from typing import Any

from patchbank.errors import ParameterError


def pyarrow() -> Any:
    """The package, with what reads and writes Parquet.

    Raises:
        ParameterError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
        import pyarrow.types
    except ImportError:
        raise ParameterError(
            "parquet: expected the package pyarrow, which is not installed; "
            "pip install 'patchbank[parquet]'"
        ) from None
    return pyarrow


def reading_errors() -> tuple[type[Exception], ...]:
    """Errors of a file that is damaged, or holds something else."""
    return OSError, ValueError, LookupError, pyarrow().ArrowException
