"""From good photographs to a detector: recipes, fit, calibration."""
