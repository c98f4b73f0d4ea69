"""A fitted detector: what `fit` returns, a file holds, and `predict` runs."""
