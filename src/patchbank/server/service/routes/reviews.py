"""Routes of what waits for a review: reviewers claim inspections, so that no two get the same."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from patchbank.server.records.claiming import LIFE, MOST_CLAIMED, Queue
from patchbank.server.service.answers import answer
from patchbank.server.service.examples import CLAIMED
from patchbank.server.service.guarding import Spec, caller_of
from patchbank.server.service.routes.records import Moment, Reviewer, Short, reviewer_of
from patchbank.server.service.service import service_of


class Claim(BaseModel):
    """Which inspections a reviewer wants."""

    model_config = ConfigDict(extra="forbid")

    reviewer: Reviewer = Field(description="Name of a page or a program; each has its own.")
    product: Short = None
    lot: Short = None
    count: int = Field(
        0, ge=0, le=MOST_CLAIMED, strict=True, description="Of further ones; 0 renews alone."
    )
    order: Literal["oldest", "newest"] = "oldest"
    border: bool = Field(
        True, strict=True, description="Whether border cases are wanted, too; `false` for none."
    )
    shift: Short = None
    since: Moment | None = Field(None, description="At this time or later.")
    until: Moment | None = Field(None, description="Before this time.")


def claim(request: Request, wanted: Claim) -> Response:
    """Claim further inspections that wait for a review, and renew those that a reviewer has.

    These are flagged ones, unread ones, and border cases: good ones with a p-value of at most twice
    the false-alarm rate, whose photographs are kept.  A claim ends after two minutes, with a
    review, or when it is given back; `held` are all that the reviewer still has, `waiting` counts
    those that wait, up to 10,000, and `others` those of them that other reviewers have.
    `anomalous` and `unread` count the flagged and the unread ones among them; all others are border
    cases, of which `"border": false` wants none.
    """
    service = service_of(request)
    found = service.records.claim(
        reviewer_of(caller_of(request), wanted.reviewer),
        Queue(
            wanted.product,
            wanted.lot,
            newest_first=wanted.order == "newest",
            has_border=wanted.border,
            shift=wanted.shift,
            since=wanted.since,
            until=wanted.until,
        ),
        wanted.count,
    )
    root = service.settings.root_path
    content = {
        "inspections": [one.to_json(root) for one in found.new],
        "held": list(found.held),
        "waiting": found.waiting,
        "others": found.others,
        "anomalous": found.anomalous,
        "unread": found.unread,
        "ends_s": int(LIFE.total_seconds()),
    }
    return answer(content)


def release(
    request: Request, reviewer: Annotated[str, Path(pattern="^[A-Za-z0-9_-]{8,64}$")]
) -> Response:
    """Give back all that a reviewer has claimed."""
    name = reviewer_of(caller_of(request), reviewer)
    return answer({"released": service_of(request).records.release(name)})


SPECS = (
    Spec(
        method="POST",
        path="/v1/reviews/claims",
        endpoint=claim,
        role="operator",
        tag="reviews",
        example=CLAIMED,
    ),
    Spec(
        method="DELETE",
        path="/v1/reviews/claims/{reviewer}",
        endpoint=release,
        role="operator",
        tag="reviews",
        example={"released": 8},
    ),
)
