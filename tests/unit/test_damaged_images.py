"""A damaged image file is read or refused in one line, whatever the damage."""

import numpy as np
import pytest

from patchbank.errors import ImageError
from patchbank.images.masks import shows_anything
from patchbank.images.source import image_source, n_pixels
from tests.image_mutations import FORMATS, mutated, seeds_of


@pytest.mark.parametrize("format", FORMATS)
def test_files_that_are_not_damaged_are_read(format):
    for content in seeds_of(format):
        assert sorted(image_source(content).read().shape) == [3, 29, 43]


@pytest.mark.parametrize("first", range(0, 300, 30))
def test_a_damaged_file_is_read_or_refused(first, tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHBANK_MAX_PIXELS", "20000000")
    n_read, refusals = 0, []
    for seed in range(first, first + 30):
        format, content = mutated(seed)
        path = tmp_path / f"{seed}.{format.lower()}"
        path.write_bytes(content)
        n_pixels(path)
        for read in (image_source(path).read, lambda path=path: shows_anything(path)):
            try:
                found = read()
            except ImageError as error:
                refusals.append((path, str(error)))
                continue
            n_read += 1
            is_image = isinstance(found, np.ndarray)
            assert not is_image or (found.dtype == np.uint8 and found.shape[2] == 3)
    assert n_read
    assert refusals
    for path, text in refusals:
        assert text.startswith(f"{path}: expected ")
        assert "\n" not in text
