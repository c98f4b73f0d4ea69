"""Trials: photographs that are inspected and not recorded; their results stay in memory.

Whoever has made one sees it, in the same session of the browser or with the same token, for half an
hour, and as long as there is room.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from patchbank.detector.inspection import FailedInspection
from patchbank.server.service.computing import line_of, source_within
from patchbank.server.service.errors import ApiError
from patchbank.server.service.product_finding import Chosen
from patchbank.server.service.trial_pictures import TrialPictures, pictures_of

MOST_WAITING = 8
"""Photographs that wait or are inspected; more are refused.  One is inspected at a time, so that
the line goes first."""
RETRY_S = 2
LIFE_S = 1800.0
LIMIT_MB = 256.0
"""Size of the pictures that are kept; the last trial is always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The result of one photograph."""

    id: str
    owner: str
    """Session or token that it was made with."""
    product: str
    line: dict[str, Any]
    """The object of `patchbank predict --json`."""
    is_rate_known: bool
    """Whether p-values mean something: not with a detector of a single photograph."""
    pictures: TrialPictures
    ends: float
    """Time by the monotonic clock after which it is gone."""

    def to_json(self, root: str) -> dict[str, Any]:
        """The object that is answered: the line of `predict --json`, and where its pictures are.

        Args:
            root: path of the service behind a proxy, in front of its links.
        """
        own = f"{root}/v1/trials/{self.id}"
        names = ("photograph", "overlay", "map", "heat")
        links = {name: f"{own}/{name}" if name in self.pictures.files else None for name in names}
        explained = self.pictures.explained
        spots = [] if explained is None else explained.content["spots"]
        wanted = ("region", "box", "distance", "usual_distance", "text")
        return {
            **self.line,
            "id": self.id,
            "product": self.product,
            "verdict": "anomalous" if self.line["anomalous"] else "good",
            "is_rate_known": self.is_rate_known,
            "spots": [
                {**{key: spot[key] for key in wanted}, "crop": f"{own}/crops/{number}"}
                for number, spot in enumerate(spots)
            ],
            "links": {"self": own, **links},
        }


class Trials:
    """Inspects photographs one after the other, and remembers the results for a while."""

    def __init__(self, *, limit_mb: float = LIMIT_MB, life_s: float = LIFE_S) -> None:
        self._limit_mb, self._life_s = limit_mb, life_s
        self._lock = threading.Lock()
        self._trials: OrderedDict[str, Trial] = OrderedDict()
        self._n_waiting = 0
        self._thread = ThreadPoolExecutor(1, "patchbank-tries")
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        """Whether another photograph would be refused."""
        return self._is_closed or self._n_waiting >= MOST_WAITING

    def busy(self) -> ApiError:
        """The error for a photograph that is refused."""
        return ApiError(
            429,
            f"trial: expected fewer than {MOST_WAITING} at once, got one more; send it again in "
            f"{RETRY_S} seconds",
            code="busy",
            retry_s=RETRY_S,
        )

    def start(
        self,
        chosen: Chosen,
        photograph: tuple[str, bytes],
        owner: str,
        max_pixels: int,
    ) -> Future[Trial | FailedInspection]:
        """Let a photograph be inspected.

        Args:
            chosen: what inspects it.
            photograph: its name, and the bytes of the file.
            owner: who may see the result.
            max_pixels: most that its header may state.

        Raises:
            ApiError: 429 where too many wait.
        """

        def work() -> Trial | FailedInspection:
            name, content = photograph
            source = source_within(name, content, max_pixels)
            if isinstance(source, FailedInspection):
                return source
            outcome = next(
                iter(
                    chosen.inspector.inspect_with(
                        iter([source]), lambda one: pictures_of(content, one)
                    )
                )
            )
            if isinstance(outcome, FailedInspection):
                chosen.product_of(outcome)  # raises what is no fault of the photograph
                return outcome
            inspection, pictures = outcome
            product = chosen.product_of(inspection)
            detector = chosen.detector(product)
            trial = Trial(
                id=secrets.token_hex(16),
                owner=owner,
                product=product,
                line=line_of(inspection, chosen.sha256(product)),
                is_rate_known=detector is not None and not detector.calibration.views_of_one,
                pictures=pictures,
                ends=time.monotonic() + self._life_s,
            )
            self._keep(trial)
            return trial

        with self._lock:
            if self.is_full:
                raise self.busy()
            self._n_waiting += 1
            future = self._thread.submit(work)
        future.add_done_callback(self._ended)
        return future

    def find(self, trial_id: str, owner: str) -> Trial:
        """The trial of an id.

        Raises:
            ApiError: 404 where there is none, or it is another caller's.
        """
        with self._lock:
            self._forget_old()
            found = self._trials.get(trial_id)
            if found is None or found.owner != owner:
                raise ApiError(
                    404,
                    "trial: expected the id of an own one of the last "
                    f"{self._life_s / 60:g} minutes, got another; try the photograph again",
                )
            self._trials.move_to_end(trial_id)
            return found

    def tidy(self) -> None:
        """Free the memory of those whose time is over."""
        with self._lock:
            self._forget_old()

    def close(self) -> None:
        """Forget all, and accept no more."""
        with self._lock:
            self._is_closed = True
            self._trials.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _keep(self, trial: Trial) -> None:
        with self._lock:
            self._forget_old()
            self._trials[trial.id] = trial
            while len(self._trials) > 1 and self._mb > self._limit_mb:
                self._trials.popitem(last=False)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for old in [one.id for one in self._trials.values() if one.ends <= now]:
            del self._trials[old]

    def _ended(self, _: Future[Trial | FailedInspection]) -> None:
        with self._lock:
            self._n_waiting -= 1

    @property
    def _mb(self) -> float:
        return sum(one.pictures.n_bytes for one in self._trials.values()) / 1e6
