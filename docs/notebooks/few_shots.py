# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Few shots
#
# What can be learned from one, four and sixteen good photographs? The same solar cells as in
# [the first notebook](first_detector.py).

# %%
import warnings

from PIL import Image

from patchbank import CalibrationWarning, Dataset, PatchCore, evaluate
from patchbank.datasets.elpv import solar_cells

good, test = solar_cells()
kinds = {
    label: [s for s in test.samples if s.label == label][:15] for label in ("good", "defective")
}
cells = Dataset("solar cells", (*kinds["good"], *kinds["defective"]))

# %% [markdown]
# ## One photograph promises no rate
#
# With `n` photographs the smallest false-alarm rate that they can show is `1 / (n + 1)`. Below
# that, the threshold is extrapolated, and a `CalibrationWarning` says so.

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", CalibrationWarning)
    one = PatchCore.preset("fast").fit(good[:1])
print(*(warning.message for warning in caught), sep="\n")

# %% [markdown]
# ## More photographs

# %%
warnings.simplefilter("ignore", CalibrationWarning)
print("photographs  image AUROC  found  flagged")
for shots in (1, 4, 16):
    detector = PatchCore.preset("fast", false_alarm_rate=0.05).fit(good[:shots], groups="none")
    measured = evaluate(detector, cells, find_learned=False)
    print(
        f"{shots:11}  {measured.image_auroc:11.3f}  {measured.detection_rate:5.0%}"
        f"  {measured.false_alarm_rate:7.0%}"
    )

# %% [markdown]
# One draw of photographs each, so other draws give other figures: with eight photographs and
# fewer, [the draw decides](../guides/few-photographs.md). Image AUROC says how well scores
# separate; found and flagged say where the threshold lies.
#
# ## The preset for it
#
# `few-shot` learns each photograph in 24 orientations, or turns parts to one position where they
# lie anywhere. Solar cells always lie alike, so it has little to gain here; screws gain 0.4 of
# image AUROC ([plots](../plots.md#few-photographs)).

# %%
detector = PatchCore.preset("few-shot", false_alarm_rate=0.05).fit(good[:2])
measured = evaluate(detector, cells, find_learned=False)
print(f"2 photographs, few-shot: image AUROC {measured.image_auroc:.3f}")

# %%
worst = max(measured.inspections, key=lambda pair: pair[1].score)[1]
Image.fromarray(worst.overlay())
