#!/usr/bin/env bash
# Write deploy/lock: each package of an install with its version and the SHA-256 of its files, for
# every system and Python; and deploy/sbom.cdx.json from it.  Versions stay as they are where they
# fit pyproject.toml: `tools/lock.sh --upgrade` takes the newest, `--upgrade-package NAME` one.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/.venv-release/bin
lock=("$bin/uv" pip compile --quiet --universal --generate-hashes --python-version 3.10
    --custom-compile-command 'make lock' "$@")
"${lock[@]}" pyproject.toml --output-file deploy/lock/base.txt
"${lock[@]}" pyproject.toml --extra serve --extra postgres --output-file deploy/lock/serve.txt
sed -n 's/^ *"\(hatchling==[0-9.]*\)".*/\1/p' pyproject.toml |
    "${lock[@]}" - --output-file deploy/lock/build.txt
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$bin/python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --require-hashes --requirement deploy/lock/serve.txt
"$bin/python" tools/make_sbom.py "$folder/bin/python"
