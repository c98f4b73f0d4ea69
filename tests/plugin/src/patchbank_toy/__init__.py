"""A method and a backbone for Patchbank, found by their entry points."""
