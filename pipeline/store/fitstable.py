"""How does a stranger get at a posterior with numpy and astropy alone?

Beside a netCDF of chains lies a FITS table: what is known of each parameter, its prior, and ten
thousand draws with their densities, which is enough for intervals and for another prior.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits

from ard.errors import FormatError
from ard.fitsio import write_hdus
from ard.headers import write_cards
from ard.provenance import Provenance, to_hdu
from pipeline.store.netcdf import LIKELIHOOD, LP, LP_COMMENT, STATS, TOTAL

KIND: Final = "chains"
N_DRAW: Final = 10_000
# The medians and the bounds of 68 and 95 %: those of a normal distribution at 1 and 2 sd.
QUANTILES: Final = {
    "q2_3": 0.02275,
    "q15_9": 0.15866,
    "q50": 0.5,
    "q84_1": 0.84134,
    "q97_7": 0.97725,
}
_PART: Final = 1 << 20

Array = np.ndarray[Any, Any]


def export_table(
    chains: str | Path,
    path: str | Path,
    *,
    n_draw: int = N_DRAW,
    meta: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the FITS table that lies beside a netCDF of chains.

    HDU ``SUMMARY``: a row for each parameter and derived quantity, mean, standard deviation and
    quantiles of all draws, and the diagnostics that were stored. ``PRIOR``: the prior of each
    parameter, in JSON. ``POSTERIOR``: draws that are equally far apart, with ``lp``,
    ``log_prior_<parameter>`` and ``log_likelihood_<block>``.

    Parameters
    ----------
    chains : path-like
        What `export_netcdf` wrote. One parameter of it is held in memory at a time.
    path : path-like
        The table.
    n_draw : int
        How many draws at most; of each chain there is one or more.
    meta : mapping, optional
        Keywords of the primary header: what was observed, with what. Files of a dataset are named
        by them.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    FormatError
        If names differ by upper and lower case only, which FITS does not tell apart, or are not
        ASCII; if the likelihoods are of other draws than the file says.
    """
    import h5py

    with h5py.File(chains, "r") as file:
        attributes = {key: _plain(value) for key, value in file.attrs.items()}
        names = json.loads(attributes["parameters"])
        prior = json.loads(attributes["prior_spec"])
        derived = json.loads(attributes.get("derived", "{}"))
        primary = fits.PrimaryHDU()
        header = primary.header
        mark = {"SIMULATD": True} if attributes["simulated"] else {}
        write_cards(header, {**(meta or {}), **mark})
        header["ARDKIND"] = (KIND, "product type of rbh1-ard")
        header["RUN"] = (attributes["run"], "name of the run")
        hdus = [
            primary,
            _summary(file, [*names, *sorted(derived)], json.loads(attributes["summaries"])),
            _prior(names, prior),
            _posterior(file, names, prior, derived, n_draw),
        ]
    record = json.loads(attributes["provenance"])
    if record is not None:
        hdus.append(to_hdu(Provenance.from_dict(record)))
    write_hdus(path, fits.HDUList(hdus), overwrite=overwrite)


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _summary(
    file: Any, names: list[str], diagnostics: Mapping[str, Mapping[str, float | None]]
) -> fits.BinTableHDU:
    columns: dict[str, list[float]] = {}
    for name in names:
        values = file["posterior"][name][:].reshape(-1)
        mean, sd = _moments(values)
        found = np.quantile(values, list(QUANTILES.values()), overwrite_input=True)
        row = {"mean": mean, "sd": sd, **dict(zip(QUANTILES, found, strict=True))}
        for key, value in row.items():
            columns.setdefault(key, []).append(float(value))
    # What was measured on the chains while they were sampled; the above is of the file itself.
    for key in sorted({key for values in diagnostics.values() for key in values} - set(columns)):
        found = [diagnostics.get(name, {}).get(key) for name in names]
        columns[key] = [math.nan if value is None else value for value in found]
    table = [_text("parameter", names)]
    table += [fits.Column(name=key, format="D", array=values) for key, values in columns.items()]
    hdu = fits.BinTableHDU.from_columns(table, name="SUMMARY")
    hdu.header.comments["EXTNAME"] = "of all draws in the netCDF beside this file"
    return hdu


def _moments(values: Array) -> tuple[float, float]:
    """Give mean and standard deviation, summed in float64 without a copy in float64."""
    mean = float(values.mean(dtype=np.float64))
    parts = (values[first : first + _PART] for first in range(0, len(values), _PART))
    squares = sum(float(np.square(part.astype(np.float64) - mean).sum()) for part in parts)
    return mean, math.sqrt(squares / len(values))


