"""The verbs: fit, predict, evaluate, demo."""
