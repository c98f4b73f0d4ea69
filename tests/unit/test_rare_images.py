"""Files in rare modes are read as other readers read them, or refused."""

import numpy as np
import pytest

from patchbank.errors import ImageError
from patchbank.images.source import read_image
from tests.rare_images import made


@pytest.mark.parametrize("first", range(0, 300, 60))
def test_a_file_in_a_rare_mode_is_read_as_it_was_written_or_refused(first):
    refused = []
    for seed in range(first, first + 60):
        file = made(seed)
        try:
            read = read_image(file.content)
        except ImageError as error:
            refused.append((file.kind, str(error)))
            continue
        assert read.shape == file.shown.shape, (seed, file.kind)
        difference = np.abs(read.astype(int) - file.shown)
        assert difference.max() <= file.tolerance, (seed, file.kind)
    assert len(refused) < 30
    for kind, text in refused:
        assert "convert it" in text, kind
