"""Are the bytes the ones that were written, in a form that loses nothing?"""

import warnings
from typing import Final

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from ard.integrity import verify
from ard.sums import is_safe_name
from checks.folder import BUNDLE, Product
from checks.load import opened
from checks.registry import Limits, any_file, check, fits_file, whole_folder
from checks.result import Outcome, failed, passed

LOSSLESS: Final = frozenset({"GZIP_1", "GZIP_2", "NOCOMPRESS"})
SAFE: Final = "lower-case letters, digits and ._+-, beginning with a letter or digit; no link"
AGAIN: Final = "make the product again, or fetch it again and compare its sha256"


def bundle_folder(product: Product) -> bool:
    """Mean a bundle as a whole."""
    return whole_folder(product) and product.folder.kind == BUNDLE


@check("integrity.readable", any_file, reads=False)
def readable(product: Product, _: Limits) -> Outcome:
    """Is the file whole, and of the format that its name promises?"""
    if product.facts is None:
        return failed(" ".join(product.problem.split()), AGAIN)
    return passed(f"{product.format}, {product.facts['size']} bytes")


@check("integrity.names", any_file, reads=False)
def names(product: Product, _: Limits) -> Outcome:
    """Is the name safe everywhere, and is the file a file and not a link?"""
    if product.in_archive:
        return passed("a member of an archive, of which only plain ones with safe names are read")
    unsafe = [part for part in product.name.split("/") if not is_safe_name(part)]
    if product.path.resolve() != product.folder.base.resolve() / product.name:
        return failed("the file is a link", "put the file itself there", limit=SAFE)
    if unsafe:
        found = ", ".join(map(ascii, unsafe))
        return failed(f"unsafe name: {found}", "rename it", measured=found, limit=SAFE)
    return passed("safe name, plain file")


@check("integrity.checksum", fits_file)
def checksum(product: Product, _: Limits) -> Outcome:
    """Does every HDU carry CHECKSUM and DATASUM, and are they right?"""
    facts = product.facts or {}
    bare = [hdu["name"] for hdu in facts.get("hdus", ()) if not hdu["checksum"]]
    if bare:
        return failed(f"no checksum in {', '.join(bare)}", "write it with ard.write", limit="all")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AstropyUserWarning)
        with fits.open(product.path, memmap=False, checksum=True) as hdus:
            count = len(hdus)
    wrong = [str(w.message).strip() for w in caught if "verification failed" in str(w.message)]
    if wrong:
        return failed("; ".join(wrong), AGAIN, measured=len(wrong), limit="none wrong")
    return passed(f"{count} HDUs verified")


@check("integrity.compression", fits_file)
def compression(product: Product, _: Limits) -> Outcome:
    """Is every image stored without loss?"""
    lossy = []
    with opened(product.path, raw=True) as hdus:
        for hdu in hdus:
            method = str(hdu.header.get("ZCMPTYPE", "NOCOMPRESS")).strip()
            columns = getattr(hdu, "columns", None)
            # ZSCALE decides: astropy 7 writes ZQUANTIZ for images that it did not quantise.
            scaled = "ZSCALE" in hdu.header or (columns is not None and "ZSCALE" in columns.names)
            if method not in LOSSLESS or scaled:
                lossy.append(f"{hdu.name} ({method}{', quantised' if scaled else ''})")
    if lossy:
        remedy = "write it plain, or with GZIP_2 and one tile a channel"
        allowed = "plain, GZIP_1 or GZIP_2 without quantisation"
        return failed(f"may have lost values: {', '.join(lossy)}", remedy, limit=allowed)
    return passed("nothing is quantised")


@check("integrity.bundle", bundle_folder)
def bundle(product: Product, _: Limits) -> Outcome:
    """Is every file of the bundle listed, present, and of the listed size and sha256?"""
    findings = verify(product.path, "full")
    if findings:
        detail = "; ".join(map(str, findings))
        return failed(detail, AGAIN, measured=len(findings), limit="no finding")
    return passed(f"{len(product.folder.files)} files as listed")
