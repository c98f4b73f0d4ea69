"""Everything that hands photographs in, or takes results out, besides HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from patchbank.errors import ParameterError
from patchbank.server.intake import Intake
from patchbank.server.outbox.channels import ChannelContext, ChannelSpec, KeptPhotograph, secret_of
from patchbank.server.outbox.delivery import Outbox
from patchbank.server.outbox.folder import FOLDERS
from patchbank.server.outbox.opening import open_channels
from patchbank.server.records.pictures import Pictures
from patchbank.server.records.store import Records
from patchbank.server.service.metrics import Metrics
from patchbank.server.sources.keys import TriggerKeys
from patchbank.server.sources.separation import check_separate
from patchbank.server.sources.watch import Watch, WatchSettings

MQTT = "mqtt"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSettings:
    """Channels, watched folders and cameras, as they were asked for."""

    channels: Sequence[str] = ()
    """Texts of `--channel`."""
    outbox_limit: int = 100_000
    """Messages that may wait for a channel."""
    watch: Sequence[str] = ()
    """Texts of `--watch`."""
    watch_done: Path | None = None
    data: Path | None = None
    """Folder of the service, in which it keeps pictures."""
    cameras: Sequence[str] = ()
    """Texts of `--camera`."""


class Outlets:
    """The outbox with its channels."""

    def __init__(self, settings: EndSettings, records: Records, pictures: Pictures) -> None:
        """Open the channels; see `opening.open_channels`."""
        self.specs = [ChannelSpec.parse(text) for text in settings.channels]

        def photograph(number: int) -> KeptPhotograph | None:
            found = records.inspection(number)
            if found is None or found.photograph is None:
                return None
            content = pictures.read(found.photograph)
            suffix = f".{found.photograph.rpartition('.')[2]}"
            return None if content is None else KeptPhotograph(suffix, content)

        context = ChannelContext(instance=records.instance, photograph=photograph)
        opened = open_channels(self.specs, context)
        self.outbox = Outbox(records, opened, limit=settings.outbox_limit)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.outbox.channels

    def measure(self, metrics: Metrics) -> None:
        """Add the figures of each channel."""
        for name, text in (
            ("waiting", "Messages that wait."),
            ("delivered", "Messages that were delivered."),
            ("failures", "Attempts that failed."),
            ("refused", "Messages that the receiver refuses."),
            ("dropped", "Messages dropped beyond the limit."),
        ):
            metrics.gauge_by(
                f"outbox_{name}",
                text,
                {channel: partial(self._figure, at, name) for at, channel in enumerate(self.names)},
            )

    def _figure(self, at: int, name: str) -> float:
        return float(getattr(self.outbox.states()[at], name))

    def close(self) -> None:
        """Stop; what waits is sent by the next process."""
        self.outbox.close()


class Sources:
    """Watched folders and cameras."""

    def __init__(
        self,
        settings: EndSettings,
        intake: Intake,
        records: Records,
        channels: Sequence[ChannelSpec],
        max_bytes: int,
    ) -> None:
        """Make them; `start` begins.

        Raises:
            ParameterError: an option is not of its form, a folder or OpenCV is not there, or
                folders lie in each other.
        """
        if settings.watch_done is not None and not settings.watch:
            raise ParameterError("--watch-done: expected with --watch, got no watched folder")
        watched = {
            f"watch {text}": WatchSettings.parse(text, settings.watch_done, max_bytes=max_bytes)
            for text in settings.watch
        }
        check_separate(list(watched.values()), _written(settings, channels))
        self.watches = {name: Watch(intake, records, each) for name, each in watched.items()}
        self.cameras: dict[str, Any] = {}
        self._triggers: list[Any] = []
        if settings.cameras:
            self._open_cameras(settings.cameras, intake, records, channels)

    def _open_cameras(
        self,
        texts: Sequence[str],
        intake: Intake,
        records: Records,
        channels: Sequence[ChannelSpec],
    ) -> None:
        from patchbank.server.sources.camera import Camera, CameraSettings

        keys = TriggerKeys(records)
        for text in texts:
            camera = Camera(intake, CameraSettings.parse(text), keys)
            self.cameras[camera.settings.name] = camera
        brokers = [spec for spec in channels if spec.kind == MQTT]
        if brokers:
            from patchbank.server.sources.trigger import MqttTriggers

            cameras = list(self.cameras.values())
            for spec in brokers:
                password = secret_of(spec.name, "password")
                self._triggers.append(
                    MqttTriggers(spec.target, password, cameras, records.instance)
                )

    @property
    def products(self) -> list[str]:
        """Products whose photographs they take."""
        cameras = [camera.settings.product for camera in self.cameras.values()]
        return [*(watch.state.product for watch in self.watches.values()), *cameras]

    def start(self) -> None:
        """Begin."""
        for part in (*self.watches.values(), *self.cameras.values(), *self._triggers):
            part.start()

    def close(self, wait_s: float) -> None:
        """Stop after what was handed in."""
        for trigger in self._triggers:
            trigger.close()
        end = time.monotonic() + wait_s
        for part in (*self.cameras.values(), *self.watches.values()):
            part.close(max(end - time.monotonic(), 0.1))


def _written(settings: EndSettings, channels: Sequence[ChannelSpec]) -> Iterator[tuple[str, Path]]:
    """Yield folders that photographs are written to, with the option of each."""
    if settings.data is not None:
        yield "--data", settings.data / "pictures"
    for spec in channels:
        if spec.kind == "folder":
            for name in FOLDERS.values():
                yield f"--channel {spec.name}", Path(spec.target) / name