def _prior(names: list[str], prior: Mapping[str, Any]) -> fits.BinTableHDU:
    specs = [json.dumps(prior.get(name), sort_keys=True) for name in names]
    hdu = fits.BinTableHDU.from_columns([_text("parameter", names), _text("prior", specs)])
    hdu.header["EXTNAME"] = ("PRIOR", "family, parameters and bounds, in JSON")
    return hdu


def _text(name: str, values: list[str]) -> fits.Column:
    width = max(len(value.encode()) for value in values)
    return fits.Column(name=name, format=f"{width}A", array=np.array(values))


def _posterior(
    file: Any,
    names: list[str],
    prior: Mapping[str, Any],
    derived: Mapping[str, str],
    n_draw: int,
) -> fits.BinTableHDU:
    # A dimension of groups has no numbers along chains.
    blocks = {
        name: values
        for group in (LIKELIHOOD, TOTAL)
        if group in file
        for name, values in sorted(file[group].items())
        if values.ndim > 1
    }
    likelihood = file[LIKELIHOOD if LIKELIHOOD in file else TOTAL]
    densities = [f"log_prior_{name}" for name in names] + [f"log_likelihood_{n}" for n in blocks]
    _require_apart(["chain", "draw", LP, *names, *sorted(derived), *densities])
    n_chain, n_thinned = len(likelihood["chain"]), len(likelihood["draw"])
    # log_likelihood is kept of every so many draws; these are of those.
    kept_every = _thin_of(file, likelihood)
    step = math.ceil(n_thinned / max(n_draw // n_chain, 1))
    thin = step * kept_every
    draw = likelihood["draw"][::step]
    chain = np.repeat(np.arange(n_chain), len(draw))
    columns = [
        fits.Column(name="chain", format="J", array=chain),
        fits.Column(name="draw", format="K", array=np.tile(draw, n_chain)),
    ]
    for name in (*names, *sorted(derived)):
        spec = prior.get(name)
        unit = spec.get("unit") if isinstance(spec, Mapping) else derived.get(name)
        values = _every(file["posterior"][name], thin)
        # FITS has no word for a pure number.
        columns.append(
            fits.Column(name=name, format="E", array=values, unit=None if unit == "1" else unit)
        )
    has_lp = LP in file[STATS]
    if has_lp:
        values = _every(file[STATS][LP], thin)
        columns.append(fits.Column(name=LP, format="D", array=values))
    for name in names:
        values = _every(file["log_prior"][name], thin)
        columns.append(fits.Column(name=f"log_prior_{name}", format="D", array=values))
    for name, dataset in blocks.items():
        values = _every(dataset, step)
        form = f"{values.shape[1]}D" if values.ndim > 1 else "D"
        columns.append(fits.Column(name=f"log_likelihood_{name}", format=form, array=values))
    hdu = fits.BinTableHDU.from_columns(columns, name="POSTERIOR")
    if has_lp:
        hdu.header["COMMENT"] = f"{LP}: {LP_COMMENT}"
    hdu.header["THIN"] = (thin, "every so many draws of each chain are here")
    return hdu


def _thin_of(file: Any, likelihood: Any) -> int:
    """Give how far apart the draws are that have likelihoods; refuse what is of other draws."""
    # netCDF has lists of numbers alone.
    thin, numbers = int(np.ravel(likelihood.attrs["thin"])[0]), likelihood["draw"][:]
    meant = np.arange(0, len(file["log_prior"]["draw"]), thin)
    if not np.array_equal(numbers, meant):
        raise FormatError(
            "the likelihoods are of other draws than the file says",
            file=Path(file.filename),
            expected=f"of {len(meant)} draws of each chain, every {thin}",
            found=f"of {len(numbers)}, up to number {max(numbers, default=-1)}",
            action="export the chains again",
        )
    return thin


def _every(dataset: Any, step: int) -> Array:
    """Give every so many draws of each chain, one chain after the other, (n, ...)."""
    rows = [dataset[chain][::step] for chain in range(len(dataset))]
    return np.concatenate(rows)


def _require_apart(names: list[str]) -> None:
    low = [name.lower() for name in names]
    if wrong := sorted({n for n in names if low.count(n.lower()) > 1 or not n.isascii()}):
        raise FormatError(
            "columns of the table cannot have these names",
            expected="ASCII names that differ by more than upper and lower case",
            found=", ".join(wrong),
            action="rename the parameters or the blocks of the data",
        )
