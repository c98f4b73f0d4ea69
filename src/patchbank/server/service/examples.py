"""Examples of answers, for the document of the interface and for people."""

from __future__ import annotations

from typing import Any

DIGEST = "9f2ae0c6d1b5a7f3e4c8b0d2a6f1e3c5b7d9f0a2c4e6b8d0f1a3c5e7b9d1f3a5"
PHOTOGRAPH = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
TIME = "2026-11-26T13:08:37.512000Z"

ERROR: dict[str, Any] = {
    "error": {
        "status": 404,
        "code": "unknown_product",
        "message": "product: expected one of bolts, got 'nuts'",
    }
}
INSPECTION: dict[str, Any] = {
    "schema_version": 1,
    "version": "0.1.0",
    "detector_sha256": DIGEST,
    "image": "17.png",
    "size": [104, 72],
    "score": 23.01,
    "p_value": 0.0769,
    "threshold": 11.84,
    "anomalous": True,
    "regions": [{"left": 12, "top": 9, "width": 29, "height": 31, "area": 702, "score": 25.4}],
    "unlike": [],
    "error": None,
    "error_type": None,
    "id": 1204,
    "time": TIME,
    "product": "bolts",
    "verdict": "anomalous",
    "serial_number": "A-1017",
    "lot": "L42",
    "station": "press 3",
    "shift": "late",
    "operator": None,
    "camera": "top",
    "photograph_sha256": PHOTOGRAPH,
    "source": "http",
    "by": "press-3",
    "instance": "line-pc-1",
    "idempotency_key": "A-1017/1",
    "review": None,
    "links": {
        "self": "/v1/inspections/1204",
        "photograph": "/v1/inspections/1204/photograph",
        "overlay": "/v1/inspections/1204/overlay",
        "map": "/v1/inspections/1204/map",
        "explanation": "/v1/inspections/1204/explanation",
        "review": "/v1/inspections/1204/review",
    },
}
PAGE: dict[str, Any] = {"inspections": [INSPECTION], "cursor": "MTIwNA"}
REVIEW: dict[str, Any] = {
    "inspection_id": 1204,
    "time": TIME,
    "decision": "false_alarm",
    "by": "press-3",
    "note": "a water drop",
}
CLAIMED: dict[str, Any] = {
    "inspections": [INSPECTION],
    "held": [1198, 1204],
    "waiting": 37,
    "others": 5,
    "anomalous": 30,
    "unread": 1,
    "ends_s": 120,
}
PRODUCT: dict[str, Any] = {
    "product": "bolts",
    "detector_sha256": DIGEST,
    "threshold": 11.84,
    "false_alarm_rate": 0.01,
    "since": TIME,
    "file_bytes": 14188058,
    "in_memory": True,
    "error": None,
    "links": {
        "self": "/v1/products/bolts",
        "detectors": "/v1/products/bolts/detectors",
        "history": "/v1/products/bolts/history",
    },
}
DETECTOR: dict[str, Any] = {
    "product": "bolts",
    "sha256": DIGEST,
    "time": TIME,
    "action": "tuned",
    "by": "eva",
    "reason": "too many false alarms in lot L42",
    "threshold": 12.4,
    "false_alarm_rate": 0.005,
    "is_available": True,
}
CHANGED: dict[str, Any] = {
    "product": "bolts",
    "changed": True,
    "detector_sha256": DIGEST,
    "before_sha256": PHOTOGRAPH,
    "threshold": 12.4,
    "false_alarm_rate": 0.005,
    "lines": [],
}
AUDIT: dict[str, Any] = {
    "number": 7,
    "time": TIME,
    "by": "eva",
    "action": "detector tuned",
    "product": "bolts",
    "details": {"reason": "too many false alarms in lot L42", "threshold": 12.4},
    "previous": PHOTOGRAPH,
    "hash": DIGEST,
}
TOKEN: dict[str, Any] = {
    "name": "press-3",
    "role": "operator",
    "created": TIME,
    "expires": None,
    "revoked": None,
}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_TEXT = {"type": "string", "maxLength": 200}
_FIELDS = dict.fromkeys(
    ("product", "serial_number", "lot", "station", "shift", "operator", "camera"), _TEXT
)
PHOTOGRAPH_BODY: dict[str, Any] = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "format": "binary"},
                },
                **_FIELDS,
            },
            "additionalProperties": False,
        }
    },
    "application/octet-stream": BINARY,
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["paths"],
            "properties": {
                "paths": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1000,
                    "items": {"type": "string"},
                },
                **_FIELDS,
            },
            "additionalProperties": False,
        },
        "example": {"paths": ["camera1/17.png"], "product": "bolts"},
    },
}

