"""Digest of the pixels of a photograph, by which the same one is known again."""

from __future__ import annotations

import hashlib

import numpy as np

from patchbank.types import Image

DIGEST_BYTES = 8


def pixel_digest(image: Image) -> bytes:
    """BLAKE2b of the size and the pixels of an image, (H, W, 3); 8 bytes.

    Two photographs have the same one by chance in one of 10^19 pairs.

    >>> pixel_digest(np.zeros((2, 3, 3), np.uint8)).hex()
    'd5aa024651286df8'
    """
    pixels = np.ascontiguousarray(image)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    digest.update(np.array(pixels.shape, dtype="<i8").tobytes())
    digest.update(pixels.data)
    return digest.digest()
