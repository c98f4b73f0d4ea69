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
# # Comparing methods
#
# Three methods learn the same forty solar cells, and inspect the same thirty others. Each recipe
# has the same verbs.

# %%
from PIL import Image

from patchbank import SPADE, Dataset, PaDiM, PatchCore, compare, evaluate
from patchbank.datasets.elpv import solar_cells

good, test = solar_cells(draw_defects=True)
kinds = {
    label: [s for s in test.samples if s.label == label][:15] for label in ("good", "defective")
}
cells = Dataset("solar cells", (*kinds["good"], *kinds["defective"]))

# %%
recipes = {
    "PatchCore fast": PatchCore.preset("fast", false_alarm_rate=0.05),
    "PaDiM": PaDiM(false_alarm_rate=0.05),
    "SPADE": SPADE(false_alarm_rate=0.05),
}
detectors, measured = {}, {}
print("                image AUROC  found  flagged")
for name, recipe in recipes.items():
    detectors[name] = recipe.fit(good[:40], groups="none")
    result = measured[name] = evaluate(detectors[name], cells, find_learned=False)
    print(
        f"{name:15} {result.image_auroc:11.3f}  {result.detection_rate:5.0%}"
        f"  {result.false_alarm_rate:7.0%}"
    )

# %% [markdown]
# Thirty cells are few: a difference of 0.05 may be chance, and these defects were drawn at
# random, thin finger interruptions among them, which all methods find hard. On whole sets:
# [plots](../plots.md).
#
# ## The same cell, seen by each

# %%
worst = max(measured["PatchCore fast"].inspections, key=lambda pair: pair[1].score)[0]
pictures = [Image.fromarray(d.predict(worst.path).overlay()) for d in detectors.values()]
row = Image.new("RGB", (sum(p.width for p in pictures) + 16, pictures[0].height), "white")
for number, picture in enumerate(pictures):
    row.paste(picture, (number * (picture.width + 8), 0))
row.resize((900, round(900 * row.height / row.width)))

# %% [markdown]
# From the left: PatchCore, PaDiM, SPADE.
#
# ## Where two of them disagree
#
# `compare` inspects the same photographs with two detectors, as one does before a detector on a
# line is replaced ([guide](../guides/comparing.md)).

# %%
comparison = compare(detectors["PatchCore fast"], detectors["PaDiM"], cells)
print(f"{len(comparison.changed)} of {len(comparison.pairs)} verdicts differ")
print("rank correlation of the scores:", round(comparison.rank_correlation, 3))
for pair in comparison.changed[:8]:
    found_by = "PatchCore" if pair.a.is_anomalous else "PaDiM"
    print(f"{pair.label:10} flagged by {found_by} only")
