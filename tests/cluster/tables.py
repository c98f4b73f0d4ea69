"""A detector, photographs of parts, and a table that names them again and again."""

from __future__ import annotations

import pyarrow
import pyarrow.parquet as parquet

from patchbank import PatchCore
from tests.photographs import part, parts, save

N_ROWS = 400


def write_table(root):
    """Write ``d.patchbank``, ``in`` and ``t.parquet``: three rows of a hundred cannot be read."""
    recipe = PatchCore(
        backbone="efficientnet_lite0",
        image_size=64,
        scales=(1.0,),
        bank_limit=60,
        false_alarm_rate=0.2,
    )
    recipe.fit(parts(6)).save(root / "d.patchbank")
    for number in range(8):
        save(root / "in" / f"{number}.png", part(20 + number, defect=9 * (number == 5)))
    (root / "in" / "bad.png").write_bytes(b"no image")
    names = [f"in/{row % 8}.png" if row % 33 else "in/bad.png" for row in range(N_ROWS)]
    parquet.write_table(pyarrow.table({"path": names}), root / "t.parquet", row_group_size=70)
