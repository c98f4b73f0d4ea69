"""The framework is imported without what a start does not need: a tenth of a second of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


def import_framework() -> None:
    """Import FastAPI with the models of its OpenAPI document unbuilt.

    There are forty of them, which refer to each other; Pydantic builds each when it is used for the
    first time, which is when somebody asks for the document (`defer_build`).  The setting is that
    of the base of all models while they are defined, and of none that is defined later.
    """
    before = BaseModel.model_config
    BaseModel.model_config = ConfigDict(defer_build=True)
    try:
        import fastapi.openapi.models  # noqa: F401
    finally:
        BaseModel.model_config = before
