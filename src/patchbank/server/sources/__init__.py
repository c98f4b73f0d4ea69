"""Photographs come in from watched folders and cameras."""
