"""From patch distances to the score of an image, its threshold and its p-value."""
