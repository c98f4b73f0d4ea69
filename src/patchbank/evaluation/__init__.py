"""How good a detector is on labelled photographs: metrics, evaluation, report."""
