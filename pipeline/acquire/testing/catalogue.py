"""What does the archive's catalogue list: observations, products, and facts about single files?

As in the real catalogue, a product is listed under every observation that is made of it, and among
the products are many that a study does not want.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.acquire.testing.files import PUBLIC, ArchiveFile

type Row = dict[str, Any]

_FIRST_ID: Final = 90_000_000
_COMBINED: Final = 3
_PARENTS: Final = 2  # under how many more observations a product is listed
_INGESTED_MJD: Final = 60990.25
_CORNER: Final = re.compile(r"-?\d+\.?\d*")

# Columns and their types, as the portal calls them.
OBSERVATION: Final[Mapping[str, str]] = {
    "intentType": "string", "obs_collection": "string", "provenance_name": "string",
    "instrument_name": "string", "project": "string", "filters": "string",
    "wavelength_region": "string", "target_name": "string", "target_classification": "string",
    "obs_id": "string", "s_ra": "float", "s_dec": "float", "dataproduct_type": "string",
    "proposal_pi": "string", "calib_level": "int", "t_min": "float", "t_max": "float",
    "t_exptime": "float", "em_min": "float", "em_max": "float", "obs_title": "string",
    "t_obs_release": "float", "proposal_id": "string", "proposal_type": "string",
    "sequence_number": "int", "s_region": "string", "jpegURL": "string", "dataURL": "string",
    "dataRights": "string", "mtFlag": "boolean", "srcDen": "float", "obsid": "string",
    "objID": "string",
}  # fmt: skip
PRODUCT: Final[Mapping[str, str]] = {
    "obsID": "string", "obs_collection": "string", "dataproduct_type": "string",
    "obs_id": "string", "description": "string", "type": "string", "dataURI": "string",
    "productType": "string", "productGroupDescription": "string",
    "productSubGroupDescription": "string", "productDocumentationURL": "string",
    "project": "string", "prvversion": "string", "proposal_id": "string",
    "productFilename": "string", "size": "int", "parent_obsid": "string", "dataRights": "string",
    "calib_level": "int",
}  # fmt: skip
FILE: Final[Mapping[str, str]] = {
    "filename": "string", "fileSetName": "string", "productLevel": "string", "program": "string",
    "exp_type": "string", "is_imprt": "string", "bkgdtarg": "string", "patt_num": "int",
    "gwa_xtil": "float", "gwa_ytil": "float", "cal_ver": "string", "cal_vcs": "string",
    "crds_ctx": "string", "crds_ver": "string", "sdp_ver": "string", "fileSize": "long",
    "checksum": "string", "ingestStartDate_mjd": "float", "ingestCompletionDate_mjd": "float",
    "publicReleaseDate_mjd": "float", "isRestricted": "boolean", "isStale": "boolean",
    "FileSetId": "long", "dataURI": "string",
}  # fmt: skip


@dataclass(frozen=True)
class Extra:
    """A product that no study asks for: preview, association, uncalibrated data."""

    owner: ArchiveFile
    name: str
    product_type: str
    subgroup: str
    kind: str

    @property
    def uri(self) -> str:
        """Its address."""
        return f"mast:{self.owner.collection}/product/{self.name}"

    @property
    def data(self) -> bytes:
        """Its bytes; they show nothing."""
        return hashlib.sha256(self.name.encode()).digest() * 40


@dataclass(frozen=True)
class Catalogue:
    """The rows of the three tables, and the extra products by their address."""

    observations: tuple[Row, ...]
    products: tuple[Row, ...]
    files: tuple[Row, ...]
    extras: Mapping[str, Extra]


def build(files: Iterable[ArchiveFile], *, duplicates: bool = True) -> Catalogue:
    """What does the catalogue say about these files?

    Parameters
    ----------
    files : iterable of ArchiveFile
    duplicates : bool
        Whether products are listed under several observations, among unwanted ones.
    """
    known = sorted(files, key=lambda file: file.uri)
    by_observation: dict[tuple[str, str, str], list[ArchiveFile]] = {}
    for file in known:
        by_observation.setdefault((file.collection, file.program, file.obs_id), []).append(file)
    ids = {key: str(_FIRST_ID + k) for k, key in enumerate(by_observation)}
    extras = [extra for file in known for extra in _extras(file)] if duplicates else []
    products: list[Row] = []
    items: list[ArchiveFile | Extra] = [*known, *extras]
    for number, item in enumerate(items):
        own = _key(item if isinstance(item, ArchiveFile) else item.owner)
        parents = _parents(own, number, by_observation) if duplicates else []
        products += [_product(item, ids[own], ids[key]) for key in (own, *parents)]
    return Catalogue(
        observations=tuple(_observation(ids[key], own) for key, own in by_observation.items()),
        products=tuple(products),
        files=tuple(_file(file, k) for k, file in enumerate(known) if file.collection == "JWST"),
        extras={extra.uri: extra for extra in extras},
    )


def _key(file: ArchiveFile) -> tuple[str, str, str]:
    return file.collection, file.program, file.obs_id


def _parents(
    own: tuple[str, str, str],
    number: int,
    observations: Mapping[tuple[str, str, str], list[ArchiveFile]],
) -> list[tuple[str, str, str]]:
    """Choose the other observations that a product is listed under, combined ones first."""
    others = [key for key in observations if key[:2] == own[:2] and key != own]
    combined = [k for k in others if any(f.calib_level == _COMBINED for f in observations[k])]
    pool = combined or others
    return list(dict.fromkeys(pool[(number + k) % len(pool)] for k in range(_PARENTS) if pool))


def _extras(file: ArchiveFile) -> list[Extra]:
    stem = file.name.removesuffix(".fits")
    found = [Extra(file, f"{stem}.jpg", "PREVIEW", f"Preview {file.subgroup}", "D")]
    if file.subgroup == "CAL":
        found.append(Extra(file, f"{file.obs_id}_rate.fits", "SCIENCE", "RATE", "S"))
    if file.subgroup == "FLC":
        found.append(Extra(file, f"{file.obs_id}_flt.fits", "SCIENCE", "FLT", "S"))
    if file.calib_level == _COMBINED:
        found.append(Extra(file, f"{stem}_asn.json", "INFO", "ASN", "S"))
    return found


def _keyword(files: Iterable[ArchiveFile], *keys: str) -> Any:
    """Give the first of these keywords that one of the files has."""
    found = (file.keywords[key] for file in files for key in keys if key in file.keywords)
    return next(found, None)


def _observation(obsid: str, files: list[ArchiveFile]) -> Row:
    first = files[0]
    ra, dec = _place(files)
    instrument = str(_keyword(files, "INSTRUME") or "")
    cube = any(file.subgroup == "S3D" for file in files)
    known = {
        "intentType": "science",
        "obs_collection": first.collection,
        "provenance_name": _pipeline(first),
        # The archive has renamed instruments before: nothing should depend on it.
        "instrument_name": {"NIRSPEC": "NIRSPEC/IFU", "WFC3": "WFC3/UVIS"}.get(instrument, ""),
        "project": first.collection,
        "filters": str(_keyword(files, "FILTER") or ""),
        "target_name": str(_keyword(files, "TARGNAME") or "RBH-1"),
        "obs_id": first.obs_id,
        "s_ra": ra,
        "s_dec": dec,
        "dataproduct_type": "cube" if cube else "image",
        "calib_level": max(file.calib_level for file in files),
        "t_min": _keyword(files, "EXPSTART"),
        "t_max": _keyword(files, "EXPEND"),
        "t_exptime": _keyword(files, "EFFEXPTM", "EXPTIME"),
        "t_obs_release": _INGESTED_MJD,
        "proposal_id": first.program,
        "s_region": str(_keyword(files, "S_REGION") or ""),
        "dataURL": first.uri,
        "dataRights": next((f.rights for f in files if f.rights != PUBLIC), PUBLIC),
        "mtFlag": False,
        "obsid": obsid,
        "objID": obsid,
    }
    return {column: known.get(column) for column in OBSERVATION}


def _place(files: list[ArchiveFile]) -> tuple[float | None, float | None]:
    ra, dec = _keyword(files, "TARG_RA", "RA_TARG"), _keyword(files, "TARG_DEC", "DEC_TARG")
    if ra is not None and dec is not None:
        return float(ra), float(dec)
    numbers = [float(text) for text in _CORNER.findall(str(_keyword(files, "S_REGION") or ""))]
    if len(numbers) < 2:
        return None, None
    return (sum(numbers[::2]) / len(numbers[::2]), sum(numbers[1::2]) / len(numbers[1::2]))


def _pipeline(file: ArchiveFile) -> str:
    return "HAP" if file.name.startswith("hst_") else f"CAL{file.collection}"


def _product(item: ArchiveFile | Extra, own: str, parent: str) -> Row:
    file, kind = (item, "S") if isinstance(item, ArchiveFile) else (item.owner, item.kind)
    size = item.size if isinstance(item, ArchiveFile) else len(item.data)
    wanted = isinstance(item, ArchiveFile) and item.calib_level == _COMBINED
    known = {
        "obsID": own,
        "obs_collection": file.collection,
        "dataproduct_type": "cube" if file.subgroup == "S3D" else "image",
        "obs_id": file.obs_id,
        "description": f"{item.subgroup} of {file.obs_id}",
        "type": kind,
        "dataURI": item.uri,
        "productType": item.product_type,
        "productGroupDescription": "Minimum Recommended Products" if wanted else "",
        "productSubGroupDescription": item.subgroup,
        "project": _pipeline(file),
        "prvversion": file.cal_ver or "",
        "proposal_id": file.program,
        "productFilename": item.name,
        "size": size,
        "parent_obsid": parent,
        "dataRights": file.rights,
        "calib_level": file.calib_level,
    }
    return {column: known.get(column) for column in PRODUCT}


def _file(file: ArchiveFile, number: int) -> Row:
    known = {
        "filename": file.name,
        "fileSetName": re.sub(r"_nrs[12]$", "", file.obs_id),
        "productLevel": "3" if file.calib_level == _COMBINED else "2b",
        "program": file.program,
        "exp_type": _keyword([file], "EXP_TYPE"),
        "is_imprt": "t" if file.is_imprint else "f",
        "bkgdtarg": "t" if _keyword([file], "BKGDTARG") is True else "f",
        "patt_num": _keyword([file], "PATT_NUM"),
        "gwa_xtil": _keyword([file], "GWA_XTIL"),
        "gwa_ytil": _keyword([file], "GWA_YTIL"),
        "cal_ver": file.cal_ver,
        "cal_vcs": "RELEASE",
        "crds_ctx": file.crds_ctx,
        "sdp_ver": file.sdp_ver,
        "fileSize": file.size,
        "checksum": file.checksum,
        "ingestStartDate_mjd": _INGESTED_MJD,
        "ingestCompletionDate_mjd": _INGESTED_MJD,
        "publicReleaseDate_mjd": _INGESTED_MJD,
        "isRestricted": file.rights != PUBLIC,
        "isStale": file.is_stale,
        "FileSetId": number,
        "dataURI": file.uri,
    }
    return {column: known.get(column) for column in FILE}
