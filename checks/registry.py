"""Which checks are there, to which products do they apply, and which thresholds do they use?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from checks.folder import Product
from checks.result import Outcome, Result, Status, skipped
from manifests import Limit

Limits = Mapping[str, Limit]
Predicate = Callable[[Product, Limits], Outcome]
Applies = Callable[[Product], bool]

FAMILIES: Final = (
    *("checks.integrity", "checks.structure", "checks.physics", "checks.combine", "checks.noise"),
    *("checks.apertures", "checks.difference", "checks.imaging", "checks.recovery"),
    "checks.kinematics",
    "checks.shockgrid",
    "checks.shocks",
    "checks.campaign",
    "checks.convergence",
)


@dataclass(frozen=True)
class Check:
    """One predicate over a product, with its name and the thresholds it asks for.

    Attributes
    ----------
    name : str
        ``family.name``.
    question : str
        What it asks, in one line (the first line of the function's docstring).
    limits : tuple of str
        The rows of acceptance.toml that it uses.
    applies : callable
        Whether it is meant for a product.
    predicate : callable
        The function itself.
    reads : bool
        Whether it needs the file to be readable.
    """

    name: str
    question: str
    limits: tuple[str, ...]
    applies: Applies
    predicate: Predicate
    reads: bool = True

    def __call__(self, product: Product, limits: Limits) -> Result:
        """Judge one product.

        Parameters
        ----------
        product : Product
            The file, or the folder as a whole.
        limits : mapping of str to Limit
            The thresholds; only those that the check declares are handed on.
        """
        mine = {name: limits[name] for name in self.limits}
        if self.reads and product.facts is None:
            outcome = skipped("the file cannot be read", "see integrity.readable")
        else:
            outcome = self.predicate(product, mine)
        return Result(check=self.name, product=product.name, **vars(outcome))

    def broken(self, product: Product, error: Exception) -> Result:
        """Say that the check itself failed to work on a product."""
        return Result(
            check=self.name,
            product=product.name,
            status=Status.ERROR,
            detail=f"the check broke: {type(error).__name__}: {error}",
            remedy="report this as a defect of the check; the product is not thereby good",
        )


_CHECKS: dict[str, Check] = {}


def check(
    name: str, applies: Applies, limits: tuple[str, ...] = (), *, reads: bool = True
) -> Callable[[Predicate], Predicate]:
    """Enter a predicate into the registry.

    Parameters
    ----------
    name : str
        ``family.name``, once.
    applies : callable
        Whether it is meant for a product.
    limits : tuple of str
        The rows of acceptance.toml that it uses.
    reads : bool
        Whether it needs the file to be readable; if so, it is skipped for one that is not.
    """

    def enter(predicate: Predicate) -> Predicate:
        if name in _CHECKS:
            raise ValueError(f"two checks are called '{name}'")
        question = (predicate.__doc__ or "").strip().partition("\n")[0]
        _CHECKS[name] = Check(name, question, limits, applies, predicate, reads)
        return predicate

    return enter


def all_checks() -> tuple[Check, ...]:
    """Give every check, family by family, in the order of `FAMILIES`."""
    for family in FAMILIES:
        import_module(family)
    order = [family.rpartition(".")[-1] for family in FAMILIES]
    return tuple(sorted(_CHECKS.values(), key=lambda c: order.index(c.name.partition(".")[0])))


# ---- what a check can be meant for


def any_file(product: Product) -> bool:
    """Mean every file."""
    return not product.is_folder


def whole_folder(product: Product) -> bool:
    """Mean the folder as a whole."""
    return product.is_folder


def fits_file(product: Product) -> bool:
    """Mean every FITS file, by content or by name."""
    return product.format == "FITS" or ".fits" in product.path.suffixes


def in_layer(product: Product) -> bool:
    """Mean every product of a layer."""
    return product.layer is not None


def of_kind(kind: str, *products: str) -> Applies:
    """Mean products with this content, and of these names (``linemap``) where any are given."""

    def applies(product: Product) -> bool:
        meant = not products or product.product in products
        return product.layer is not None and product.kind == kind and meant

    return applies
