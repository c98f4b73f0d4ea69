"""Detectors in other programs' ways: nothing here is imported unless it is asked for by name."""
