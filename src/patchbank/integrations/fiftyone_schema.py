"""Fields of samples of FiftyOne: the document that stands next to them as ``metadata.json``."""

from __future__ import annotations

from typing import Any

from patchbank.detector.result_rows import COLUMNS as ROW_COLUMNS
from patchbank.detector.result_rows import TEXT

VERSION = "1.0.0"
"""Version of FiftyOne whose documents these are; later ones bring them up to date."""
COLUMNS = ("score", "threshold", "p_value", "unlike", "product", "error", "detector_sha256")
"""Columns of result rows that are fields of a sample."""
FIELDS, LABELS = "fiftyone.core.fields", "fiftyone.core.labels"


def dataset_document() -> dict[str, Any]:
    """The document of a dataset, as JSON."""
    return {
        "version": VERSION,
        "media_type": "image",
        "mask_targets": {"mask": {"255": "anomaly"}},
        "sample_fields": [*_own_fields(), *_result_fields()],
    }


def _own_fields() -> list[dict[str, Any]]:
    """Fields that FiftyOne has for each sample."""
    sizes = ("size_bytes", "width", "height", "num_channels")
    metadata = [_field("mime_type", "String"), *(_field(name, "Int") for name in sizes)]
    return [
        _field("id", "ObjectId", db_field="_id"),
        _field("filepath", "String"),
        _field("tags", "List", of="String"),
        _embedded("metadata", "fiftyone.core.metadata.ImageMetadata", metadata),
        _field("created_at", "DateTime", read_only=True),
        _field("last_modified_at", "DateTime", read_only=True),
        _field("_media_type", "String"),
        _field("_rand", "Float"),
        _field("_dataset_id", "ObjectId"),
    ]


def _result_fields() -> list[dict[str, Any]]:
    """Fields with the results of an inspection."""
    verdict = [_field("label", "String"), _field("confidence", "Float"), _field("logits", "Vector")]
    heat_map = [
        _field("map", "Array"),
        _field("map_path", "String"),
        _field("range", "HeatmapRange", of="Float"),
    ]
    mask = [_field("mask", "Array"), _field("mask_path", "String")]
    kinds = {name: "String" if ROW_COLUMNS[name] == TEXT else "Float" for name in COLUMNS}
    return [
        _label("verdict", "Classification", verdict),
        *(_field(name, kind) for name, kind in kinds.items()),
        _embedded("regions", f"{LABELS}.Detections", [_detections()]),
        _label("heat_map", "Heatmap", heat_map),
        _label("mask", "Segmentation", mask),
    ]


def _detections() -> dict[str, Any]:
    parts = [
        *_label_fields(),
        _field("attributes", "Dict", of="EmbeddedDocument", document=f"{LABELS}.Attribute"),
        _field("label", "String"),
        _field("bounding_box", "List", of="Float"),
        _field("mask", "Array"),
        _field("mask_path", "String"),
        _field("confidence", "Float"),
        _field("index", "Int"),
        _field("score", "Float"),
        _field("area", "Int"),
    ]
    document = f"{LABELS}.Detection"
    return _field("detections", "List", of="EmbeddedDocument", document=document, parts=parts)


def _label(name: str, kind: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return _embedded(name, f"{LABELS}.{kind}", [*_label_fields(), *parts])


def _label_fields() -> list[dict[str, Any]]:
    return [_field("id", "ObjectId", db_field="_id"), _field("tags", "List", of="String")]


def _embedded(name: str, document: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return _field(name, "EmbeddedDocument", document=document, parts=parts)


def _field(
    name: str,
    kind: str,
    *,
    of: str | None = None,
    document: str | None = None,
    parts: list[dict[str, Any]] | None = None,
    db_field: str | None = None,
    read_only: bool = False,
) -> dict[str, Any]:
    """The description of a field.

    Args:
        name: of the field.
        kind: of its value, without the ending ``Field``.
        of: kind of each element of a list or a dictionary.
        document: class of its value or elements, if they are documents.
        parts: fields of these.
        db_field: its name in the database; None for its own.
        read_only: whether users cannot change it.
    """
    return {
        "name": name,
        "ftype": f"{FIELDS}.{kind}Field",
        "embedded_doc_type": document,
        "subfield": None if of is None else f"{FIELDS}.{of}Field",
        "fields": parts or [],
        "db_field": db_field or name,
        "description": None,
        "info": None,
        "read_only": read_only,
    }
