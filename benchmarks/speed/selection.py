"""How much faster is the selection than others, and are the picks those of exact arithmetic?

    python benchmarks/speed/selection.py                          # 164,000 x 152, 4,000 centres
    python benchmarks/speed/selection.py --peers .venv-peers/bin/python     # and anomalib, 6 min

Against three loops: the oracle of the tests (differences in float64; timed for a few centres and
scaled, since every centre costs the same); the fastest form of the loop (one float32 matrix-vector
product a centre, with the norms kept), run whole for its time; and that form in float64, run whole
for its centres.  With --peers also against anomalib's KCenterGreedy with its own random projection,
in a process of its own on the same points: our runs stand before and after its one.  It makes
other centres (it projects, and starts at random), so only ours are compared with the oracle.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from contract import Run, arguments, matrix_product_gflops, measured, summary
from naive_greedy import one_at_a_time
from peer_processes import Answer, Side, sides, times
from synthetic import drawn

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.oracles.coreset import greedy

from patchbank.types import Features, Indices

ORACLE_PICKS = 12


def against_loops(features: Features, rows: Indices, ours_s: float) -> dict[str, Any]:
    """Times of the loops, and how many centres they share with ours."""
    picks, start = len(rows), int(rows[0])
    oracle, (first, _) = measured(lambda: greedy(features, ORACLE_PICKS, start), repeats=1)
    loop, rounded = measured(lambda: one_at_a_time(features, picks, start), repeats=1, warm_up=0)
    exact = one_at_a_time(features.astype(np.float64), picks, start)
    oracle_s = oracle.median_s * picks / ORACLE_PICKS
    return {
        "oracle_s_scaled": oracle_s,
        "times_faster_than_oracle": oracle_s / ours_s,
        "first_picks_of_oracle_equal": first == rows[:ORACLE_PICKS].tolist(),
        "one_at_a_time_s": loop.median_s,
        "times_faster_than_one_at_a_time": loop.median_s / ours_s,
        "picks_of_float64_loop_equal_in_order": int((exact == rows).sum()),
        "picks_of_float32_loop_equal_in_order": int((rounded == rows).sum()),
        "same_set_as_float64_loop": set(exact.tolist()) == set(rows.tolist()),
    }


def of_anomalib(side: Side, picks: int, timed_picks: int) -> dict[str, Any]:
    """Seconds of anomalib: those of `timed_picks`, extrapolated to all centres."""
    side.run(picks=8)  # warm up
    tenth = max(1, timed_picks // 10)
    short, long = side.run(picks=tenth), side.run(picks=timed_picks)
    a_pick_s = (long.seconds - short.seconds) / (timed_picks - tenth)
    return {
        "seconds": long.seconds + a_pick_s * (picks - timed_picks),
        "scaled": timed_picks < picks,
        "timed_s": {str(tenth): short.seconds, str(timed_picks): long.seconds},
        "ms_a_pick": 1e3 * a_pick_s,
        "projected_dims": long.facts["projected_dims"],
    }


def in_turn(given: argparse.Namespace, features: Features) -> tuple[list[Answer], dict[str, Any]]:
    """Our answers, and what is written of both sides; half of our runs come after anomalib's."""
    pythons = {"patchbank": sys.executable, **({"anomalib": given.peers} if given.peers else {})}
    written: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "features.npy", features)
        with sides(pythons, "selection", Path(name)) as started:
            ours = started["patchbank"]
            ours.run(picks=given.picks)  # warm up
            before = given.repeats // 2 if given.peers else given.repeats
            answers = [ours.run(picks=given.picks) for _ in range(before)]
            if given.peers:
                timed_picks = min(given.peer_picks or given.picks, given.picks)
                written["anomalib"] = of_anomalib(started["anomalib"], given.picks, timed_picks)
                answers += [ours.run(picks=given.picks) for _ in range(given.repeats - before)]
                ratios = [written["anomalib"]["seconds"] / answer.seconds for answer in answers]
                written["times_faster_than_anomalib"] = summary(ratios)
            versions = {name: side.versions for name, side in started.items()}
    return answers, {"versions": versions, "ours": times(answers).to_json(), **written}


def main() -> None:
    """Measure and write selection.json, or selection_beside_peers.json."""
    parser = arguments(__doc__, peers="anomalib")
    parser.add_argument("--rows", type=int, default=164_000)
    parser.add_argument("--dims", type=int, default=152)
    parser.add_argument("--picks", type=int, default=4_000)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--peer-picks", type=int, help="time so many, and scale; else all of them")
    run = Run(__file__, __doc__, given := parser.parse_args())
    features = drawn(given.rows, given.dims)
    peak_before = matrix_product_gflops()
    answers, results = in_turn(given, features)
    peak = max(peak_before, matrix_product_gflops())
    median = results["ours"]["median_s"]
    gflops = 2 * given.rows * given.dims * given.picks / median / 1e9
    results |= {"gflops": gflops, "matrix_product_gflops": peak, "share_of_peak": gflops / peak}
    rows = np.array(answers[0].facts["rows"])
    results["against_loops"] = against_loops(features, rows, median)
    run.write(results)


if __name__ == "__main__":
    main()
