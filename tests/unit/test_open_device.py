"""Names of devices, with or without torch."""

import pytest

from patchbank import ParameterError, devices
from patchbank.core.arrays import HOST


def test_without_torch_there_is_the_cpu(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert devices.open_device("auto") is HOST
    assert devices.open_device("cpu") is HOST
    with pytest.raises(ParameterError, match=r"expected torch for 'cuda'.*pip install"):
        devices.open_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ParameterError, match="device: expected auto, cpu, cuda or cuda:NUMBER"):
        devices.open_device(name)
