# The two commands a newcomer needs; each makes the environment that it runs in.
PYTHON ?= python3

.PHONY: demo test test-torch test-openvino clean

demo: .venv-demo/ready  ## fit and test on real photographs, and write a report
	.venv-demo/bin/patchbank demo --out patchbank-demo

test: .venv/ready  ## format, lint, types, import rules, tests, doctests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest

test-torch: .venv-torch/ready  ## what needs torch and timm: other backbones, export, devices
	.venv-torch/bin/pytest tests/unit/test_timm_backbones.py tests/unit/test_export.py \
		tests/unit/test_cli_torch.py tests/unit/test_pages.py tests/laws/test_devices.py \
		tests/unit/test_vig_backbones.py tests/unit/test_vig_graphs.py tests/golden/test_vig.py \
		tests/unit/test_simplenet.py tests/unit/test_simplenet_training.py \
		tests/golden/test_simplenet.py tests/contract/test_settings_simplenet.py \
		src/patchbank/backbones src/patchbank/devices.py src/patchbank/methods/simplenet
	.venv-torch/bin/pytest tests/contract/test_methods.py -k simplenet

test-openvino: .venv-openvino/ready  ## what needs OpenVINO
	.venv-openvino/bin/pytest tests/unit/test_engines.py src/patchbank/backbones

.venv-demo/ready: pyproject.toml
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --editable '.[demo]'
	touch $@

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv-torch/ready: pyproject.toml
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python -m pip install --quiet --editable '.[torch,dev]'
	touch $@

.venv-openvino/ready: pyproject.toml
	$(PYTHON) -m venv .venv-openvino
	.venv-openvino/bin/python -m pip install --quiet --editable '.[openvino,dev]'
	touch $@

clean:
	rm -rf .venv .venv-demo .venv-torch .venv-openvino
