"""What is computed of a photograph, in this process or behind a link, and frames between them."""

from __future__ import annotations

import io
import shutil
import sys
import threading

import pytest

from patchbank import load
from patchbank.errors import ClusterError, DetectorFileError, ParameterError
from patchbank.server.intake import NotRecorded, UnknownProduct
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.service.catalog import Catalog, Change
from patchbank.server.service.computing import Computed, Here, Task
from patchbank.server.service.keeping import Files, digest_of, map_range
from patchbank.server.service.product_finding import ProductFinding
from patchbank.server.service.replicas import frames
from patchbank.server.service.replicas import link as link_module
from patchbank.server.service.replicas.link import Link
from patchbank.server.service.settings import ServiceSettings
from tests.server.services import png, records_of

pytestmark = pytest.mark.serve
PIXELS = 72 * 104


@pytest.fixture
def catalog(fitted, tmp_path):
    folder = DataFolder(tmp_path / "data")
    shutil.copy(fitted, tmp_path / "parts.patchbank")
    with records_of(folder.folder) as records:
        made = Catalog(ServiceSettings(data=folder.folder), folder, records)
        made.open([tmp_path / "parts.patchbank"])
        yield made


@pytest.fixture
def here(catalog):
    return Here(ProductFinding(catalog))


def task(content, *, product="parts", max_pixels=PIXELS, keep_good=0.0):
    return Task(
        product=product,
        name="a.png",
        content=content,
        digest=digest_of(content),
        max_pixels=max_pixels,
        keep_good=keep_good,
    )


def test_the_result_of_a_photograph_is_that_of_its_detector(here, catalog):
    detector = catalog.detector(catalog.product("parts"))
    for content, is_anomalous in ((png(100), False), (png(100, defect=9), True)):
        found = here.compute(task(content))
        expected = detector.predict(content)
        assert expected.is_anomalous == is_anomalous
        stamp = {key: found.result[key] for key in ("version", "detector_sha256")}
        assert stamp["detector_sha256"] == detector.sha256
        assert found.result == {**expected.to_json(), **stamp, "image": "a.png"}
        assert list(found.result)[:3] == ["schema_version", "version", "detector_sha256"]
        assert found.product == "parts"
        assert found.seconds > 0
        if is_anomalous:
            assert found.files.photograph == (content, ".png")
            low, high = map(float, map_range(found.files.map))
            assert low == float(expected.anomaly_map.min())
            assert high == pytest.approx(float(expected.anomaly_map.max()))
            assert found.files.overlay.startswith(b"\xff\xd8")
            assert not found.is_border
        else:
            assert found.files == Files()


def test_good_photographs_are_kept_by_their_share_and_border_cases_marked(here, catalog):
    content = png(100)
    assert here.compute(task(content, keep_good=1.0)).files == Files((content, ".png"))
    assert not here.compute(task(content)).is_border
    product = catalog.product("parts")
    score = load(product.path).predict(content).score
    just_above = load(product.path).with_threshold(score * 1.0001)
    just_above.save(product.path)
    catalog.take_up(product, Change("tuned"))
    found = here.compute(task(content))
    assert (found.result["anomalous"], found.is_border) == (False, True)
    assert found.result["detector_sha256"] == just_above.sha256


@pytest.mark.parametrize(
    ("content", "max_pixels", "said"),
    [(b"no image", PIXELS, "expected a PNG"), (png(1), PIXELS - 1, "got 104 x 72")],
)
def test_what_cannot_be_inspected_is_a_result_with_an_error(here, content, max_pixels, said):
    found = here.compute(task(content, max_pixels=max_pixels))
    assert said in found.result["error"]
    assert (found.result["score"], found.is_border) == (None, False)
    assert found.files == Files((content, ".bin"))


def test_what_is_no_fault_of_a_photograph_is_raised(here, catalog):
    with pytest.raises(UnknownProduct):
        here.compute(task(png(1), product="nuts"))
    product = catalog.product("parts")
    catalog._memory.keep(("other", "0"), catalog.detector(product), 10**10)  # takes its room
    catalog.versions.path("parts", product.sha256).unlink()
    product.path.unlink()
    with pytest.raises(NotRecorded, match=r"among the versions|expected a detector file"):
        here.compute(task(png(1)))
    assert here.trouble is None


def test_frames_bring_back_what_was_written():
    stream = io.BytesIO()
    frames.write(stream, {"a": [1.5, None, "ü"]}, [b"one", b"", b"\0" * 70_000])
    frames.write(stream, {})
    content = stream.getvalue()
    stream = io.BytesIO(content)
    assert frames.read(stream) == ({"a": [1.5, None, "ü"]}, [b"one", b"", b"\0" * 70_000])
    assert frames.read(stream) == ({}, [])
    assert frames.read(stream) is None
    first = len(content) - frames.LENGTH.size - len(b"[{}, []]")
    for end in (0, 3, 4, 20, 100, first - 1):
        assert frames.read(io.BytesIO(content[:end])) is None


