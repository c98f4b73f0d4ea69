"""Explanations: for each odd spot of a photograph the nearest good patches, and how far they are.

`explain` finds them, `words` says them, `crops` shows them; `pictures` are the small pictures of
learned photographs that travel in the detector file.
"""
