"""The schema of an inspection as the service answers it."""

from __future__ import annotations

from typing import Any

_NULLABLE = {"type": ["string", "null"]}
_LINKS = ("photograph", "overlay", "map", "explanation")
INSPECTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "The line of `predict --json`, and what is on record with it.",
    "required": [
        "schema_version",
        "image",
        "score",
        "anomalous",
        "error",
        "id",
        "time",
        "product",
        "verdict",
        "links",
    ],
    "properties": {
        "schema_version": {"const": 1},
        "version": {"type": "string"},
        "detector_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "image": {"type": "string"},
        "size": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 1}},
        "score": {"type": ["number", "null"]},
        "normalised_score": {"type": "number", "minimum": 0, "maximum": 1},
        "p_value": {"type": ["number", "null"]},
        "threshold": {"type": ["number", "null"]},
        "anomalous": {"type": ["boolean", "null"]},
        "regions": {"type": ["array", "null"], "items": {"type": "object"}},
        "unlike": {"type": ["array", "null"], "items": {"type": "object"}},
        "error": _NULLABLE,
        "error_type": _NULLABLE,
        "route": {
            "type": "object",
            "description": "Which product the photograph shows, and how sure that is; only where "
            "`product` is `auto`.",
        },
        "id": {"type": "integer", "minimum": 1},
        "time": {"type": "string", "format": "date-time"},
        "product": {"type": "string"},
        "verdict": {"enum": ["good", "anomalous", "unread"]},
        "serial_number": _NULLABLE,
        "lot": _NULLABLE,
        "station": _NULLABLE,
        "shift": _NULLABLE,
        "operator": _NULLABLE,
        "camera": _NULLABLE,
        "photograph_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "source": {"enum": ["http", "watch", "camera"]},
        "by": {"type": "string"},
        "instance": {"type": "string"},
        "idempotency_key": _NULLABLE,
        "review": {"enum": ["confirmed_defect", "false_alarm", "unsure", None]},
        "links": {
            "type": "object",
            "required": ["self", *_LINKS, "review"],
            "properties": {
                "self": {"type": "string"},
                **dict.fromkeys(_LINKS, _NULLABLE),
                "review": {"type": "string"},
            },
        },
    },
}
TRIAL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "The line of `predict --json` of a photograph that is not recorded.",
    "required": ["schema_version", "image", "score", "id", "product", "verdict", "spots", "links"],
    "properties": {
        **{
            name: INSPECTION_SCHEMA["properties"][name]
            for name in (*INSPECTION_SCHEMA["properties"],)
            if name
            in (
                "schema_version",
                "version",
                "detector_sha256",
                "image",
                "size",
                "score",
                "normalised_score",
                "p_value",
                "threshold",
                "anomalous",
                "regions",
                "unlike",
                "error",
                "error_type",
                "product",
            )
        },
        "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "verdict": {"enum": ["good", "anomalous"]},
        "is_rate_known": {"type": "boolean"},
        "spots": {"type": "array", "items": {"type": "object"}},
        "links": {
            "type": "object",
            "required": ["self"],
            "properties": {
                "self": {"type": "string"},
                **dict.fromkeys(("photograph", "overlay", "map", "heat"), _NULLABLE),
            },
        },
    },
}