@pytest.mark.parametrize("photograph", [None, (b"content", ".png")])
@pytest.mark.parametrize("overlay", [None, b"overlay"])
@pytest.mark.parametrize("drawn", [None, b"map"])
def test_what_is_computed_survives_its_way(photograph, overlay, drawn):
    found = Computed(
        product="parts",
        result={"score": 0.1 + 0.2, "regions": [{"area": 3}]},
        is_border=True,
        files=Files(photograph, overlay, drawn),
        seconds=0.25,
    )
    stream = io.BytesIO()
    frames.write(stream, *frames.packed(found))
    assert b"content" not in stream.getvalue()
    stream.seek(0)
    assert frames.unpacked(frames.read(stream), b"content") == found


OTHER_END = """
import os, sys
from patchbank.server.service.replicas import frames
given, out = sys.stdin.buffer, sys.stdout.buffer
terms, _ = frames.read(given)
if "ended" in terms:
    frames.write(out, terms)
    sys.exit(1)
frames.write(out, {"nodes": 3, "cores": 7})
frames.write(out, {"ready": True})
seen = []
while (frame := frames.read(given)) is not None:
    head, blobs = frame
    if "task" not in head:
        seen.append([*head, len(blobs)])
        continue
    name = head["task"]["name"]
    if name == "end":
        os._exit(3)
    answer = {"number": head["number"], name: "because"}
    if name == "computed":
        answer[name] = {
            "product": "parts", "result": {"seen": seen}, "is_border": False, "seconds": 1,
            "suffix": ".png", "has_overlay": False, "has_map": True,
        }
    frames.write(out, answer, [b"map"] if name == "computed" else [])
"""


@pytest.fixture
def linked(monkeypatch):
    """Makes links to a process that answers by the name of a photograph."""
    monkeypatch.setattr(link_module, "COMMAND", (sys.executable, "-c", OTHER_END))
    made = []

    def start(content=lambda product, digest: b"detector", **terms):
        made.append(Link(terms, content))
        return made[-1]

    yield start
    for link in made:
        link.close(10)


def asked(link, name, digests=None):
    own = Task(product="parts", name=name, content=b"bytes", digest="0", max_pixels=1, keep_good=0)
    return link.compute(own, digests or {"parts": "d1"})


def test_a_link_sends_the_file_of_a_detector_once_until_another_is_in_use(linked):
    link = linked()
    link.wait()
    assert (link.is_ready, link.nodes, link.cores) == (True, 3, 7)
    file, use = ["file", 1], ["product", "digests", 0]
    first = asked(link, "computed")
    assert first.files == Files((b"bytes", ".png"), None, b"map")
    assert first.result["seen"] == [file, use]
    assert asked(link, "computed").result["seen"] == [file, use]
    both = {"parts": "d1", "nuts": "d2"}
    assert asked(link, "computed", both).result["seen"] == [file, use, file, use]
    assert asked(link, "computed", {"parts": "d2"}).result["seen"] == [file, use, file, use, use]
    again = asked(link, "computed", {"parts": "d1"}).result["seen"]
    assert again == [file, use, file, use, use, file, use]


def test_a_link_raises_what_it_is_answered(linked):
    link = linked()
    link.wait()
    with pytest.raises(NotRecorded, match="^because$"):
        asked(link, "not_recorded")
    with pytest.raises(ClusterError, match=r"none that stayed \(because\)"):
        asked(link, "lost")
    with pytest.raises(RuntimeError, match="^because$"):
        asked(link, "fault")
    # After `not_recorded` the file, which somebody may have mended, is sent again.
    assert [one[0] for one in asked(link, "computed").result["seen"]].count("file") == 2


def test_a_detector_that_is_gone_is_no_fault_of_the_photograph(linked):
    def gone(product, digest):
        raise DetectorFileError("parts: gone")

    link = linked(gone)
    link.wait()
    with pytest.raises(NotRecorded, match="^parts: gone$"):
        asked(link, "computed")
    assert link.is_ready


def test_where_a_link_ends_all_that_wait_are_told(linked):
    link = linked()
    link.wait()
    errors = []

    def ask():
        with pytest.raises(ClusterError) as said:
            asked(link, "end")
        errors.append(str(said.value))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 5
    assert set(errors) == {
        "cluster: expected a Ray cluster that answers, got none (its process has ended with "
        "status 3)"
    }
    assert not link.is_ready
    with pytest.raises(ClusterError, match="status 3"):
        asked(link, "computed")


@pytest.mark.parametrize("kind", [ClusterError, ParameterError])
def test_a_link_that_cannot_begin_says_why(linked, kind):
    link = linked(ended="cluster: expected more", kind=kind.__name__)
    with pytest.raises(kind, match="^cluster: expected more$"):
        link.wait()
    assert not link.is_ready
