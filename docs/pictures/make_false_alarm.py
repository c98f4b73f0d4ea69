"""Make false_alarm.png: a plate with a stamp that is allowed, and others after the correction.

The photographs are those of `make_roi`: drawn, nothing is downloaded.
"""

from pathlib import Path

import numpy as np
from make_roi import HEIGHT, LABEL, MARGIN_PX, ROI, WIDTH, photograph
from PIL import Image, ImageDraw, ImageFilter

from patchbank import PatchCore
from patchbank.detector.overlay import draw_overlay

STAMP = (330, 146)
"""Left and top of the stamp."""


def stamped(image: np.ndarray) -> np.ndarray:
    """The photograph with an inspector's stamp on the plate."""
    ink = Image.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(ink)
    left, top = STAMP
    draw.ellipse([left, top, left + 40, top + 40], outline=255, width=4)
    draw.text((left + 9, top + 9), "QC", fill=255, font_size=18)
    share = np.asarray(ink.filter(ImageFilter.GaussianBlur(1)), dtype=np.float32)[..., None] / 255
    return np.rint(image * (1 - share) + share * (40, 60, 140)).astype(np.uint8)


def main() -> None:
    """Fit, say that the stamp is normal, and put the overlays side by side."""
    good = [photograph(seed) for seed in range(24)]
    flagged, other, scratched = (
        stamped(photograph(seed, scratch=scratch))
        for seed, scratch in ((100, False), (104, False), (103, True))
    )
    recipe = PatchCore.preset("fast", false_alarm_rate=0.05)
    detector = recipe.fit(good, roi=ROI, ignore=LABEL)
    inspection = detector.predict(flagged)
    corrected = detector.updated(normal=inspection, reason="stamps are allowed")
    drawn = [
        draw_overlay(flagged, inspection),
        draw_overlay(other, corrected.predict(other)),
        draw_overlay(scratched, corrected.predict(scratched)),
    ]
    sheet = Image.new("RGB", (3 * WIDTH + 2 * MARGIN_PX, drawn[0].height), "white")
    for column, picture in enumerate(drawn):
        sheet.paste(picture, (column * (WIDTH + MARGIN_PX), sheet.height - picture.height))
    sheet.save(Path(__file__).with_name("false_alarm.png"), optimize=True)


if __name__ == "__main__":
    main()
