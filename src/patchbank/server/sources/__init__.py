"""Photographs come in here without HTTP: watched folders and cameras."""
