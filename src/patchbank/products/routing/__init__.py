"""The product that a photograph shows: found among detectors, without running all of them."""

from patchbank.products.routing.router import Router

__all__ = ["Router"]
