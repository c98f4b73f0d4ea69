"""Memory-mapped scratch files, for arrays that do not fit into memory.

The system reads their pages on access, and drops them when it needs memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from patchbank.errors import DataError
from patchbank.types import Indices

ROWS_PER_COPY = 64  # between two releases of pages; the system may read 2 MB for each row


def allocate_in_file(shape: tuple[int, ...], dtype: DTypeLike, folder: Path) -> NDArray[Any]:
    """Allocate an array in an unnamed file in `folder`, which is deleted with the array.

    Raises:
        DataError: there is no such folder, or too little space in it.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        with tempfile.TemporaryFile(prefix="patchbank-", dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would kill the process
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise DataError(
            f"{folder}: expected space for {n_bytes / 1e9:.1f} GB of features, which memory cannot "
            f"hold, got: {error.strerror}; set TMPDIR to a folder on a larger disk, or use a "
            "smaller image_size or a larger patch_stride"
        ) from None


def empty_like_storage(
    array: NDArray[Any], shape: tuple[int, ...], dtype: DTypeLike
) -> NDArray[Any]:
    """Allocate in memory, or in a memory-mapped file if `array` is one."""
    if not isinstance(array, np.memmap):
        return np.empty(shape, dtype=dtype)
    own = Path(array.filename).parent if array.filename else None
    folder = own if own is not None and os.access(own, os.W_OK) else scratch_folder()
    return allocate_in_file(shape, dtype, folder)


def take_rows(array: Any, rows: Indices) -> NDArray[Any]:
    """Copy rows into memory, of an array or of what fetches them."""
    if not isinstance(array, np.memmap):
        found: NDArray[Any] = array[rows]
        return found
    copy = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    for begin in range(0, len(rows), ROWS_PER_COPY):
        part = slice(begin, begin + ROWS_PER_COPY)
        copy[part] = array[rows[part]]
        drop_pages(array)
    return copy


def drop_pages(array: NDArray[Any]) -> None:
    """Release the memory of a memory-mapped array's pages; other arrays are not affected."""
    in_memory = not isinstance(array, np.memmap) or array.mode == "c" or not array.size
    if in_memory or not hasattr(mmap, "MADV_DONTNEED"):
        return
    mapped: Any = vars(array)["_mmap"]
    begin = array.ctypes.data - np.frombuffer(mapped, dtype=np.uint8).ctypes.data
    page = begin // mmap.PAGESIZE * mmap.PAGESIZE
    mapped.madvise(mmap.MADV_DONTNEED, page, begin + array.nbytes - page)


def scratch_folder() -> Path:
    """The folder for large temporary files: on a disk, whereas /tmp is often in memory."""
    chosen = os.environ.get("TMPDIR")
    return Path(chosen or ("/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir()))
