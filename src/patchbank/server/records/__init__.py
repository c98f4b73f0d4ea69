"""What the service remembers: inspections, reviews, detectors, tokens, and what has to be sent."""
