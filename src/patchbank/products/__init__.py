"""Many products: a detector for each, and the product that a photograph shows.

`fitting` fits one detector for each of many products, in processes; `routing` finds the product of
a photograph among detectors, without running all of them.
"""
