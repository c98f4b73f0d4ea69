"""Exact nearest neighbours with an int8 lower bound."""
