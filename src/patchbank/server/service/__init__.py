"""The HTTP service: routes, roles, inference, and the detectors that it serves."""
