"""What `patchbank serve` imports, and in which order, before it is ready."""

from __future__ import annotations

import subprocess
import sys

STARTED = """
from patchbank.cli.app import main
try:
    main()
except SystemExit:
    pass
import fastapi.openapi.models as models
print(models.OpenAPI.__pydantic_complete__)
"""


def test_a_start_builds_no_model_of_the_document_that_nobody_has_asked_for(tmp_path):
    file = tmp_path / "parts.patchbank"
    file.write_bytes(b"none")  # it is refused once all is imported
    arguments = [str(file), "--data", str(tmp_path / "data"), "--port", "0"]
    done = subprocess.run(
        [sys.executable, "-c", STARTED, "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "parts.patchbank: expected" in done.stderr
    assert done.stdout == "False\n"
