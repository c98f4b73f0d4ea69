"""Results leave here: each is delivered at least once, in order, over restarts."""
