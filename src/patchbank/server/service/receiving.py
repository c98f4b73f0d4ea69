"""Photographs of a request: its parts, its body, or files below the folder that is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from patchbank.errors import ParameterError
from patchbank.images.formats import SUFFIXES
from patchbank.runtime.printable import printable
from patchbank.server.records.base import check_text
from patchbank.server.records.entries import Fields
from patchbank.server.service.errors import ApiError, error_of
from patchbank.server.service.request_facts import media_type_of

MULTIPART, JSON = "multipart/form-data", "application/json"
PART = "image"
"""Name of the parts that are photographs."""
PATHS = "paths"
SEND = "send it as a form (curl -F image=@FILE), or its bytes with the type of an image"
MOST_AT_ONCE = 1000
LONGEST_NAME = 255
MOST_SHOWN = 3
"""Names of a request that a message repeats."""
FIELDS = tuple(field.name for field in fields(Fields))
NAMES = ("product", *FIELDS)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph as it came, or the reason why it did not."""

    name: str
    content: bytes | ApiError


@dataclass(frozen=True, slots=True)
class Received:
    """Photographs of one request, and what is said of them."""

    photographs: tuple[Photograph, ...]
    texts: Mapping[str, str]
    """Product and fields, as far as they are in the body."""
    is_batch: bool
    """Whether the answer is a list."""


class _InMemory(MultiPartParser):
    """Parts stay in memory, whose limit is that of the body; nothing goes to a temporary file."""

    spool_max_size = 1 << 40


async def received(request: Request, root: Path | None, max_bytes: int) -> Received:
    """Read the photographs of a request.

    Args:
        request: with the photographs.
        root: folder below which paths are allowed; None for nowhere.
        max_bytes: largest file that is read by its path.

    Raises:
        ApiError: the body is not of the kind that its type says, or has other parts.
    """
    kind = media_type_of(request)
    if kind == MULTIPART:
        return await _parts(request)
    if kind == JSON:
        return await _paths(request, root, max_bytes)
    return Received((Photograph("", await request.body()),), {}, is_batch=False)


async def form_of(request: Request, most_files: int) -> list[tuple[str, UploadFile | str]]:
    """The parts of a form, in their order.

    Raises:
        ApiError: it is no form, or has too many parts.
    """
    kind = media_type_of(request)
    if kind != MULTIPART:
        got = f"the type {shown(kind)}" if kind else "no type"
        raise ApiError(
            400,
            f"body: expected a form of type {MULTIPART}, got {got}; curl -F {PART}=@FILE sends one",
        )
    parser = _InMemory(
        request.headers, request.stream(), max_files=most_files, max_fields=len(NAMES) + 1
    )
    parser.max_part_size = _InMemory.spool_max_size  # a photograph without a file name is a text
    try:
        return (await parser.parse()).multi_items()
    except MultiPartException as error:
        raise ApiError(
            400, f"body: expected a form of type {MULTIPART}, got: {error.message}"
        ) from None
    except (ApiError, ClientDisconnect):
        raise
    except Exception as error:  # the parser has errors of several packages
        raise ApiError(400, f"body: expected a form of type {MULTIPART}, got: {error}") from None


async def _parts(request: Request) -> Received:
    photographs, texts = list[Photograph](), dict[str, str]()
    for name, part in await form_of(request, MOST_AT_ONCE):
        if name == PART:
            file = file_in(name, part)
            photographs.append(Photograph(named(file.filename or ""), await file.read()))
        elif name in texts:
            raise ApiError(422, f"{name}: expected once, got it twice")
        elif name in NAMES:
            texts[name] = _text_in(name, part)
        elif isinstance(part, UploadFile):
            raise ApiError(422, f"part: expected photographs as {PART!r}, got {shown(name)}")
        else:
            expected = ", ".join((PART, *NAMES))
            raise ApiError(422, f"part: expected one of {expected}, got {shown(name)}")
    if not photographs:
        raise ApiError(422, f"body: expected a photograph as the part {PART!r}, got none")
    return Received(tuple(photographs), texts, is_batch=len(photographs) > 1)


def file_in(name: str, part: UploadFile | str) -> UploadFile:
    """The file that a part of a form is.

    Raises:
        ApiError: it is a text, such as its name without the mark by which curl sends the file.
    """
    if isinstance(part, UploadFile):
        return part
    raise ApiError(
        422,
        f"{name}: expected a file, got a text without a file name; curl needs {name}=@FILE",
    )


