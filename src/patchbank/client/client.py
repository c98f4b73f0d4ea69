"""The client of the service."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Literal

import httpx

from patchbank.client.calls import Calls, Limits
from patchbank.client.errors import ClientError
from patchbank.client.photographs import Photograph, file_of
from patchbank.client.verdict import FIELDS, Product, Verdict
from patchbank.errors import ParameterError
from patchbank.runtime.printable import printable

LONGEST_NAME = 255
"""Characters of the name of a photograph that the service takes: of more, the last ones are sent.
"""
FILTERS = frozenset({"verdict", "review", "since", "until", "min_score", "max_score", *FIELDS})
"""Names by which inspections are chosen, besides the product."""


class Client:
    """Asks a service; several threads may share one.

    Args:
        url: of the service, as ``http://127.0.0.1:8760``.
        token: of `patchbank serve token add`; none is needed on the computer of the service as
            long as it has no tokens.
        timeout_s: longest time without a byte from the service.
        total_s: time after which an attempt that failed is not repeated.
        ca: file with certificates of authorities, for a service with a certificate of your own.

    Raises:
        ParameterError: an argument is wrong.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        total_s: float = 120.0,
        ca: str | None = None,
    ) -> None:
        self._calls = Calls(url, token, ca, Limits(timeout_s, total_s))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def inspect(
        self,
        photograph: Photograph,
        product: str | None = None,
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
        **fields: str | None,
    ) -> Verdict:
        """Inspect a photograph; its verdict is on record when this returns.

        All attempts have one key, so that it is inspected and recorded once, however often it is
        sent.

        Args:
            photograph: path, bytes of an image file, or array; a file is sent as it is, an array
                without loss.
            product: by whose detector it is inspected; None where the service has one alone.
            name: of the photograph in the record; None takes the path.
            idempotency_key: None makes one.  Give your own where this program may be started again
                in between, such as the serial number and the time of the photograph.
            fields: ``serial_number``, ``lot``, ``station``, ``shift``, ``operator``, ``camera``.

        Raises:
            Unread: it could not be read, or shows none of the products, where `product` is
                ``auto``; that is on record too.
            NotInspected: there was no answer within the time.
            ClientError: the service refuses it.
            DataError: there is no such file.
            ParameterError: a field is not known.
        """
        _check(fields, frozenset(FIELDS))
        shown, content = file_of(photograph, name)
        said = {"product": product, "name": printable(shown)[-LONGEST_NAME:], **fields}
        answer = self._calls.ask(
            "POST",
            "/v1/inspections",
            key=idempotency_key or str(uuid.uuid4()),
            params={key: value for key, value in said.items() if value is not None},
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        return self._verdict(answer)

    def inspection(self, inspection_id: int) -> Verdict:
        """One inspection on record.

        Raises:
            ClientError: there is none, or no answer.
        """
        return self._verdict(self._calls.ask("GET", f"/v1/inspections/{int(inspection_id)}"))

    def inspections(
        self, product: str | None = None, *, limit: int | None = None, **chosen: Any
    ) -> Iterator[Verdict]:
        """Yield inspections on record, newest first, asking for page after page.

        Args:
            product: None for all.
            limit: most of them; None for all.
            chosen: ``verdict``, ``review``, ``since``, ``until`` (times with their zone),
                ``min_score``, ``max_score``, and the fields of `inspect`.

        Raises:
            ClientError: there is no answer.
            ParameterError: there is no such name.
        """
        _check(chosen, FILTERS)
        wanted = {"product": product, **chosen}
        query = {key: _text(value) for key, value in wanted.items() if value is not None}
        left = limit
        while left is None or left > 0:
            page = _json(self._calls.ask("GET", "/v1/inspections", params=query))
            found = page["inspections"]
            yield from map(Verdict.from_json, found[:left])
            left = None if left is None else left - len(found)
            if page["cursor"] is None:
                return
            query["cursor"] = page["cursor"]

    def review(
        self,
        inspection_id: int,
        decision: Literal["confirmed_defect", "false_alarm", "unsure", "withdrawn"],
        note: str = "",
        by: str | None = None,
    ) -> None:
        """Say what a person has found out about an inspection.

        Args:
            inspection_id: of the inspection.
            decision: of the person; ``withdrawn`` takes that person's latest one back.
            note: for others.
            by: the person; None for the name of the token.

        Raises:
            ClientError: the service refuses it, or does not answer.
        """
        content = {"decision": decision, "note": note, **({} if by is None else {"by": by})}
        path = f"/v1/inspections/{int(inspection_id)}/review"
        self._calls.ask("POST", path, json=content, is_repeatable=False)

    def products(self) -> list[Product]:
        """Products of the service.

        Raises:
            ClientError: there is no answer.
        """
        content = _json(self._calls.ask("GET", "/v1/products"))
        return [Product.from_json(each) for each in content["products"]]

    def picture(
        self, inspection_id: int, kind: Literal["photograph", "overlay", "map"] = "overlay"
    ) -> bytes:
        """A picture of an inspection, as a file.

        Raises:
            ClientError: it is not kept any more, it is an overlay or a map of a photograph that
                could not be read, or there is no answer.
        """
        return self._calls.ask("GET", f"/v1/inspections/{int(inspection_id)}/{kind}").content

    def status(self) -> Mapping[str, Any]:
        """The status of the service.

        Raises:
            ClientError: there is no answer.
        """
        return _json(self._calls.ask("GET", "/v1/status"))

    def _verdict(self, answer: httpx.Response) -> Verdict:
        replayed = answer.headers.get("Idempotent-Replayed") == "true"
        content = _json(answer)
        try:
            return Verdict.from_json(content, is_replayed=replayed)
        except (KeyError, TypeError, ValueError):
            raise ClientError(
                f"{self._calls.url}: expected an inspection, got another object",
                answer.status_code,
            ) from None


def _check(given: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise ParameterError(f"{unknown[0]}: expected one of {names}, got this name")


def _text(value: Any) -> str:
    """A value in a query; times as ISO 8601."""
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ClientError(
            f"{answer.url.host}: expected JSON of the service, got something else",
            answer.status_code,
        )
    return content
