"""Vision GNN (ViG): patches exchange features with those most like them, wherever they lie.

Han et al., NeurIPS 2022.  `variants` needs no torch; the rest of this package does.
"""
