"""A detector in a line, and as a table of a notebook."""

from __future__ import annotations

from patchbank.detector.inspector import Inspector
from patchbank.detector.notebook import html_table


class Described(Inspector):
    """The base of `Detector` with its texts for people."""

    __slots__ = ()

    def __repr__(self) -> str:
        parts = self._parts()
        return (
            f"<Detector {' + '.join(self._member_names())}, {len(parts.fitted_on)} good images, "
            f"threshold {parts.calibration.threshold:.4g}, sha256 {self.sha256[:12]}>"
        )

    def _repr_html_(self) -> str:
        parts = self._parts()
        rows = {
            "members": ", ".join(self._member_names()),
            "good images": len(parts.fitted_on),
            "threshold": f"{parts.calibration.threshold:.4g}",
            "false-alarm rate": f"{parts.calibration.false_alarm_rate:g}",
            "sha256": self.sha256,
        }
        return html_table(parts.card.title or "Detector", rows)

    def _member_names(self) -> list[str]:
        members = self._parts().members
        return [f"{member.method} on {member.extractor.info.name}" for member in members]
