"""Vision GNN (ViG, Han et al., NeurIPS 2022): patches exchange features with similar patches.

`variants` works without torch; the other modules need it.
"""
