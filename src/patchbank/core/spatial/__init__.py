"""From feature maps to a grid of patches, and from patch scores to the pixels of a photograph."""
