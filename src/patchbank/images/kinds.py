"""Kinds of files in a folder: by the endings of their names, and by their first bytes."""

from __future__ import annotations

import stat
from pathlib import Path

from patchbank.images.formats import HEAD_BYTES, SUFFIXES, shows_a_picture


def _endings(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


RAW_AND_FILM = _endings(
    ".3fr .arw .cr2 .cr3 .crw .dng .erf .gpr .iiq .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 "
    ".rwl .sr2 .srf .srw .x3f .czi .lif .nd2 .ndpi .svs .vsi .3gp .avi .flv .m2ts .m4v .mkv .mov "
    ".mp4 .mpeg .mpg .mts .webm .wmv"
)
"""Endings of files that are not read, although some begin like a TIFF."""
PICTURES = _endings(
    ".ai .bpg .cur .dcm .dds .dicom .emf .eps .exr .fits .fts .hdr .heics .icns .ico .jxl .jxr "
    ".pam .pcx .pdf .pfm .ps .psb .psd .qoi .ras .sgi .svg .svgz .wdp .wmf .xcf"
)
"""Endings of files that show something, but are not read."""
TEXTS = _endings(
    ".bat .cfg .csv .db .doc .docx .htm .html .ini .ipynb .json .jsonl .lnk .log .md .parquet "
    ".patchbank .pkl .py .rst .sh .toml .tsv .txt .url .xls .xlsx .xml .yaml .yml .zip"
)
"""Endings of files that are nobody's photographs."""


def is_photograph(path: Path) -> bool | None:
    """Whether a file is one that is read as a photograph.

    The ending decides where it is known.  Otherwise the first bytes do, so that a photograph
    without an ending, or with a foreign one, is not skipped.

    Returns:
        True: it is read.  False: it shows something, but is of a kind that is not read.  None: it
        is nobody's photograph.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in TEXTS:
        return None
    if suffix in RAW_AND_FILM:
        return False
    found = shows_a_picture(_head(path))
    return False if found is None and suffix in PICTURES else found


def _head(path: Path) -> bytes:
    """The first bytes of a regular file; none of anything else."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
