"""A detector for each of many products: in processes, resumable, with a page of all of them."""

from patchbank.products.fitting.each import fit_each
from patchbank.products.fitting.record import ProductFit

__all__ = ["ProductFit", "fit_each"]
