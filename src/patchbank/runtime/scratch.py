"""Arrays that lie in a file, as memory is too small for them.

The system reads their pages when they are touched, and drops them again when it needs memory.
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

TAKEN_AT_ONCE = 64  # rows; the system may bring 2 MB of the file for each


def allocate_in_file(shape: tuple[int, ...], dtype: DTypeLike, folder: Path) -> NDArray[Any]:
    """Room in a file without a name in `folder`, which is gone when the array is.

    Raises:
        DataError: there is no such folder, or too little room in it.
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
            f"{folder}: expected room for {n_bytes / 1e9:.1f} GB of features, which memory cannot "
            f"hold, got: {error.strerror}; set TMPDIR to a folder on a larger disk, or use a "
            "smaller image_size or a larger patch_stride"
        ) from None


def empty_like_storage(
    array: NDArray[Any], shape: tuple[int, ...], dtype: DTypeLike
) -> NDArray[Any]:
    """Room where `array` lies: in memory, or in a file."""
    if not isinstance(array, np.memmap):
        return np.empty(shape, dtype=dtype)
    own = Path(array.filename).parent if array.filename else None
    folder = own if own is not None and os.access(own, os.W_OK) else scratch_folder()
    return allocate_in_file(shape, dtype, folder)


def take_rows(array: NDArray[Any], rows: Indices) -> NDArray[Any]:
    """A copy of some rows, in memory."""
    if not isinstance(array, np.memmap):
        return array[rows]
    copy = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    for begin in range(0, len(rows), TAKEN_AT_ONCE):
        some = slice(begin, begin + TAKEN_AT_ONCE)
        copy[some] = array[rows[some]]
        drop_pages(array)
    return copy


def drop_pages(array: NDArray[Any]) -> None:
    """Give back the memory of the pages that `array` lies on; in memory alone, nothing happens."""
    in_memory = not isinstance(array, np.memmap) or array.mode == "c" or not array.size
    if in_memory or not hasattr(mmap, "MADV_DONTNEED"):
        return
    mapped: Any = vars(array)["_mmap"]
    begin = array.ctypes.data - np.frombuffer(mapped, dtype=np.uint8).ctypes.data
    page = begin // mmap.PAGESIZE * mmap.PAGESIZE
    mapped.madvise(mmap.MADV_DONTNEED, page, begin + array.nbytes - page)


def scratch_folder() -> Path:
    """Where large files for a while belong: on a disk, not in memory as /tmp often is."""
    chosen = os.environ.get("TMPDIR")
    return Path(chosen or ("/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir()))
