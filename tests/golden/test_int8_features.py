"""Features of the embedded networks in int8: integers on the way, so the same bits on any x86."""

import hashlib
import platform

import numpy as np
import pytest

from patchbank.backbones import open_backbone

# On ARM a step of the last block differs for some images.
pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="the bits of x86"
)
SHA256 = {
    "efficientnet_lite0_int8": "3de6932a7a31fd97f6e7cb6b0195f8c0bb7e737f42412db5d566520634f2da12",
    "efficientnet_lite2_int8": "ae8cc72484922b5af8cde723d144797110adcaf132e3b47a327cb3eff20bc0c4",
}


def drawn_image():
    """(160, 224, 3): rings, stripes and a corner of noise, in integers alone."""
    y, x = np.mgrid[:160, :224]
    rings = ((y - 80) ** 2 + (x - 112) ** 2) // 97 % 256
    stripes = (7 * x + 3 * y) % 256
    noise = (x * x * 2654435761 + y * y * 40503 + x * y * 97) // 64 % 256
    image = np.stack([rings, (rings + stripes) // 2, np.where(x + y < 120, noise, stripes)], axis=2)
    return image.astype(np.uint8)


@pytest.mark.parametrize("name", SHA256)
def test_features_have_the_bits_of_x86_processors(name):
    maps = open_backbone(name)(drawn_image())
    digest = hashlib.sha256(b"".join(one.tobytes() for one in maps)).hexdigest()
    assert digest == SHA256[name]
