"""From feature maps to a grid of patches, and from patch scores to an anomaly map."""