JOB = {
    "id": "6f1c0a9be2d74c55",
    "kind": "preview",
    "product": "bolts",
    "by": "eva",
    "started": "2026-11-26T13:08:37.512000Z",
    "state": "running",
    "title": "inspecting",
    "done": 120,
    "total": 500,
    "notes": [],
    "result": None,
    "error": None,
}

_TRIAL_OWN = "/v1/trials/0f2c51c9b1de4d6c9a37e2f4b8a60d13"
TRIAL: dict[str, Any] = {
    **{key: INSPECTION[key] for key in (*INSPECTION,)[: (*INSPECTION,).index("id")]},
    "id": "0f2c51c9b1de4d6c9a37e2f4b8a60d13",
    "product": "bolts",
    "verdict": "anomalous",
    "is_rate_known": True,
    "spots": [
        {
            "region": 0,
            "box": {"left": 16, "top": 16, "width": 8, "height": 8},
            "distance": 3.1,
            "usual_distance": 1.0,
            "text": "region 1 (rows 16 to 23, columns 16 to 23): 3.1 times as far from anything "
            "good as the oddest spot of a good photograph usually is (3.1 against 1)",
            "crop": f"{_TRIAL_OWN}/crops/0",
        }
    ],
    "links": {
        "self": _TRIAL_OWN,
        **{name: f"{_TRIAL_OWN}/{name}" for name in ("photograph", "overlay", "map", "heat")},
    },
}
TRIAL_BODY: dict[str, Any] = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {"image": {"type": "string", "format": "binary"}, "product": _TEXT},
            "additionalProperties": False,
        }
    },
    "application/octet-stream": BINARY,
}

THRESHOLD: dict[str, Any] = {
    "product": "bolts",
    "threshold": 12.4,
    "false_alarm_rate": 0.005,
    "guaranteed_rate": 0.032,
    "is_bound_proved": False,
    "is_extrapolated": True,
}
SCORES: dict[str, Any] = {
    **THRESHOLD,
    "detector_sha256": DIGEST,
    "is_set_by_hand": False,
    "smallest_rate": 0.016,
    "lowest_threshold": 0.0,
    "n_learned": 60,
    "n_groups": 60,
    "left_out": [7.91, 8.02, 8.4],
    "range": [6.8, 31.0],
    "steps": [{"threshold": 12.4, "false_alarm_rate": 0.005}],
    "parts": [{"id": 1204, "score": 23.01, "kind": "undecided", "is_always_flagged": False}],
    "n_other_detector": 120,
    "n_unread": 1,
    "shift": {"parts": 1180, "counted": "shifts", "n": 14, "days": 7},
}
SETUP: dict[str, Any] = {
    "id": "0d5e7f1a2b3c4d6e",
    "product": "bolts",
    "by": "eva",
    "begun": TIME,
    "changed": TIME,
    "photographs": 60,
    "bytes": 5_210_000,
    "left_out": 1,
    "task": None,
    "job": None,
    "ended": None,
    "error": None,
    "is_checked": True,
    "is_fitted": True,
    "activated": None,
    "links": {
        "self": "/v1/setups/0d5e7f1a2b3c4d6e",
        "photographs": "/v1/setups/0d5e7f1a2b3c4d6e/photographs",
        "report": "/v1/setups/0d5e7f1a2b3c4d6e/fit/report",
    },
}
