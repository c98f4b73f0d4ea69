"""Damaged and contradictory detector files: their making, and what comes of opening them."""
