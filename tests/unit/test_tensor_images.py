"""Tensors of torch as images, where the axis of the channels is given."""

import numpy as np
import pytest
import torch

from patchbank import PatchCore
from patchbank.images.arrays import ArrayLayout
from patchbank.images.source import image_source
from tests.photographs import part, parts


def read(tensor, **layout):
    return image_source(tensor, layout=ArrayLayout(**layout)).read()


def test_tensors_are_read_as_they_are_told():
    last = torch.from_numpy(part(0))
    first = last.permute(2, 0, 1)
    np.testing.assert_array_equal(read(last, channels="last"), part(0))
    np.testing.assert_array_equal(read(first, channels="first"), part(0))
    np.testing.assert_array_equal(
        read(first.flip(0), channels="first", colour_order="bgr"), part(0)
    )
    grey = first[:1]
    np.testing.assert_array_equal(read(grey, channels="first"), part(0)[..., :1].repeat(3, 2))
    deep = (last.to(torch.int32) * 257).to(torch.uint16)
    np.testing.assert_array_equal(read(deep, channels="last"), part(0))


def test_a_tensor_whose_channels_are_not_given_or_of_other_numbers_is_refused():
    tensor = torch.from_numpy(part(0))
    with pytest.raises(TypeError, match=r'\(72, 104, 3\); give channels="first" or channels="las'):
        read(tensor)
    with pytest.raises(TypeError, match=r"got float32; .*round\(\)\.to\(torch\.uint8\)"):
        read(tensor / 255, channels="last")
    with pytest.raises(TypeError, match=r"got bfloat16"):
        read(tensor.to(torch.bfloat16), channels="last")


def test_a_batch_of_tensors_is_a_stack():
    recipe = PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2)
    detector = recipe.fit(torch.from_numpy(np.stack(parts(5))), channels="last")
    batch = torch.from_numpy(np.stack(parts(3))).permute(0, 3, 1, 2)
    found = [seen.score for seen in detector.predict_each(batch, channels="first")]
    assert found == [detector.predict(image).score for image in parts(3)]
    assert detector.predict(batch[1], channels="first").score == found[1]
