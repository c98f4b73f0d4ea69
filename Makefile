# The two commands a newcomer needs; each makes the environment that it runs in.
PYTHON ?= python3

.PHONY: demo test check clean

demo: .venv-demo/ready  ## fit and test on real photographs, and write a report
	.venv-demo/bin/patchbank demo --out patchbank-demo

test: .venv/ready  ## format, lint, types, import rules, tests, doctests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest

.venv-demo/ready: pyproject.toml
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --editable '.[demo]'
	touch $@

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-demo
