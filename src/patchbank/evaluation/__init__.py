"""Measure a detector on labelled photographs: metrics, evaluation, report."""
