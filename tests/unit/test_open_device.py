"""Names of devices, with or without torch."""

import pytest

from patchbank import ParameterError
from patchbank.runtime import torch_device
from patchbank.runtime.devices import HOST


def test_without_torch_there_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch_device, "find_spec", lambda name: None)
    assert torch_device.open_device("auto") is HOST
    assert torch_device.open_device("cpu") is HOST
    with pytest.raises(ParameterError, match=r"expected torch for 'cuda'.*pip install"):
        torch_device.open_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ParameterError, match="device: expected auto, cpu, cuda or cuda:NUMBER"):
        torch_device.open_device(name)
