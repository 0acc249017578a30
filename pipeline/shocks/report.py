"""What is handed on of the fit of shocks: a table of numbers, and the verdicts?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from astropy import units
from astropy.table import Column
from astropy.table import Table as AstropyTable

from ard.cube import FloatArray
from ard.errors import ArdError
from ard.table import Table
from manifests.acceptance import Acceptance, Limit
from manifests.shocks import ShockAssumptions
from pipeline.shocks.combine import shared
from pipeline.shocks.grid import HALPHA, Component, ShockGrid
from pipeline.shocks.interpolate import refine, refine_mixed
from pipeline.shocks.lattice import B, Lattice
from pipeline.shocks.likelihood import LineFluxes
from pipeline.shocks.measured import Measured, for_grid, not_compared
from pipeline.shocks.nodes import B_PRIORS, FIXED
from pipeline.shocks.summary import QUANTILES, Summary, sensitivity
from pipeline.shocks.verdict import (
    Verdict,
    metal_poor,
    otherwise,
    shock_velocity,
    velocity_gate,
    virial,
)

OWN: Final = "per line"
_RULES: Final = "shock."
_N_BIN: Final = 20
_LEAST_DRAWS: Final = 10 * _N_BIN  # of fewer, chance alone would tell much
_NUMBERS: Final = (
    ("information_nat", "Of the velocity: KL divergence of posterior from prior.", "nat"),
    ("edge_low", "Probability within a step of the models from the lowest velocity.", ""),
    ("edge_high", "Probability within a step of the models from the highest velocity.", ""),
    ("p_metal_poor", "Probability of less than the declared part of the Sun's O/H.", ""),
    ("p_metal_poor_prior", "The same before the data, of the grid's abundance sets.", ""),
    ("p_predictive", "Posterior predictive probability of the chi-square.", ""),
    ("chi2_min", "Chi-square of the best model.", ""),
    ("log_evidence", "ln of the probability of the data.", ""),
)


@dataclass(frozen=True, eq=False)
class Geometry:
    """What the geometry says of the velocity.

    Attributes
    ----------
    v_kms : ndarray, shape (n_draw,)
        Draws.
    information_nat : float or None
        KL divergence from their prior, where that is known.
    apertures : tuple of str
        Of whose spectra it is; none if of all.
    simulated : bool
        Whether the bow is.
    """

    v_kms: FloatArray
    information_nat: float | None = None
    apertures: tuple[str, ...] = ()
    simulated: bool = False

    @classmethod
    def of(cls, table: Table) -> "Geometry":
        """Read it from a table, as `geometry_draws` and `geometry_information`."""
        given = table.meta.get("apertures", ())
        names = (given,) if isinstance(given, str) else tuple(map(str, given))
        return cls(geometry_draws(table), geometry_information(table), names, table.simulated)

    def holds_for(self, spectrum: str) -> bool:
        """Say whether a spectrum, named ``aperture/method``, is of this geometry."""
        return not self.apertures or spectrum.partition("/")[0] in self.apertures


@dataclass(frozen=True, eq=False)
class Compared:
    """What is compared: the lines of all spectra, and the models of these lines.

    Attributes
    ----------
    spectra : tuple of str
    lines : tuple of str
        That were compared.
    lattice : Lattice
        Of those lines.
    fluxes : LineFluxes
        As they were compared.
    """

    spectra: tuple[str, ...]
    lines: tuple[str, ...]
    lattice: Lattice
    fluxes: LineFluxes


@dataclass(frozen=True, eq=False)
class Fit(Compared):
    """The fit of shocks to all spectra.

    Attributes
    ----------
    summaries : mapping of (str, str) to Summary
        By prior of b and systematic floor.
    verdicts : tuple of (spectrum, criterion, Verdict)
    notes : tuple of str
        What the grid cannot say.
    simulated : bool
        Whether the observation is simulated, or the grid synthetic: a science release takes
        neither.
    edge_mass : Limit
        Probability near an edge of the models from which an interval is open there.
    """

    summaries: Mapping[tuple[str, str], Summary]
    verdicts: tuple[tuple[str, str, Verdict], ...]
    notes: tuple[str, ...]
    simulated: bool
    edge_mass: Limit


def compared(
    grid: ShockGrid,
    measured: Measured,
    log_n: float = 0.0,
    precursor: ShockGrid | None = None,
) -> Compared:
    """Take the lines that were measured and that the grid has, and its models of them.

    Parameters
    ----------
    grid : ShockGrid
    measured : Measured
    log_n : float
        Density of the models that are taken: these ratios do not say it (reference/shocks.md 2.5).
    precursor : ShockGrid, optional
        The precursors of these shocks, of whose light a part, 0 to 1, is added: one more parameter.

    Raises
    ------
    ArdError
        If the grid has none of the lines, or no models of that density; or if the other is not of
        the precursors of these shocks.
    """
    if precursor is not None:
        grid, precursor = shared(grid, precursor)
    every = [one for one in (grid, precursor) if one is not None]
    masked = np.logical_or.reduce([one.mask.all(axis=(0, 1, 2, 3)) for one in every])
    usable = [line for line, off in zip(grid.lines, masked, strict=True) if not off]
    fluxes = for_grid(measured.fluxes, usable)
    lines = tuple(name for name in fluxes.names if name != HALPHA)
    if not lines:
        raise ArdError(
            "the grid has none of the measured lines",
            expected=", ".join(line.name for line in usable),
            found=", ".join(measured.fluxes.names),
            action="take another grid, or give other lines",
        )
    if precursor is None:
        lattice = refine(grid, lines, log_n=log_n)
    else:
        lattice = refine_mixed(grid, precursor, lines, log_n=log_n)
    return Compared(measured.spectra, lines, lattice, fluxes)


def fit(
    grid: ShockGrid,
    measured: Measured,
    assumed: ShockAssumptions,
    acceptance: Acceptance,
    *,
    log_n: float = 0.0,
    precursor: ShockGrid | None = None,
    geometry: Geometry | None = None,
    workers: int = 1,
) -> Fit:
    """Hold spectra against a grid, under every prior and floor, and judge.

    Verdicts are those under the first prior with each line's own floor; of the velocity and of
    metals it is said where other priors and floors end otherwise.

    Parameters
    ----------
    grid : ShockGrid
    measured : Measured
    assumed : ShockAssumptions
    acceptance : Acceptance
    log_n, precursor
        As of `compared`.
    geometry : Geometry, optional
    workers : int

    Raises
    ------
    ArdError
        If the grid has none of the lines, or no models of that density.
    """
    given = compared(grid, measured, log_n, precursor)
    lattice = given.lattice
    varies = B in [axis.name for axis in lattice.axes]
    known = varies and bool(np.any(np.isclose(lattice.axis(B).values, assumed.b_fixed)))
    priors = (*B_PRIORS, FIXED) if known else B_PRIORS
    found = sensitivity(lattice, given.fluxes, assumed, priors=priors, workers=workers)
    first = found[B_PRIORS[0], OWN]
    others = [one for one in found.values() if one is not first]
    # Of a thousand spectra each threshold is looked up some 100,000 times.
    rules = replace(acceptance, rows=tuple(r for r in acceptance.rows if r.id.startswith(_RULES)))
    rows = []
    for row, name in enumerate(measured.spectra):
        own = geometry if geometry is not None and geometry.holds_for(name) else None
        given_v = (None, None) if own is None else (own.v_kms, own.information_nat)
        speed = shock_velocity(first, row, rules, assumed, *given_v)
        gates = [velocity_gate(one, row, rules, speed.measured) for one in others]
        rows.append((name, "C1", otherwise(speed, gates)))
        gates = [metal_poor(one, row, rules).gate for one in others]
        rows.append((name, "C3", otherwise(metal_poor(first, row, rules), gates)))
        if known:
            declared = assumed.v_virial_kms
            rows.append((name, "T1", virial(first, found[FIXED, OWN], row, rules, declared)))
    doubts = _doubts(measured, lattice)
    rows = [(name, which, _doubted(one, doubts[name])) for name, which, one in rows]
    notes = _notes(grid, lattice, precursor)
    models = (grid,) if precursor is None else shared(grid, precursor)
    left = not_compared(measured.fluxes, given.lines, models)
    if left:
        each = ", ".join(f"{name} ({why})" for name, why in left.items())
        notes = (*notes, f"measured and not compared: {each}")
    if geometry is not None and not any(map(geometry.holds_for, measured.spectra)):
        words = f"the geometry is of {', '.join(geometry.apertures)} alone, and of no spectrum here"
        notes = (*notes, words)
    return Fit(
        **vars(given),
        summaries=found,
        verdicts=tuple(rows),
        notes=notes,
        simulated=measured.simulated
        or (geometry is not None and geometry.simulated)
        or any(one.source.synthetic for one in (grid, precursor) if one is not None),
        edge_mass=acceptance.limit("shock.edge_mass"),
    )


def _doubts(measured: Measured, lattice: Lattice) -> dict[str, list[str]]:
    """Name the lines of each spectrum that are compared and were fitted badly."""
    used = {member for line in lattice.lines for member in (line.name, *line.members)} | {HALPHA}
    names, found = np.array(measured.fluxes.names), {}
    for spectrum, flux in zip(measured.spectra, measured.fluxes.flux, strict=True):
        seen = used - set(names[np.isnan(flux)].tolist())
        found[spectrum] = [line for line in measured.suspect.get(spectrum, ()) if line in seen]
    return found


def _doubted(verdict: Verdict, lines: Sequence[str]) -> Verdict:
    """Say which of the lines of a verdict were fitted badly."""
    if not lines:
        return verdict
    words = f"{verdict.sentence}; suspect: {', '.join(lines)}, whose errors hold the misfit"
    count = {"suspect_lines": float(len(lines))}
    return replace(verdict, sentence=words, measured=verdict.measured | count)


def _notes(grid: ShockGrid, lattice: Lattice, precursor: ShockGrid | None) -> tuple[str, ...]:
    notes = []
    if grid.source.synthetic:
        notes.append("the grid is synthetic: nothing of this may be published as a measurement")
    if precursor is not None:
        notes.append("a part of the precursor's light is added, 0 to 1, all as probable before")
    elif grid.component == Component.SHOCK:
        notes.append("precursor not modelled: the grid has shocks alone")
    if lattice.void.any():
        notes.append("models are missing in the grid: nothing is inferred around them")
    return tuple(notes)


def table_of(found: Fit) -> Table:
    """Give the numbers as a table: a row for each spectrum, prior of b, and floor."""
    keys = [(s, *key) for s in range(len(found.spectra)) for key in found.summaries]

    def values(name: str) -> FloatArray:
        return np.array([getattr(found.summaries[p, f], name)[s] for s, p, f in keys])

    data = AstropyTable()
    texts = (
        ("spectrum", [found.spectra[s] for s, _, _ in keys], "Name of the spectrum."),
        ("prior", [p for _, p, _ in keys], "Of b: flat in ln(b + 0.3), flat, flat in ln b, fixed."),
        ("floor", [f for _, _, f in keys], "Systematic floor of the models, dex, or of each line."),
    )
    for name, column, text in texts:
        data[name] = Column(column, description=text)
    speeds = values("v_kms")
    for place, level in enumerate(QUANTILES):
        text = f"Quantile {100 * level:g} % of the velocity of the shock."
        data[f"v_p{round(1000 * level):03d}"] = _column(speeds[:, place], text, units.km / units.s)
    for name, text, unit in _NUMBERS:
        data[name] = _column(values(name), text, None)
        if unit:
            data[name].description += f" In {unit}."
    near = np.maximum(values("edge_low"), values("edge_high"))
    limited = [bool(np.isfinite(e)) and not found.edge_mass.accepts(float(e)) for e in near]
    text = "Whether the interval is a one-sided limit, at an edge of the models' velocities."
    data["edge_limited"] = Column(limited, description=text)
    data["n_line"] = Column(values("n_line").astype(int), description="Lines that were compared.")
    meta: dict[str, Any] = {"lines": list(found.lines), "notes": list(found.notes)}
    meta["SIMULATD"] = found.simulated
    meta["solar"] = next(iter(found.summaries.values())).solar
    return Table(data, meta)


def document_of(found: Fit) -> dict[str, Any]:
    """Give verdicts and notes as JSON has them."""
    verdicts = [
        {
            "spectrum": name,
            "criterion": criterion,
            "verdict": str(verdict.gate),
            "sentence": verdict.sentence,
            "literal": verdict.literal,
            "measured": {k: v if np.isfinite(v) else None for k, v in verdict.measured.items()},
        }
        for name, criterion, verdict in found.verdicts
    ]
    return {
        "verdicts": verdicts,
        "lines": list(found.lines),
        "notes": list(found.notes),
        "simulated": found.simulated,
    }


def _column(values: FloatArray, text: str, unit: Any) -> Column:
    # Not masked: numpy would take what stands under the mask for a number.
    known = np.where(np.isfinite(values), values, np.nan)
    return Column(known, description=text, unit=unit)


def geometry_draws(table: Table, name: str = "v_shock") -> FloatArray:
    """Read draws of the geometry's emissivity-weighted velocity from a table.

    A column without a unit is in km/s.

    Raises
    ------
    ArdError
        If it has no such column, it is no velocity, or a draw is not a positive number.
    """
    columns: Sequence[str] = table.data.colnames
    speed, draws = units.km / units.s, np.array([])
    if name in columns:
        given: Any = table.data[name]
        unit = given.unit or speed
        # A draw that is masked is a draw that is missing.
        values = np.ma.filled(np.ma.asarray(given, dtype=np.float64), np.nan)
        draws = (values * unit).to_value(speed) if unit.is_equivalent(speed) else draws
    if not draws.size or not bool(np.all(np.isfinite(draws) & (draws > 0))):
        raise ArdError(
            "these are no draws of a velocity of the geometry",
            expected=f"a column {name} of positive numbers, km/s",
            found=", ".join(columns),
            action="give the posterior of the geometry as a table of draws",
        )
    return draws


def geometry_information(table: Table, name: str = "v_shock_prior") -> float | None:
    """Give the KL divergence of the geometry's draws from what was believed before, nat.

    None where a table has no draws of that (column `name`). Both are sorted into as many bins as
    hold equal parts of the prior, which makes it too large by about 0.01 for a thousand draws, and
    by 0.5 for twenty.

    Raises
    ------
    ArdError
        As `geometry_draws`; and if there are too few to know, or those before are no distribution.
    """
    if name not in table.data.colnames:
        return None
    after, before = geometry_draws(table), geometry_draws(table, name)
    if after.size < _LEAST_DRAWS or np.unique(before).size < _LEAST_DRAWS:
        raise ArdError(
            "there are too few draws of the geometry to know what they tell",
            expected=f"{_LEAST_DRAWS} or more, different ones in {name}",
            found=f"{after.size}, {np.unique(before).size} different ones in {name}",
            action=f"give more draws, or leave the column {name} out",
        )
    edges = np.quantile(before, np.linspace(0.0, 1.0, _N_BIN + 1)[1:-1])
    share = np.bincount(np.searchsorted(edges, after), minlength=_N_BIN) / after.size
    return float(np.sum(share * np.log(np.where(share > 0, share * _N_BIN, 1.0))))