def _text_in(name: str, part: UploadFile | str) -> str:
    if isinstance(part, str):
        return part
    raise ApiError(422, f"{name}: expected a text, got a file; curl needs {name}=TEXT")


async def _paths(request: Request, root: Path | None, max_bytes: int) -> Received:
    send = SEND if root is None else f"{SEND}, or its path in {PATHS!r}"
    try:
        content = await json_of(request)
    except ApiError as error:
        raise ApiError(error.status_code, f"{error.detail}; {send}") from None
    if PATHS not in content:
        got = ", ".join(map(shown, [*content][:MOST_SHOWN])) or "nothing in it"
        raise ApiError(422, f"body: expected a photograph, got JSON with {got}; {send}")
    if root is None:
        raise ApiError(
            403,
            "paths: expected the bytes of photographs, got paths, which are refused; start the "
            "service with --allow-root DIR, or send bytes as multipart/form-data",
            code="paths_refused",
        )
    paths = content.pop(PATHS)
    is_list = isinstance(paths, list) and all(isinstance(path, str) for path in paths)
    if not is_list or not 1 <= len(paths) <= MOST_AT_ONCE:
        raise ApiError(422, f"{PATHS}: expected a list of 1 to {MOST_AT_ONCE:,} texts, got other")
    for name, text in content.items():
        if name not in NAMES:
            expected = ", ".join((PATHS, *NAMES))
            raise ApiError(422, f"body: expected one of {expected}, got {shown(name)}")
        if not isinstance(text, str):
            raise ApiError(422, f"{name}: expected a text, got {type(text).__name__}")
    found = await run_in_threadpool(lambda: tuple(_at(path, root, max_bytes) for path in paths))
    if len(found) == 1 and isinstance(found[0].content, ApiError):
        raise found[0].content
    return Received(found, content, is_batch=len(found) > 1)


async def json_of(request: Request) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        ApiError: it is none.
    """
    try:
        content = json.loads(await request.body())
    except UnicodeDecodeError:
        raise ApiError(400, "body: expected JSON, got bytes that are no text") from None
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"body: expected JSON, got: {error}") from None
    if not isinstance(content, dict):
        raise ApiError(422, f"body: expected a JSON object, got {type(content).__name__}")
    return content


def _at(path: str, root: Path, max_bytes: int) -> Photograph:
    """The photograph at a path, which must be below the root, wherever links lead."""
    try:
        return Photograph(path, _bytes_at(path, root, max_bytes))
    except ApiError as error:
        return Photograph(path, error)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Photograph(path, ApiError(404, f"{shown(path)}: expected a file, got: {reason}"))


def _bytes_at(path: str, root: Path, max_bytes: int) -> bytes:
    real = (root / path).resolve()
    if not real.is_relative_to(root.resolve()):
        raise ApiError(
            403,
            f"{shown(path)}: expected a path below the folder of --allow-root, got another",
            code="paths_refused",
        )
    if real.suffix.lower() not in SUFFIXES:
        raise ApiError(
            422, f"{shown(path)}: expected the suffix of an image file, got {shown(real.suffix)}"
        )
    if not real.is_file():
        raise ApiError(404, f"{shown(path)}: expected a file, got nothing of that name")
    if real.stat().st_size > max_bytes:
        raise ApiError(413, f"{shown(path)}: expected at most {max_bytes:,} bytes, got more")
    return real.read_bytes()


def fields_of(texts: Mapping[str, str | None]) -> Fields:
    """Fields of a part.

    Raises:
        ApiError: a text is too long, or none that can be kept.
    """
    try:
        for name in FIELDS:
            check_text(name, texts.get(name))
    except ParameterError as error:
        raise error_of(error) from None
    return Fields(**{name: texts.get(name) or None for name in FIELDS})


def named(name: str) -> str:
    """The name that a sender gave a photograph.

    Raises:
        ApiError: it is too long, or no text.
    """
    try:
        check_text("name", name, LONGEST_NAME)
    except ParameterError as error:
        raise error_of(error) from None
    return name


def keyed(key: str | None) -> str | None:
    """The idempotency key of a request.

    Raises:
        ApiError: it is no printable ASCII text.
    """
    if key is not None and not (key and key.isascii() and key.isprintable()):
        raise ApiError(422, f"Idempotency-Key: expected printable ASCII, got {shown(key)}")
    return key


def shown(text: str) -> str:
    """A text of a request in a message."""
    return repr(printable(text[:100]))
