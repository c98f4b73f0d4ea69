"""Make overlays.png from what `make demo` leaves in patchbank-demo: two defects and a good cell."""

from pathlib import Path

from PIL import Image

from patchbank import load
from patchbank.datasets.elpv import solar_cells
from patchbank.detector.overlay import draw_overlay

SIDE_PX, GAP_PX = 300, 8


def main() -> None:
    """Inspect three cells and put photograph and overlay of each side by side."""
    detector = load("patchbank-demo/solar-cells.patchbank")
    _, dataset = solar_cells()
    found = sorted(detector.predict([s.path for s in dataset.samples]), key=lambda i: i.score)
    good = next(i for i in found if not i.is_anomalous)
    chosen = [found[-12], found[len(found) * 3 // 4], good]
    sheet = Image.new("RGB", (3 * 2 * SIDE_PX + 5 * GAP_PX, SIDE_PX * 11 // 10), "white")
    for column, inspection in enumerate(chosen):
        photograph = inspection.pixels
        left = column * 2 * (SIDE_PX + GAP_PX)
        plain = Image.fromarray(photograph).resize((SIDE_PX, SIDE_PX))
        overlay = draw_overlay(photograph, inspection)
        overlay.thumbnail((SIDE_PX, 2 * SIDE_PX))
        top = overlay.height - SIDE_PX
        sheet.paste(plain, (left, top))
        sheet.paste(overlay, (left + SIDE_PX + GAP_PX // 2, 0))
    sheet = sheet.crop((0, 0, sheet.width, overlay.height))
    sheet.save(Path(__file__).with_name("overlays.png"), optimize=True)


if __name__ == "__main__":
    main()
