"""Kinds of files: by the ending of their names, and by their first bytes."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from patchbank.images.formats import SUFFIXES

N_BYTES = 512  # read of a file whose ending is unknown


def _endings(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


RAW_AND_FILM = _endings(
    ".3fr .arw .cr2 .cr3 .crw .dng .erf .gpr .iiq .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 "
    ".rwl .sr2 .srf .srw .x3f .czi .lif .nd2 .ndpi .svs .vsi .3gp .avi .flv .m2ts .m4v .mkv .mov "
    ".mp4 .mpeg .mpg .mts .webm .wmv"
)
"""Endings of files that are not read, although some begin like a TIFF."""
PICTURES = _endings(
    ".ai .avif .bpg .cur .dcm .dds .dib .dicom .emf .eps .exr .fits .fts .gif .hdr .heic .heics "
    ".heif .hif .icns .ico .j2c .j2k .jfif .jif .jp2 .jpc .jpe .jpf .jpx .jxl .jxr .mpo .pam .pbm "
    ".pcx .pdf .pfm .pgm .pnm .ppm .ps .psb .psd .qoi .ras .sgi .svg .svgz .tga .wdp .wmf .xcf"
)
"""Endings of files that show something; a program that reads their kind may be there or not."""
TEXTS = _endings(
    ".bat .cfg .csv .db .doc .docx .htm .html .ini .ipynb .json .jsonl .lnk .log .md .parquet "
    ".patchbank .pkl .py .rst .sh .toml .tsv .txt .url .xls .xlsx .xml .yaml .yml .zip"
)
"""Endings of files that are nobody's photographs."""

_SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), ".png"),
    (re.compile(rb"\xff\xd8\xff"), ".jpg"),
    (re.compile(rb"(?:II[*+]\0|MM\0[*+])"), ".tif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), ".webp"),
    (re.compile(rb"GIF8[79]a"), ".gif"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), ".bmp"),
    (re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s"), ".ppm"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), ".jp2"),
    (re.compile(rb".{4}ftyp(?:avif|avis)", re.DOTALL), ".avif"),
    (re.compile(rb".{4}ftyp(?:heic|heix|hevc|hevx|heim|heis|mif1|msf1)", re.DOTALL), ".heic"),
    (re.compile(rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a"), ".jxl"),
    (re.compile(rb"8BPS\0"), ".psd"),
)


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
    kind = _kind_by_content(path)
    if kind in SUFFIXES:
        return True
    return False if kind or suffix in PICTURES else None


def _kind_by_content(path: Path) -> str | None:
    """Usual ending of the kind that the first bytes of a regular file show; None for others."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            return None
        with path.open("rb") as file:
            first = file.read(N_BYTES)
    except OSError:
        return None
    return next((kind for pattern, kind in _SIGNATURES if pattern.match(first)), None)
