"""A reader of server-sent events, as a browser reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


@contextmanager
def listening(http: httpx.Client, product: str = "parts", *, headers=None, **query):
    """The events of a screen: an iterator of (name, content, id)."""
    path = f"/line/{product}/events"
    with http.stream("GET", path, params=query, headers=headers, timeout=20) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield parsed(response.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[tuple[str, dict, int | None]]:
    """Events of the lines of a stream."""
    event: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, text = line.partition(": ")
            event[name] = text
        else:
            if "event" in event:
                number = int(event["id"]) if "id" in event else None
                yield event["event"], json.loads(event["data"]), number
            event = {}


def until(events, name: str) -> list[tuple[str, dict, int | None]]:
    """Events up to the first of a name."""
    found = []
    for event in events:
        found.append(event)
        if event[0] == name:
            return found
    raise AssertionError(f"no {name} in {found}")
