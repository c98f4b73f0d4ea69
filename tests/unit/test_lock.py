"""Lock, SBOM, recipe and images hold what pyproject.toml asks for, on every system and Python."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project import PROJECT, ROOT

LOCK = ROOT / "deploy" / "lock"
EXTRAS = {"base.txt": (), "serve.txt": ("serve", "postgres")}
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SYSTEMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
NETWORKS = ROOT / "src" / "patchbank" / "backbones" / "assets"


def locked(path: Path) -> list[tuple[Requirement, list[str]]]:
    """-> requirements of a lock, and the hashes of each."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        requirement, *hashes = line.split("--hash=")
        found.append((Requirement(requirement.strip()), [one.strip() for one in hashes]))
    return found


def asked(extras) -> list[Requirement]:
    """Requirements of pyproject.toml."""
    texts = list(PROJECT["dependencies"])
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def environment(python, system):
    """Markers of an installation."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": system,
        "platform_system": SYSTEMS[system],
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def holds(requirement: Requirement, where) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(where)


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_one_version_of_each_requirement_and_within_its_bounds(name, python, system):
    where = environment(python, system)
    here = [one for one, _ in locked(LOCK / name) if holds(one, where)]
    versions = {canonicalize_name(one.name): one for one in here}
    assert len(versions) == len(here)  # two versions of one package cannot be installed
    for requirement in asked(EXTRAS[name]):
        if holds(requirement, where):
            (pin,) = [one.version for one in versions[requirement.name].specifier]
            assert requirement.specifier.contains(pin), requirement


@pytest.mark.parametrize("name", [*EXTRAS, "build.txt"])
def test_each_package_of_a_lock_is_one_version_with_hashes(name):
    for requirement, hashes in locked(LOCK / name):
        assert [one.operator for one in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


def test_the_lock_of_the_service_holds_that_of_the_command_line():
    base, service = ({str(one) for one, _ in locked(LOCK / name)} for name in EXTRAS)
    assert base <= service


def test_the_wheel_of_the_images_is_built_by_what_the_tests_build_with():
    (pin,) = [text for text in PROJECT["optional-dependencies"]["dev"] if "hatchling" in text]
    assert pin in [str(one) for one, _ in locked(LOCK / "build.txt")]


def sbom():
    return json.loads((ROOT / "deploy" / "sbom.cdx.json").read_text(encoding="utf-8"))


def test_the_sbom_lists_the_packages_of_the_lock_with_their_hashes():
    in_lock = {}
    for requirement, hashes in locked(LOCK / "serve.txt"):
        (pin,) = requirement.specifier
        purl = f"pkg:pypi/{canonicalize_name(requirement.name)}@{pin.version}"
        in_lock[purl] = sorted(one.removeprefix("sha256:") for one in hashes)
    in_sbom = {}
    for one in sbom()["components"]:
        if one["type"] == "library":
            (source,) = one["externalReferences"]
            in_sbom[one["purl"]] = sorted(h["content"] for h in source["hashes"])
    assert in_sbom == in_lock


def test_the_sbom_has_hash_and_licence_of_each_embedded_network():
    networks = [one for one in sbom()["components"] if one["type"] == "machine-learning-model"]
    told = {one["name"]: one["hashes"][0]["content"] for one in networks}
    assert told == {
        path.relative_to(ROOT / "src").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in NETWORKS.glob("*.onnx")
    }
    assert {one["licenses"][0]["license"]["id"] for one in networks} == {"Apache-2.0"}
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert all(name in notice for name in told)


def test_the_sbom_is_that_of_this_version_and_names_nothing_that_it_does_not_list():
    document = sbom()
    root = document["metadata"]["component"]
    assert (root["name"], root["version"]) == (PROJECT["name"], PROJECT["version"])
    known = {one["bom-ref"] for one in document["components"]} | {root["bom-ref"]}
    named = {ref for one in document["dependencies"] for ref in one["dependsOn"]}
    assert named <= known
    assert len(known) == len(document["components"]) + 1
    (needs,) = [
        one["dependsOn"] for one in document["dependencies"] if one["ref"] == root["bom-ref"]
    ]
    direct = {canonicalize_name(one.name) for one in asked(EXTRAS["serve.txt"])}
    packages = [ref.removeprefix("pkg:pypi/").partition("@")[0] for ref in needs if "pkg:" in ref]
    assert set(packages) == direct


def recipe():
    return yaml.safe_load((ROOT / "deploy" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))


def test_the_recipe_asks_for_what_the_project_asks_for():
    python = f"python {PROJECT['requires-python']}"
    asked_for = [text.replace(">=", " >=") for text in PROJECT["dependencies"]]
    assert recipe()["requirements"]["run"] == [python, *asked_for]


def test_the_recipe_names_what_the_project_names():
    told = recipe()
    assert told["package"]["name"] == PROJECT["name"]
    assert told["context"]["version"] == PROJECT["version"]
    assert told["about"]["license"] == PROJECT["license"]
    assert told["about"]["license_file"] == PROJECT["license-files"]
    assert told["about"]["summary"] == PROJECT["description"]
    (script,) = PROJECT["scripts"].items()
    assert told["build"]["python"]["entry_points"] == [" = ".join(script)]


def dockerfile() -> str:
    return (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def test_the_images_take_packages_by_hash_alone_and_run_without_rights():
    text = dockerfile()
    for line in re.findall(r"pip install [^&\n]+", text):
        assert "--require-hashes" in line or "--no-deps --no-index" in line, line
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert [re.match(r"\S+ AS (\w+)", stage)[1] for stage in stages] == [
        "build",
        "command",
        "service",
    ]
    assert all("\nUSER 10001\n" in stage for stage in stages[1:])


def test_what_the_images_copy_exists():
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(), flags=re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())


def test_the_health_check_asks_the_address_that_the_service_has():
    text = dockerfile()
    (port,) = re.findall(r"^EXPOSE (\d+)$", text, flags=re.MULTILINE)
    assert f"http://127.0.0.1:{port}/health" in text
    assert "HEALTHCHECK" in text.partition("AS service")[2]
