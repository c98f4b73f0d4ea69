"""Detectors on the Hugging Face hub (extra ``huggingface``): the file of one, and its model card.

The client is the package huggingface_hub, with its settings: ``HF_TOKEN``, ``HF_ENDPOINT``,
``HF_HUB_OFFLINE``, ``HF_HOME``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub

from patchbank.detector.bundle import file_digest
from patchbank.detector.detector import Detector
from patchbank.detector.loading import load
from patchbank.detector.saving import written_to
from patchbank.errors import DataError
from patchbank.report.model_card import model_card
from patchbank.runtime.printable import one_line

FILE, CARD = "detector.patchbank", "README.md"
LONGEST_REASON = 400


class Pushed(NamedTuple):
    """A detector on the hub; `from_hub` with both opens these very bytes."""

    revision: str
    """Hash of the commit."""
    sha256: str
    """SHA-256 of the bytes of the file."""
    url: str
    """Address of the commit."""


def push_to_hub(
    detector: Detector | str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = True,
    revision: str | None = None,
    message: str = "Upload a detector",
    token: str | None = None,
) -> Pushed:
    """Upload a detector with its model card, in one commit.

    The file holds the names of the photographs that were learned, and small pictures of them unless
    the fit kept none.

    Args:
        detector: to upload; or the path of its file, which is uploaded as it is.
        repo_id: ``OWNER/NAME``; a repository that is not there is made.
        private: whether a repository that is made is private; one that is there stays as it is.
        revision: branch, which must be there; None for the main one.
        message: of the commit.
        token: to write with; None for that of ``HF_TOKEN`` or ``hf auth login``.

    Raises:
        DetectorFileError: the file is no detector file, or cannot be read.
        DataError: the hub does not answer, or refuses.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        opened = written_to(file, detector)
        card = model_card(opened, file).encode()
        with _one_line_errors(f"{repo_id}: expected the hub to take the detector"):
            api = huggingface_hub.HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            added = [
                huggingface_hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                for name, content in ((FILE, file), (CARD, card))
            ]
            commit = api.create_commit(repo_id, added, commit_message=message, revision=revision)
        return Pushed(commit.oid, file_digest(file), commit.commit_url)


def from_hub(
    repo_id: str,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    file: str = FILE,
    token: str | None = None,
    **options: Any,
) -> Detector:
    """Open a detector of the hub; one that was fetched before needs no network.

    Args:
        repo_id: ``OWNER/NAME``.
        revision: hash of a commit, tag or branch; None for the newest of the main branch.
        sha256: accept only the file with this SHA-256, as `Pushed.sha256` or ``sha256sum`` say it.
        file: name in the repository.
        token: to read with; None for that of ``HF_TOKEN`` or ``hf auth login``.
        options: of `patchbank.load`: ``device``, ``engine``, ``bank_rows``, ...

    Raises:
        DataError: the hub does not answer or refuses, and the file was not fetched before.
        DetectorFileError: it is no detector file, or not the one with this `sha256`.
    """
    with _one_line_errors(f"{repo_id}: expected {file} of the hub"):
        path = huggingface_hub.hf_hub_download(repo_id, file, revision=revision, token=token)
    return load(path, sha256=sha256, **options)


@contextmanager
def _one_line_errors(expected: str) -> Iterator[None]:
    """Raise what the client raises, which may be anything, as one line.

    Raises:
        DataError: the line.
    """
    try:
        yield
    except Exception as error:
        reason = one_line(str(error)) or type(error).__name__
        short = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}..."
        raise DataError(f"{expected}, got: {short}") from error
