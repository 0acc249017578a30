"""Where does a product come from?

A `Provenance` holds only what a second run would repeat: digests of the inputs, of the
configuration and of the code, the seed and the versions of the tools. Times and hosts are in
the run's own record, never inside a product, so that equal runs give equal bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.io import fits

from ard.errors import FormatError

EXTENSION = "PROVENANCE"


@dataclass(frozen=True)
class Provenance:
    """Say which code, configuration, seed and inputs made a product.

    Attributes
    ----------
    stage : str
        The stage that made it.
    code_version : str
        Version of the distribution `rbh1-ard`.
    code_sha256 : str
        Digest of the sources of the stage.
    config_sha256 : str
        Digest of the stage's configuration.
    seed : int or None
        Seed of the random numbers, None where none were drawn.
    simulated : bool
        True when any input was simulated.
    inputs, tools : mapping of str to str
        Name of each input to its sha256; name of each library to its version.
    """

    stage: str
    code_version: str
    code_sha256: str
    config_sha256: str
    seed: int | None = None
    simulated: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("inputs", "tools"):
            ordered = dict(sorted(getattr(self, name).items()))
            object.__setattr__(self, name, MappingProxyType(ordered))

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy cannot be pickled, and workers hand products back by pickle.
        return (Provenance.from_dict, (self.to_dict(),))

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "stage": self.stage,
            "code_version": self.code_version,
            "code_sha256": self.code_sha256,
            "config_sha256": self.config_sha256,
            "seed": self.seed,
            "simulated": self.simulated,
            "inputs": dict(self.inputs),
            "tools": dict(self.tools),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Provenance":
        """Read the plain JSON form.

        Raises
        ------
        FormatError
            If a field is missing or unknown.
        """
        try:
            return cls(**document)
        except TypeError as error:
            raise FormatError(
                "a provenance record is incomplete or has unknown fields",
                expected=", ".join(cls.__dataclass_fields__),
                found=", ".join(map(str, document)),
                action="make the product again with this version of rbh1-ard",
            ) from error


def to_hdu(provenance: Provenance) -> fits.BinTableHDU:
    """Write a provenance record as a two-column FITS table (KEY, VALUE).

    The values are JSON texts, so that numbers, booleans and null keep their type. FITS strings
    lose trailing spaces and non-ASCII characters; JSON's ASCII form has neither.
    """
    rows: list[tuple[str, str]] = []
    for key, value in provenance.to_dict().items():
        if isinstance(value, dict):
            rows += [(f"{key}:{name}", json.dumps(text)) for name, text in value.items()]
        else:
            rows.append((key, json.dumps(value)))
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    data = np.array(rows, dtype=[("KEY", f"S{widths[0]}"), ("VALUE", f"S{widths[1]}")])
    hdu = fits.BinTableHDU(data, name=EXTENSION)
    hdu.header.comments["EXTNAME"] = "what made this file; values are JSON"
    return hdu


def from_hdus(hdus: fits.HDUList) -> Provenance | None:
    """Read the provenance of an open FITS file; None if it carries none.

    Raises
    ------
    FormatError
        If the extension is there but damaged.
    """
    if EXTENSION not in hdus:
        return None
    document: dict[str, Any] = {"inputs": {}, "tools": {}}
    try:
        for key, text in hdus[EXTENSION].data:
            group, _, name = str(key).partition(":")
            value = json.loads(str(text))
            if name:
                document[group][name] = value
            else:
                document[group] = value
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            "the PROVENANCE extension cannot be read",
            expected="a table of KEY and VALUE whose values are JSON",
            found=str(error),
            action="fetch the file again and compare its sha256 with the manifest",
        ) from error
    return Provenance.from_dict(document)
