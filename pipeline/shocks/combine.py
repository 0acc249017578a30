"""What do a shock and its precursor shine like together?

Fluxes of both add, so ratios to H beta are averaged with the H beta fluxes as weights. The identity
holds to the rounding of the tables of Allen et al. 2008: tables 6 and 7 give table 8.
"""

import dataclasses

import numpy as np

from ard.errors import FormatError
from pipeline.shocks.grid import HBETA, Component, FloatArray, ShockGrid


def weighted(
    shock: FloatArray,
    log_hbeta_shock: FloatArray,
    precursor: FloatArray,
    log_hbeta_precursor: FloatArray,
) -> FloatArray:
    """Give the fluxes over H beta of both together.

    Parameters
    ----------
    shock, precursor : ndarray
        Fluxes over the H beta of each.
    log_hbeta_shock, log_hbeta_precursor : ndarray
        log10 of their H beta fluxes.
    """
    first, second = 10.0**log_hbeta_shock, 10.0**log_hbeta_precursor
    return np.asarray((shock * first + precursor * second) / (first + second), dtype=np.float64)


def combine(shock: ShockGrid, precursor: ShockGrid, *, fraction: float = 1.0) -> ShockGrid:
    """Add a part of the precursor's light to that of its shock.

    Parameters
    ----------
    shock, precursor : ShockGrid
        Of one code, version and project: H beta fluxes of different codes are 0.14 to 0.36 dex
        apart. What only one of them has is left out.
    fraction : float
        Part of the precursor that is seen, 0 to 1.

    Returns
    -------
    ShockGrid
        On the models and lines that both have; masked where either is.

    Raises
    ------
    FormatError
        If the grids are not a shock and a precursor of the same models, share nothing, or have no
        H beta.
    """
    _require_pair(shock, precursor, fraction)
    first, second = shared(shock, precursor)
    names = [line.name for line in first.lines]
    if HBETA not in names:
        raise FormatError(
            "grids without H beta cannot be combined",
            expected=f"the line {HBETA} in both",
            found=", ".join(names),
            action="import them with H beta",
        )
    k = names.index(HBETA)
    with np.errstate(divide="ignore"):
        log_second = second.log_hbeta + np.log10(fraction)
    lines = weighted(
        10.0 ** (first.log_ratio - first.log_ratio[..., [k]]),
        first.log_hbeta[..., None],
        10.0 ** (second.log_ratio - second.log_ratio[..., [k]]),
        log_second[..., None],
    )
    halpha = weighted(
        10.0 ** -first.log_ratio[..., k],
        first.log_hbeta,
        10.0 ** -second.log_ratio[..., k],
        log_second,
    )
    ratio = np.log10(lines) - np.log10(halpha)[..., None]
    hbeta = np.log10(10.0**first.log_hbeta + fraction * 10.0**second.log_hbeta)
    defects = (*first.source.known_defects, *second.source.known_defects)
    source = dataclasses.replace(
        first.source,
        component=Component.SHOCK_PLUS_PRECURSOR,
        project=f"{first.source.project} + {fraction:g} x precursor",
        known_defects=tuple(dict.fromkeys(defects)),
    )
    return dataclasses.replace(
        first, source=source, log_ratio=ratio, mask=np.isnan(ratio), log_hbeta=hbeta
    )


def _require_pair(shock: ShockGrid, precursor: ShockGrid, fraction: float) -> None:
    kinds = (shock.component, precursor.component)
    if kinds != (Component.SHOCK, Component.PRECURSOR) or not 0.0 <= fraction <= 1.0:
        raise FormatError(
            "only a shock and a part of its precursor can be combined",
            expected="a shock grid, a precursor grid, and a fraction from 0 to 1",
            found=f"{kinds[0]}, {kinds[1]}, {fraction:g}",
            action="give the two components of one project",
        )
    made = [_origin(grid) for grid in (shock, precursor)]
    if made[0] != made[1]:
        raise FormatError(
            "shock and precursor are not of the same models",
            expected="one code, version and project: their H beta fluxes have one scale",
            found=" and ".join(", ".join(one) for one in made),
            action="give the two components of one project",
        )


def _origin(grid: ShockGrid) -> tuple[str, str, str]:
    """Say who made the models; a word behind the name of a project is of the component."""
    source = grid.source
    return source.code, source.version, source.project.partition(" ")[0]


def shared(shock: ShockGrid, precursor: ShockGrid) -> tuple[ShockGrid, ShockGrid]:
    """Give of both what both have: abundances, densities, fields, velocities and lines.

    Raises
    ------
    FormatError
        If the grids are not a shock and a precursor of the same models, or share nothing.
    """
    _require_pair(shock, precursor, 1.0)
    return _part(shock, precursor), _part(precursor, shock)


def _part(grid: ShockGrid, other: ShockGrid) -> ShockGrid:
    """Give the part of a grid that another one has too."""
    names = {a.name for a in other.abundances}
    lines = {line.name for line in other.lines}
    z = [k for k, a in enumerate(grid.abundances) if a.name in names]
    kept = [k for k, line in enumerate(grid.lines) if line.name in lines]
    axes = [
        [k for k, value in enumerate(mine) if np.isclose(theirs, value, rtol=1e-6, atol=1e-9).any()]
        for mine, theirs in (
            (grid.log_n, other.log_n),
            (grid.b, other.b),
            (grid.v_kms, other.v_kms),
        )
    ]
    if not (z and kept and all(axes)):
        raise FormatError(
            "the two grids share nothing",
            expected="the same abundances, densities, fields, velocities and lines",
            found=f"{grid.source.project} and {other.source.project}",
            action="give the two components of one project",
        )
    return grid.take(z=z, n=axes[0], b=axes[1], v=axes[2], lines=kept)
