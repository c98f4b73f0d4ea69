"""Datasets in FiftyOne itself, with its database: what it imports is what was found."""

import os
import warnings

import numpy as np
import pytest

from patchbank.integrations.fiftyone import write_dataset
from tests.labelling import ODD_NAME, SPOT, write_folder, write_turned
from tests.painted import detector

pytestmark = [pytest.mark.fiftyone, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def fiftyone(tmp_path_factory):
    """-> the package, which starts its database when it is imported: one of its own."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("FIFTYONE_DATABASE_DIR", str(tmp_path_factory.mktemp("database")))
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
        warnings.simplefilter("ignore")  # those of the packages that it imports
        import fiftyone

        yield fiftyone


@pytest.fixture
def imported(tmp_path, fiftyone):
    """-> the dataset of a folder as FiftyOne has it."""
    write_dataset(tmp_path / "dataset", detector().inspect(write_folder(tmp_path / "in")))
    dataset = fiftyone.Dataset.from_dir(
        dataset_dir=str(tmp_path / "dataset"), dataset_type=fiftyone.types.FiftyOneDataset
    )
    yield dataset
    dataset.delete()


def test_verdicts_scores_and_errors_are_those_of_the_photographs(imported, tmp_path, fiftyone):
    assert imported.count_values("verdict.label") == {"good": 1, "anomalous": 2, "unread": 1}
    names = [os.path.relpath(path, tmp_path / "in") for path in imported.values("filepath")]
    assert names == ["a.png", os.path.join("b", ODD_NAME), "c.png", "d.png"]
    assert imported.values("score") == [20.0, 150.0, None, 200.0]
    assert imported.values("p_value") == [1.0, 0.25, None, 0.25]
    assert imported.values("verdict.confidence") == [1.0, 0.75, None, 0.75]
    (error,) = imported.match(fiftyone.ViewField("verdict.label") == "unread").values("error")
    assert "c.png: expected a PNG, JPEG" in error
    assert imported.exists("heat_map").count() == 3


def test_regions_and_maps_are_found_where_they_were(imported, fiftyone):
    sample = imported.match(fiftyone.ViewField("regions.detections").length() > 0).first()
    worst = sample.regions.detections[0]
    assert worst.bounding_box == [0.075, 0.0625, 0.175, 0.0625]
    assert (worst.label, worst.score, worst.area) == ("anomaly", 120.0, 14)
    mask, heat = sample.mask.get_mask(), sample.heat_map.get_map()
    assert mask.shape == heat.shape == (32, 40)
    assert (mask[SPOT[1:]] == 255).all()
    assert (heat[SPOT[1:]] == 171).all()
    assert np.count_nonzero(mask) == 14 + 4
    assert imported.bounds("regions.detections.score") == (95.0, 120.0)
    assert imported.mask_targets == {"mask": {255: "anomaly"}}


def test_a_dataset_is_added_to_another_and_written_again(imported, tmp_path, fiftyone):
    folder = tmp_path / "dataset"
    imported.add_dir(dataset_dir=str(folder), dataset_type=fiftyone.types.FiftyOneDataset)
    assert len(imported) == 8
    imported.export(
        export_dir=str(tmp_path / "again"),
        dataset_type=fiftyone.types.FiftyOneDataset,
        export_media=False,
    )
    assert (tmp_path / "again" / "samples.json").is_file()


def test_a_turned_photograph_has_the_size_of_its_maps(tmp_path, fiftyone):
    write_dataset(tmp_path / "dataset", detector().inspect([write_turned(tmp_path / "turned.jpg")]))
    dataset = fiftyone.Dataset.from_dir(
        dataset_dir=str(tmp_path / "dataset"), dataset_type=fiftyone.types.FiftyOneDataset
    )
    dataset.compute_metadata()
    sample = dataset.first()
    shape = (sample.metadata.height, sample.metadata.width)
    assert shape == sample.mask.get_mask().shape == (32, 40)
    dataset.delete()
