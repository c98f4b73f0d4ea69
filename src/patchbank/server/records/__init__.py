"""Records of the service: inspections, reviews, detectors, tokens, and what has to be sent."""
