"""What Label Studio's own package says of tasks and their labelling configuration."""

import copy
import json

from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.objects import TaskValue

from patchbank.integrations.label_studio import config_path, write_tasks
from tests.labelling import write_folder
from tests.painted import detector


def written(tmp_path):
    """-> the labelling interface, the tasks."""
    path = tmp_path / "tasks.json"
    write_tasks(path, detector().inspect(write_folder(tmp_path / "in")), detector_sha256="c0ffee")
    return LabelInterface(config_path(path).read_text()), json.loads(path.read_text())


def test_predictions_are_valid_for_the_configuration(tmp_path):
    interface, tasks = written(tmp_path)
    predictions = [task["predictions"][0] for task in tasks if "predictions" in task]
    assert len(predictions) == 3
    for prediction in predictions:
        assert interface.validate_prediction(prediction, return_errors=True) == []
    spoilt = copy.deepcopy(predictions[1])
    spoilt["result"][1]["value"]["rectanglelabels"] = ["scratch"]
    assert not interface.validate_prediction(spoilt)


def test_tasks_have_the_data_that_the_configuration_shows(tmp_path):
    interface, tasks = written(tmp_path)
    for task in tasks:
        TaskValue(**task)
        assert interface.validate_task({"data": task["data"]})


def test_a_prediction_that_was_accepted_is_exported_with_its_boxes_in_pixels(tmp_path):
    _, tasks = written(tmp_path)
    for number, task in enumerate(tasks):
        task["id"] = number
        accepted = [{"id": number, "result": p["result"]} for p in task.pop("predictions", [])]
        task["annotations"] = accepted
    (tmp_path / "annotated").mkdir()
    (tmp_path / "annotated" / "tasks.json").write_text(json.dumps(tasks))
    converter = Converter(str(config_path(tmp_path / "tasks.json")), str(tmp_path))
    converter.convert_to_coco(
        str(tmp_path / "annotated"), str(tmp_path / "coco"), str(tmp_path / "images")
    )
    found = json.loads((tmp_path / "coco" / "result.json").read_text())
    assert [each["bbox"] for each in found["annotations"]] == [[3, 2, 7, 2], [38, 30, 2, 2]]
