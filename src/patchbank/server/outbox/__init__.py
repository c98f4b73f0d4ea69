"""Results leave by channels: at least once, in order, over restarts."""
