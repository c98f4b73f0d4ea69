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
# # A first detector
#
# Learn from photographs of good solar cells, inspect others, and see what was found. The
# photographs are those of the demonstration: electroluminescence pictures of the package
# `elpv-dataset` (CC BY-NC-SA 4.0). This notebook is executed whenever the site is built.

# %%
from PIL import Image

from patchbank import Dataset, PatchCore, evaluate, load
from patchbank.datasets.elpv import solar_cells

good, test = solar_cells()
print(len(good), "good cells to learn,", len(test.samples), "others to inspect")

# %% [markdown]
# ## Learn
#
# A recipe holds the settings, `fit` learns. Forty cells and the preset `fast` are enough to
# begin with. `false_alarm_rate` is the share of good cells that may be flagged. The cells were
# drawn at random, so each is left out alone when the threshold is found: `groups`.

# %%
detector = PatchCore.preset("fast", false_alarm_rate=0.05).fit(good[:40], groups="none")
detector

# %% [markdown]
# ## Keep
#
# Everything is in one file: network, memory bank, threshold. It is opened without running code
# from it.

# %%
detector.save("solar-cells.patchbank")
detector = load("solar-cells.patchbank")

# %% [markdown]
# ## Inspect
#
# One photograph gives one inspection: the verdict, and why it is one.

# %%
cracked = next(sample for sample in test.samples if sample.path.name == "cell0013.png")
seen = detector.predict(cracked.path)
print("anomalous:", seen.is_anomalous)
print(f"score {seen.score:.2f}, threshold {seen.threshold:.2f}, p-value {seen.p_value:.3f}")
for region in seen.regions:
    print(region)

# %%
Image.fromarray(seen.overlay())

# %% [markdown]
# A good cell has the same colours on its map, since they are scaled by the threshold and not by
# the photograph.

# %%
fine = next(sample for sample in test.samples if sample.label == "good")
Image.fromarray(detector.predict(fine.path).overlay())

# %% [markdown]
# ## Measure
#
# Twenty good cells that were not learned, and twenty with defects.

# %%
kinds = {
    label: [s for s in test.samples if s.label == label][:20] for label in ("good", "defective")
}
measured = evaluate(detector, Dataset("solar cells", (*kinds["good"], *kinds["defective"])))
print(f"image AUROC    {measured.image_auroc:.3f}")
print(f"defects found  {measured.detection_rate:.0%}")
print(f"good flagged   {measured.false_alarm_rate:.0%}")

# %% [markdown]
# Another false-alarm rate needs no new fit:

# %%
for rate in measured.by_rate:
    found, flagged = rate.detection_rate, rate.false_alarm_rate
    print(f"asked {rate.asked_rate:5.1%}: finds {found:.0%}, flags {flagged:.0%}")

# %% [markdown]
# Next: [few shots](few_shots.py), [comparing methods](comparing_methods.py), or [the
# threshold](../guides/threshold.md) in depth.
