"""The detector file: tensors and one JSON record in the safetensors format, written atomically.

No pickle is read or written.  A digest over everything that matters stands in the header, so a
file that was truncated or altered is refused instead of giving other scores.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from patchbank.detector.container import MAX_HEADER_BYTES, ContainerError, read_container
from patchbank.detector.strict_json import parse_json
from patchbank.errors import DetectorFileError
from patchbank.images.formats import HEAD_BYTES, UNKNOWN, described, format_of
from patchbank.runtime.atomic_file import FileChanged, replace_file
from patchbank.runtime.digest import file_sha256

METADATA_KEY = "patchbank"  # one key only: with several, safetensors shuffles the header's bytes
FORMAT_VERSION = 3
SINCE_VERSION = {"roi": 4, "updates": 5}
"""Keys of the record that an older program must not ignore, and the version that has them."""
LINEAGE = "lineage."
"""Beginning of the names of the tensors of a history, which has a digest of its own."""
LINEAGE_SINCE_VERSION = 5
ENGINE_SINCE_VERSION = 6
"""Version of files with a network in int8, which an older program would run in any engine."""
READABLE_VERSIONS = (2, 3, 4, 5, 6)
HEADER_BEGIN = 8
"""Where the header of a safetensors file begins, always with a brace; its length is before it."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The content of a detector file."""

    tensors: Mapping[str, NDArray[Any]]
    record: Mapping[str, Any]
    """JSON: method, settings, backbone, versions, names of the good images."""
    sha256: str | None = None
    """The digest in the header of the file that it was read from; see `content_digest`."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """JSON: texts of an author, of which nothing depends.  They have a digest of their own, so that
    detectors stay equal whose texts differ; older programs do not read them."""


def to_bytes(bundle: Bundle) -> bytes:
    """The bytes of the file with this content."""
    tensors = {name: np.ascontiguousarray(t) for name, t in bundle.tensors.items()}
    header: dict[str, Any] = {
        "format_version": max([FORMAT_VERSION, *_demanded(bundle)]),
        "sha256": content_digest(bundle),
        "record": bundle.record,
    }
    if bundle.card:
        header |= {"card": bundle.card, "card_sha256": _card_digest(bundle.card)}
    return to_safetensors(tensors, {METADATA_KEY: _canonical(header)})


def _demanded(bundle: Bundle) -> list[int]:
    """Versions that a reader of this content must know."""
    versions = [version for key, version in SINCE_VERSION.items() if key in bundle.record]
    if any(name.startswith(LINEAGE) for name in bundle.tensors):
        versions.append(LINEAGE_SINCE_VERSION)
    if any("engine" in backbone for backbone in _backbones(bundle.record)):
        versions.append(ENGINE_SINCE_VERSION)
    return versions


def _backbones(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Records of the backbones, as far as they are there: nothing is checked yet."""
    members = record.get("members")
    found = (
        [m.get("backbone") for m in members if isinstance(m, dict)]
        if isinstance(members, list)
        else []
    )
    return [backbone for backbone in found if isinstance(backbone, dict)]


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write a detector file; whatever happens, `path` is the old file or the whole new one.

    Raises:
        DetectorFileError: the file cannot be written; an old one is untouched.
    """
    _write(path, bundle, None)


def replace_if_unchanged(path: Path, expected_digest: str, bundle: Bundle) -> None:
    """Write a detector file over the one that was read, unless another one is there since.

    Of two that change the same file at once, one succeeds, and the other gets the error.

    Args:
        path: of the file.
        expected_digest: `file_digest` of the file when it was read.
        bundle: the new content.

    Raises:
        DetectorFileError: another file is there, or none; or it cannot be written.  Nothing was
            changed.
    """
    _write(path, bundle, expected_digest)


def _write(path: Path, bundle: Bundle, replaces: str | None) -> None:
    content = to_bytes(bundle)
    try:
        replace_file(path, content, replaces=replaces)
    except FileChanged:
        raise DetectorFileError(
            f"{path}: expected the file that was opened, got another one or none: it was changed "
            "at the same time; nothing was written, start over with the file as it is now"
        ) from None
    except OSError as error:
        raise DetectorFileError(
            f"{path}: expected to write {len(content):,} bytes, got: {error.strerror}; "
            "nothing was changed"
        ) from error


def read_bundle(path: Path, sha256: str | None = None) -> Bundle:
    """Read a detector file.

    Args:
        path: of the file.
        sha256: the digest of the file's bytes, where only this file is accepted; it is compared
            before anything in the file is interpreted.

    Raises:
        DetectorFileError: the file is missing, truncated, altered, of another format or newer, or
            not the one with this digest.
    """
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "nothing of that name"
            raise DetectorFileError(f"{path}: expected a detector file, got {found}")
        if sha256 is not None:
            content = path.read_bytes()
            _check_digest(path, content, sha256)
            return bundle_of(content, str(path))
        with path.open("rb") as file:
            return _parse(file, os.fstat(file.fileno()).st_size, str(path))
    except OSError as error:
        raise _unreadable(path, error) from None


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, as `sha256sum` prints it.

    Raises:
        DetectorFileError: the file cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> DetectorFileError:
    return DetectorFileError(f"{path}: expected a readable file, got: {error.strerror}")


def _check_digest(path: Path, content: bytes, sha256: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise DetectorFileError(
            f"{path}: expected the file with the sha256 {sha256.lower()}, got one with {found}; "
            "use the file that was meant, or find out who changed it"
        )


def bundle_of(content: bytes, name: str) -> Bundle:
    """Read the bytes of a detector file; undoes `to_bytes`.

    Args:
        content: of the file.
        name: for messages, as the path of a file would be.

    Raises:
        DetectorFileError: as `read_bundle`.
    """
    return _parse(BytesIO(content), len(content), name)


def content_digest(bundle: Bundle) -> str:
    """SHA-256 over the record and the tensors but those of the history, as in the file's header.

    So it is the same for all files that inspect in the same way, whatever led to them.
    """
    digest = hashlib.sha256(_canonical(bundle.record).encode())
    for name in sorted(name for name in bundle.tensors if not name.startswith(LINEAGE)):
        tensor = np.ascontiguousarray(bundle.tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.data)
    return digest.hexdigest()


def _card_digest(card: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(card).encode()).hexdigest()


def _parse(file: BufferedIOBase, size: int, name: str) -> Bundle:
    try:
        metadata, tensors = read_container(file, size)
    except ContainerError as error:
        file.seek(0)
        raise _no_detector(name, file.read(HEAD_BYTES), error) from None
    header = _header(name, metadata)
    card = header.get("card", {})
    bundle = Bundle(tensors, header["record"], header["sha256"], card)
    is_card = isinstance(card, dict) and ("card_sha256" in header) == ("card" in header)
    if not is_card or (card and header["card_sha256"] != _card_digest(card)):
        raise _damaged_header(name, "texts of its card that were altered")
    if bundle.sha256 != content_digest(bundle):
        raise DetectorFileError(
            f"{name}: expected the content that was saved, got an altered one (its sha256 "
            "differs); copy it again or fit anew"
        )
    return bundle


def _no_detector(name: str, head: bytes, reason: ContainerError) -> DetectorFileError:
    """The error about a file that is damaged, or that another program wrote, by its first bytes."""
    kind = described(head)
    is_known = bool(head) and kind != UNKNOWN
    n_header = int.from_bytes(head[:HEADER_BEGIN], "little")
    is_foreign = head[HEADER_BEGIN : HEADER_BEGIN + 1] != b"{" and (
        is_known or n_header > MAX_HEADER_BYTES
    )
    if not is_foreign:
        return DetectorFileError(
            f"{name}: expected a whole detector file, got a damaged one ({reason}); copy it again "
            "or fit anew"
        )
    cure = "give a file that patchbank fit or Detector.save wrote"
    if format_of(head) is not None:
        cure = "give the detector first (FILE), and then the photographs (PATH)"
    return DetectorFileError(f"{name}: expected a detector file, got {kind}; {cure}")


def _header(name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    if METADATA_KEY not in metadata:
        raise DetectorFileError(
            f"{name}: expected a file written by `patchbank fit`, got another kind of safetensors"
        )
    try:
        header = parse_json(metadata[METADATA_KEY])
    except ValueError as error:
        raise _damaged_header(name, error) from None
    version = header.get("format_version") if isinstance(header, dict) else None
    if type(version) is not int:
        raise _damaged_header(name, "no number of its format")
    if version not in READABLE_VERSIONS:
        cure = "fit anew" if version < FORMAT_VERSION else "install a newer patchbank"
        known = f"{READABLE_VERSIONS[0]} to {READABLE_VERSIONS[-1]}"
        raise DetectorFileError(f"{name}: expected format {known}, got {version}; {cure}")
    if not (isinstance(header.get("sha256"), str) and isinstance(header.get("record"), dict)):
        raise _damaged_header(name, "no record or no digest")
    found: dict[str, Any] = header
    return found


def _damaged_header(name: str, reason: object) -> DetectorFileError:
    return DetectorFileError(
        f"{name}: expected a whole detector file, got a damaged header ({reason}); "
        "copy it again or fit anew"
    )


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)
