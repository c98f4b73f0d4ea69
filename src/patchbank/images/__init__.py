"""Photographs: list those of a folder, read them, resize them, make augmented copies of them."""
