"""Which files does the archive have, and what does it know about each?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Final

from astropy.io import fits

from ard.errors import NotFoundError
from ard.fileio import file_digest
from manifests.selection import Programme, Selection

PUBLIC: Final = "PUBLIC"
# Keywords that the catalogue repeats.
_REPEATED: Final = (
    "INSTRUME", "DETECTOR", "FILTER", "GRATING", "EXP_TYPE", "TARGNAME", "TARG_RA", "TARG_DEC",
    "RA_TARG", "DEC_TARG", "BKGDTARG", "PATT_NUM", "GWA_XTIL", "GWA_YTIL", "EXPSTART", "EXPEND",
    "EFFEXPTM", "EXPTIME", "S_REGION",
)  # fmt: skip


@dataclass(frozen=True)
class ArchiveFile:
    """A file of the archive, and what the archive says about it.

    Attributes
    ----------
    uri : str
        ``mast:JWST/product/x_s3d.fits``.
    path : path
        Where its bytes lie on disk.
    collection, program, obs_id : str
        Programme and observation that it belongs to.
    product_type, subgroup : str
        ``SCIENCE``, and ``FLC``, ``S3D``, ...
    calib_level : int
        2 for exposures, 3 for combined products.
    rights : str
        ``PUBLIC`` or ``EXCLUSIVE_ACCESS``.
    checksum : str or None
        As the service for single JWST files publishes it.
    cal_ver, crds_ctx, sdp_ver : str or None
        Calibration software, reference-file context and data-processing version.
    is_stale : bool
        Whether the archive means to process it again.
    is_imprint : bool
        Whether it is, or is made of, an imprint exposure.
    keywords : mapping
        Header keywords that the catalogue repeats.
    """

    uri: str
    path: Path
    collection: str
    program: str
    obs_id: str
    product_type: str = "SCIENCE"
    subgroup: str = ""
    calib_level: int = 2
    rights: str = PUBLIC
    checksum: str | None = None
    cal_ver: str | None = None
    crds_ctx: str | None = None
    sdp_ver: str | None = None
    is_stale: bool = False
    is_imprint: bool = False
    keywords: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.uri.rpartition("/")[2]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size


def archive_of(
    folder: str | PathLike[str],
    selection: Selection,
    *,
    checksums: bool = True,
    algorithm: str = "md5",
) -> tuple[ArchiveFile, ...]:
    """Which files of a folder would the archive have?

    Parameters
    ----------
    folder : path-like
        FITS files under their archive names; others are left out.
    selection : Selection
        Says which programme a name belongs to.
    checksums : bool
        Whether the files of programmes with a service for single files have checksums.
    algorithm : str
        md5 or sha1.

    Raises
    ------
    NotFoundError
        If the selection wants none of them.
    """
    found = [
        describe(path, programme, algorithm if checksums else None)
        for path in sorted(Path(folder).glob("*.fits"))
        for programme in _programmes(selection, path.name)
    ]
    if not found:
        raise NotFoundError(
            "no file here is one of the selection",
            file=folder,
            expected=f"FITS files with the archive's names, of the selection {selection.name}",
            action="name another folder, or let make_archive fill an empty one",
        )
    return tuple(found)


def _programmes(selection: Selection, name: str) -> Iterator[Programme]:
    for programme in selection.programmes:
        if selection.group_of(programme.collection, programme.program, name) is not None:
            yield programme


def describe(path: Path, programme: Programme, algorithm: str | None) -> ArchiveFile:
    """What does the archive say about a file that lies here?

    Parameters
    ----------
    path : path
    programme : Programme
        One without a service for single files has neither checksums nor versions.
    algorithm : str or None
        Of the checksum; None for none.
    """
    header = _headers(path)
    obs_id, _, suffix = path.stem.rpartition("_")
    known = programme.file_service is not None
    combined = suffix in ("drc", "drz") or "-o" in obs_id
    return ArchiveFile(
        uri=f"mast:{programme.collection}/product/{path.name}",
        path=path,
        collection=programme.collection,
        program=programme.program,
        obs_id=obs_id,
        subgroup=suffix.upper(),
        calib_level=3 if combined else 2,
        checksum=file_digest(path, algorithm) if known and algorithm else None,
        cal_ver=_version(header, "CAL_VER") if known else None,
        crds_ctx=_version(header, "CRDS_CTX") if known else None,
        sdp_ver=_version(header, "SDP_VER") if known else None,
        is_imprint=header.get("IS_IMPRT") is True,
        keywords={key: header[key] for key in _REPEATED if key in header},
    )


def _headers(path: Path) -> dict[str, Any]:
    """Give the primary header, and the footprint from the first extension."""
    with fits.open(path, memmap=False) as hdus:
        found = dict(hdus[0].header)
        if len(hdus) > 1 and "S_REGION" in hdus[1].header:
            found["S_REGION"] = hdus[1].header["S_REGION"]
        return found


def _version(header: Mapping[str, Any], key: str) -> str | None:
    text = str(header.get(key, "")).strip()
    return text or None
