"""The terms of a run over many products, which its processes are given as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from patchbank.backbones import Engine
from patchbank.choices import SavedBackbone
from patchbank.images.roi.shapes import shape_from_json
from patchbank.methods import METHODS, Method
from patchbank.settings import Settings
from patchbank.training.choose import AutomaticSettings
from patchbank.training.fit import PhotographChoice
from patchbank.training.interest import Interest


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Settings and circumstances under which every product of a run is fitted."""

    members: tuple[tuple[str, Settings], ...]
    """Name of the method and settings of each member."""
    fixed: frozenset[str] | None = None
    """Settings that are given, where the others are to be chosen; None where all are given."""
    time_limit_s: float | None = None
    choice: PhotographChoice
    """Groups in it are a word or an expression, since each product has its own photographs."""
    device: str
    engine: Engine
    save_backbone: SavedBackbone = "onnx"

    @classmethod
    def of(
        cls, asked: Sequence[tuple[Method, Settings]] | AutomaticSettings, **others: Any
    ) -> Terms:
        """The terms of what a recipe or the command line asks for."""
        members = tuple((method.name, settings) for method, settings in _parts(asked))
        if not isinstance(asked, AutomaticSettings):
            return cls(members=members, **others)
        return cls(members=members, fixed=asked.fixed, time_limit_s=asked.time_limit_s, **others)

    @property
    def asked(self) -> Sequence[tuple[Method, Settings]] | AutomaticSettings:
        """Method and settings of each member, or the request to choose them."""
        parts = [(METHODS[name], settings) for name, settings in self.members]
        if self.fixed is None:
            return parts
        return AutomaticSettings(*parts[0], self.fixed, self.time_limit_s)

    def to_json(self) -> dict[str, Any]:
        """The terms as JSON."""
        choice = self.choice
        return {
            "members": [[name, settings.to_mapping()] for name, settings in self.members],
            "fixed": None if self.fixed is None else sorted(self.fixed),
            "time_limit_s": self.time_limit_s,
            "skip_unreadable": choice.skip_unreadable,
            "exclude": list(choice.exclude),
            "groups": choice.groups,
            "roi": [shape.to_json() for shape in choice.interest.roi],
            "ignore": [shape.to_json() for shape in choice.interest.ignore],
            "keep_crops": choice.keep_crops,
            "device": self.device,
            "engine": asdict(self.engine),
            "save_backbone": self.save_backbone,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Terms:
        """The terms that `to_json` wrote.

        Raises:
            ParameterError: a setting is not one.
        """
        roi, ignore = (tuple(map(shape_from_json, content[name])) for name in ("roi", "ignore"))
        fixed = content["fixed"]
        return cls(
            members=tuple(
                (name, METHODS[name].settings.from_mapping(settings))
                for name, settings in content["members"]
            ),
            fixed=None if fixed is None else frozenset(fixed),
            time_limit_s=content["time_limit_s"],
            choice=PhotographChoice(
                content["skip_unreadable"],
                tuple(content["exclude"]),
                content["groups"],
                Interest(roi, ignore),
                content["keep_crops"],
            ),
            device=content["device"],
            engine=Engine(**content["engine"]),
            save_backbone=content["save_backbone"],
        )


def _parts(
    asked: Sequence[tuple[Method, Settings]] | AutomaticSettings,
) -> Sequence[tuple[Method, Settings]]:
    return asked.parts if isinstance(asked, AutomaticSettings) else asked
