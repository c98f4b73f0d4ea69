"""`fit_each`: a detector for each of many products, in as many processes as fit this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchbank.backbones import Engine
from patchbank.choices import EngineName, Precision
from patchbank.errors import DataError, ParameterError, PhotographWarning
from patchbank.images.folders import few
from patchbank.images.roi import ShapeInput
from patchbank.images.roi.shapes import MaskFile
from patchbank.products.fitting.found import Product, find_products, photographs_outside
from patchbank.products.fitting.record import (
    RECORDS,
    SUFFIX,
    ProductFit,
    detector_path,
    fit_of,
    photographs_sha256,
    read_record,
    settings_sha256,
)
from patchbank.products.fitting.summary import write_summary
from patchbank.products.fitting.terms import Terms
from patchbank.products.fitting.work import Work
from patchbank.runtime.arguments import RECIPE, of_kind, path_argument
from patchbank.runtime.atomic_file import make_folders, remove_unfinished
from patchbank.runtime.digest import file_sha256
from patchbank.runtime.memory import free_bytes
from patchbank.runtime.progress import Progress, listener
from patchbank.runtime.threads import map_in_order, usable_cores
from patchbank.runtime.torch_device import open_device
from patchbank.runtime.worker_pool import Failure, Pool
from patchbank.training.fit import PhotographChoice
from patchbank.training.groups import AUTO
from patchbank.training.interest import Interest
from patchbank.training.recipes import Learnable, PatchCore, asked_of

WORKER = "patchbank.products.fitting.worker"
USUAL_FIT_BYTES = 1_500_000_000
"""Memory that a fit on a few hundred photographs takes; more processes than have that are slower,
since features go to files."""
SHARE_OF_FREE = 0.9
"""Share of the free memory that all processes have together."""

Finished = Callable[[ProductFit], None]


def fit_each(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    recipe: Learnable | None = None,
    device: str = "auto",
    engine: EngineName = "onnxruntime",
    precision: Precision = "float32",
    progress: Progress | None = None,
    skip_unreadable: bool = False,
    groups: str = AUTO,
    roi: ShapeInput | None = None,
    ignore: ShapeInput | None = None,
    keep_crops: bool = True,
) -> tuple[ProductFit, ...]:
    """Fit one detector for each product: each subfolder of a folder, or category of a table.

    Products are fitted in processes of their own, as many as cores and free memory allow.  One that
    cannot be fitted stops no other.  A product whose detector was fitted with the same photographs
    and settings is kept, so that a run that was stopped goes on where it was.

    Args:
        root: folder with one subfolder a product, each with what `Recipe.fit` takes; or a table.
        out: folder for the detectors, PRODUCT.patchbank each, the page ``index.html`` and
            ``products.json``.
        recipe: how each is learned; None for `PatchCore()`.
        device: as in `Recipe.fit`.
        engine: as in `Recipe.fit`.
        precision: as in `Recipe.fit`.
        progress: shows the products.
        skip_unreadable: as in `Recipe.fit`, for each product.
        groups: a word or an expression, as in `Recipe.fit`, for each product.
        roi: as in `Recipe.fit`, in the photographs of each product.
        ignore: as in `Recipe.fit`, likewise.
        keep_crops: as in `Recipe.fit`.

    Returns:
        The fit of each product, by name; one without a detector has an `error`.

    Raises:
        DataError: there are no products, or the folder cannot be written to.
        ParameterError: settings that cannot be, or no such device, engine or precision.

    Warns:
        PhotographWarning: photographs that belong to no product, or detectors of products that are
            not there any more.
    """
    if not isinstance(groups, str):
        raise ParameterError(
            "groups: expected a word or an expression for the names of many products, got "
            f"{type(groups).__name__}; a table can have a column group"
        )
    chosen = PatchCore() if recipe is None else of_kind("recipe", recipe, Learnable, RECIPE)
    folder, heard = path_argument("out", out), listener(progress)
    terms = Terms.of(
        asked_of(chosen),
        choice=PhotographChoice(skip_unreadable, (), groups, Interest.of(roi, ignore), keep_crops),
        device=device,
        engine=Engine(engine, precision),
    )
    found = Products.below(path_argument("root", root), folder)
    for line in found.notes:
        warnings.warn(line, PhotographWarning, stacklevel=2)
    return found.fitted(terms, heard)


@dataclass(frozen=True, slots=True)
class Products:
    """Products that are to be fitted, and the folder of their detectors."""

    root: Path
    products: Sequence[Product]
    out: Path
    notes: tuple[str, ...] = ()
    """Lines about what belongs to no product."""

    @classmethod
    def below(cls, root: str | os.PathLike[str], out: Path) -> Products:
        """The products below a folder, or in a table.

        Raises:
            DataError: as `find_products`; or the detectors would lie among the photographs.
        """
        path = Path(root)
        products = find_products(path)
        is_inside = Path(os.path.realpath(out)).is_relative_to(os.path.realpath(path))
        if path.is_dir() and is_inside:
            raise DataError(f"out: expected a folder outside of {path}, got {out}")
        return cls(path, products, out, tuple(_notes(path, products, out)))

    def fitted(
        self, terms: Terms, progress: Progress, finished: Finished = lambda fit: None
    ) -> tuple[ProductFit, ...]:
        """Fit all products, write the page, and return the fits by name.

        Args:
            terms: of every fit.
            progress: shows the products.
            finished: called with each product once it is done.

        Raises:
            DataError: the folder cannot be written to.
        """
        device = open_device(terms.device).name
        _make(self.out)
        work, fits = self._planned(terms, progress)
        with progress.task("fitting products", len(self.products)) as advance:

            def add(fit: ProductFit) -> None:
                fits[fit.product] = fit
                finished(fit)
                advance(1)

            for fit in list(fits.values()):
                add(fit)
            n_processes = processes(len(work), is_cpu=device == "cpu")
            share = int(SHARE_OF_FREE * free_bytes() / n_processes)
            jobs = [{"work": one.to_json(), "share_bytes": share} for one in work]
            try:
                with Pool(n_processes, WORKER) as pool:
                    for number, outcome in pool.outcomes(jobs):
                        add(_fit_of(work[number], outcome))
            finally:
                _remove_unfinished(self.out)
        done = tuple(fits[product.name] for product in self.products)
        write_summary(done, self.out)
        return done

    def _planned(
        self, terms: Terms, progress: Progress
    ) -> tuple[list[Work], dict[str, ProductFit]]:
        """Work that is to be done, and the products that are done, or cannot be fitted."""
        same = settings_sha256(_plain(terms))
        work: list[Work] = []
        fits: dict[str, ProductFit] = {}

        def planned(product: Product) -> Work | ProductFit:
            if product.error is not None or product.found is None:
                return ProductFit(product=product.name, error=product.error)
            base = self.root if self.root.is_dir() else self.root.parent
            digest = settings_sha256([same, photographs_sha256(product.found, base)])
            return _kept(product, self.out, digest) or Work(
                product=product.name,
                found=product.found,
                out=self.out,
                fit_sha256=digest,
                terms=terms,
            )

        with progress.task("looking for changes", len(self.products)) as advance:
            for product, future in map_in_order(planned, self.products, lambda product: 0):
                found = future.result()
                if isinstance(found, Work):
                    work.append(found)
                else:
                    fits[product.name] = found
                advance(1)
        return work, fits


def processes(n_products: int, *, is_cpu: bool) -> int:
    """Number of processes: no more than products, cores, and usual fits that memory has room for.

    A GPU computes for one at a time.
    """
    if not is_cpu:
        return 1
    return max(1, min(n_products, usable_cores(), free_bytes() // USUAL_FIT_BYTES))


def _kept(product: Product, out: Path, digest: str) -> ProductFit | None:
    """The fit of an earlier run, if it is the same; an error, if its detector was changed since."""
    record, file = read_record(out, product.name), detector_path(out, product.name)
    if record is None or not file.is_file():
        return None
    try:
        is_own = file_sha256(file) == record["file_sha256"]
    except OSError as error:
        message = f"{file}: expected a detector that can be read, got: {error.strerror}"
        return ProductFit(product=product.name, error=message)
    if not is_own:
        return ProductFit(
            product=product.name,
            error=f"{file}: expected the detector that was fitted, got one that was changed since, "
            "by an update for example; move it to another folder to have it fitted anew",
        )
    return fit_of(record, out, is_kept=True) if record["fit_sha256"] == digest else None


def _fit_of(work: Work, outcome: dict[str, Any] | Failure) -> ProductFit:
    if isinstance(outcome, Failure):
        return ProductFit(product=work.product, error=outcome.reason)
    return fit_of(outcome, work.out, is_kept=False)


def _plain(terms: Terms) -> list[Any]:
    """Plain values of all that decides how a product is fitted, but for its photographs.

    Files keep their names when their contents change, so that their digests count.
    """
    interest = terms.choice.interest
    names = [
        *(name for _, settings in terms.members for name in (settings.backbone, settings.weights)),
        *(one.path for one in (*interest.roi, *interest.ignore) if isinstance(one, MaskFile)),
    ]
    files = [Path(name) for name in names if name is not None]
    return [
        {**terms.to_json(), "device": None},
        [file_sha256(file) if file.is_file() else None for file in files],
    ]


def _notes(root: Path, products: Sequence[Product], out: Path) -> list[str]:
    notes = []
    outside = photographs_outside(root)
    if outside:
        is_one = outside == 1
        notes.append(
            f"{outside} photograph{'' if is_one else 's'} in {root} itself "
            f"{'belongs' if is_one else 'belong'} to no product: only subfolders are learned"
        )
    names = {product.name for product in products}
    others = sorted(path.stem for path in out.glob(f"*{SUFFIX}") if path.stem not in names)
    if others:
        notes.append(
            f"{len(others)} detector{'' if len(others) == 1 else 's'} in {out} "
            f"of products that are not in {root.name}: {few(others, 'product')}"
        )
    return notes


def _make(out: Path) -> None:
    try:
        make_folders(out / RECORDS)
    except OSError as error:
        raise DataError(
            f"out: expected a folder that can be written to, got {out} ({error.strerror})"
        ) from None
    _remove_unfinished(out)


def _remove_unfinished(out: Path) -> None:
    """Remove what processes that were ended have left."""
    remove_unfinished.cache_clear()
    for folder in (out, out / RECORDS):
        remove_unfinished(folder)
