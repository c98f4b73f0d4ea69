#!/usr/bin/env bash
# Look through the files of a release: workflows, recipe, Dockerfile, citation, SBOM, lock; then
# install from a wheelhouse without a network (as root, as it makes a network namespace).
set -euo pipefail
cd "$(dirname "$0")/.."

bin=.venv-release/bin
"$bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$bin/check-jsonschema" --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
"$bin/check-jsonschema" --builtin-schema vendor.citation-file-format CITATION.cff
"$bin/zizmor" --offline --no-progress --quiet --min-severity medium .github
"$bin/hadolint" deploy/Dockerfile
"$bin/python" - <<'EOF'
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from rattler_build import Stage0Recipe, VariantConfig

(rendered,) = Stage0Recipe.from_file("deploy/conda/recipe.yaml").render(VariantConfig())
print("recipe:", rendered.recipe.package.name, rendered.recipe.package.version)
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path("deploy/sbom.cdx.json").read_text())
if fault:
    raise SystemExit(f"deploy/sbom.cdx.json: {fault}")
EOF
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo --preserve-env=PATH)
folder=$(mktemp -d)
trap '"${as_root[@]}" rm -rf "$folder"' EXIT
"${as_root[@]}" tools/test_offline.sh "$folder"
