"""Photographs at URLs of any file system that fsspec knows, such as s3:// or https://."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote

from patchbank.errors import ImageError, ParameterError
from patchbank.images.source import ImageSource
from patchbank.runtime.printable import one_line

LARGEST_BYTES = 1_000_000_000
"""Bytes of the largest file that is fetched."""


def is_url(name: str) -> bool:
    r"""Whether a name is a URL and not a path.

    >>> is_url("s3://lines/a.png"), is_url("C:\\lines\\a.png"), is_url("lines/a.png")
    (True, False, False)
    """
    scheme, found, _ = name.partition("://")
    return bool(found) and scheme.replace("+", "").isalnum()


def file_systems() -> Any:
    """The package fsspec.

    Raises:
        ParameterError: it is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise ParameterError(
            "photographs: expected the package fsspec, which is not installed; "
            "pip install 'patchbank[parquet]'"
        ) from None
    return fsspec


def fetched(url: str) -> ImageSource:
    """The photograph at a URL, whose bytes are fetched at once.

    Whatever is wrong is raised by reading it, as an `ImageError` that names the URL.
    """
    try:
        with file_systems().open(_decoded(url), "rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except ParameterError:
        raise
    except Exception as error:  # each file system raises errors of its own
        cause = error.__cause__ or error  # of https, the error itself says the URL only
        reason = one_line(str(cause)) or type(cause).__name__
        return ImageSource(url, ImageError(f"{url}: expected a photograph, got: {reason}"))
    if len(content) > LARGEST_BYTES:
        return ImageSource(
            url, ImageError(f"{url}: expected at most {LARGEST_BYTES:,} bytes, got more")
        )
    return ImageSource(url, content)


def _decoded(url: str) -> str:
    """A URL as fsspec takes it: that of a file has its name in it, and no ``%20`` for a space.

    A file whose name itself has a ``%`` goes by that.
    """
    scheme, _, path = url.partition("://")
    return url if scheme != "file" or os.path.exists(path) else unquote(url)
