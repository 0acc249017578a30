"""Which galaxies are proposed, and what is believed of them before the cube is asked?

A model is a function of the campaign's seed, the kind of its draws and its number alone: whoever
knows these makes it again to the last bit, whatever else is asked for and in which order.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard.cube import FloatArray
from ard.errors import ArdError, FormatError, UnitError
from ard.table import read_ecsv
from pipeline.falsify.tasks import Model
from pipeline.infer.families import Family, Isotropic, LogUniform, Uniform
from pipeline.infer.prior import Parameter, Prior

KINDS: Final = ("sobol", "random")
MOST: Final = 2**30  # points of a Sobol sequence of 30 bits
_SEEDS: Final = 2**63

_RANGE = "reference/science.md section 4"
# Wide enough for the published galaxy (Sanchez Almeida et al. 2023, A&A 673, L9) and its twin
# IC 5249, and for discs that end at the tip, 62 kpc from the host, with or without a gap to it.
PRIOR: Final = Prior(
    (
        Parameter(
            "log_m_baryon", "dex(solMass)", Uniform(8.8, 10.9),
            "47 V^4 (McGaugh 2012) at 60 and 200 km/s; 9.8 published",
        ),
        Parameter("gas_fraction", "", Uniform(0.3, 0.8), f"{_RANGE}; gas over stars and gas"),
        Parameter("r_d_kpc", "kpc", Uniform(3.0, 12.0), f"{_RANGE}; scale length of the stars"),
        Parameter(
            "gas_ratio", "", Uniform(0.8, 2.0),
            "scale length of the gas over that of the stars: 1.3 published, gas reaches farther",
        ),
        Parameter(
            "h_z_kpc", "kpc", LogUniform(0.2, 1.5),
            f"{_RANGE}: 0.2 to 1.2, widened for z_0 = 1.2 as published; sech^2(z / h_z)",
        ),
        Parameter(
            "log_m_halo", "dex(solMass)", Uniform(10.0, 12.3),
            "circular speeds of 37 to 218 km/s at the virial radius; within 200 critical densities",
        ),
        Parameter(
            "concentration", "", LogUniform(4.0, 16.0),
            "6.4 within a factor of 1.7, two standard deviations, at 1.5e11 Msun and z = 0.96 "
            "(Dutton & Maccio 2014), widened for the denser haloes of superthin galaxies",
        ),
        Parameter(
            "log_m_central", "dex(solMass)", Uniform(4.0, 8.5),
            "from none that counts to a tenth of the published stars: it has no bulge",
        ),
        Parameter(
            "sigma_gas_kms", "km/s", LogUniform(5.0, 60.0),
            "thermal width of neutral gas to the turbulence of discs at z = 1",
        ),
        Parameter(
            "sigma_star_kms", "km/s", LogUniform(10.0, 80.0),
            "radial; 25 published, a factor of three about it",
        ),
        Parameter(
            "r_max_kpc", "kpc", Uniform(18.0, 32.0),
            f"{_RANGE}: 20 to 26, widened: 31 reaches from host to tip; the light ends there",
        ),
        Parameter(
            "centre_kpc", "kpc", Uniform(20.0, 45.0),
            f"{_RANGE}: 20 to 35, widened: 45 kpc of light (Montes et al. 2024) that end at the "
            "tip have their middle at 39.5; from the host along the line, projected",
        ),
        Parameter(
            "offset_kpc", "kpc", Uniform(-1.0, 1.0),
            "the line is 1 kpc wide (Montes et al. 2024); across the line",
        ),
        Parameter(
            "inclination_deg", "deg", Isotropic(70.0, 90.0),
            "all directions alike; at 70 deg 40 kpc are 14 kpc wide, which the line is not",
        ),
        Parameter("spin", "", Uniform(-1.0, 1.0), "its sign says which side recedes"),
    )
)  # fmt: skip

# What has a meaning at all; a table may go beyond the prior.
_LENGTH: Final = (1e-3, 1e4)
_LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "log_m_baryon": (0.0, 15.0),
    "gas_fraction": (1e-6, 1.0 - 1e-6),  # there is light of gas, and of stars
    "r_d_kpc": _LENGTH,
    "gas_ratio": (1e-3, 1e3),
    "h_z_kpc": _LENGTH,
    "log_m_halo": (0.0, 16.0),
    "concentration": (0.1, 1e3),
    "log_m_central": (0.0, 15.0),
    "sigma_gas_kms": (1e-3, 1e4),
    "sigma_star_kms": (1e-3, 1e4),
    "r_max_kpc": _LENGTH,
    "centre_kpc": (-1e3, 1e3),
    "offset_kpc": (-1e3, 1e3),
    "inclination_deg": (0.0, 90.0),
    "spin": (-1.0, 1.0),
}


def propose(numbers: Iterable[int], seed: int, kind: str) -> list[Model]:
    """Draw models from `PRIOR`.

    Parameters
    ----------
    numbers : iterable of int
        Which models, from 0, in any order.
    seed : int
    kind : {"sobol", "random"}
        A scrambled Sobol sequence (Owen 1998), which covers the prior more evenly the more of its
        first models there are, best a power of 2; or independent draws.

    Returns
    -------
    list of Model
        In the order of `numbers`.

    Raises
    ------
    ArdError
        If kind, seed or a number cannot be used.
    """
    wanted = [int(number) for number in numbers]
    most = MOST if kind == "sobol" else _SEEDS
    _require(kind in KINDS, "there is no such kind of draws", ", ".join(KINDS), kind)
    _require(0 <= seed < _SEEDS, "the seed cannot be used", f"0 to {_SEEDS - 1}", seed)
    for number in wanted:
        _require(0 <= number < most, "there is no such model", f"0 to {most - 1}", number)
    points = _sobol(wanted, seed) if kind == "sobol" else _random(wanted, seed)
    return [Model(number, _placed(points[number])) for number in wanted]


def from_table(path: str | Path) -> list[Model]:
    """Read models from an ECSV table: a row for each, a column for each parameter.

    Parameters
    ----------
    path : path-like
        Columns as `PRIOR` names them, in any order. A column with a unit is converted; one
        without has that of `PRIOR`.

    Returns
    -------
    list of Model
        Numbered from 0 in the order of the rows.

    Raises
    ------
    FormatError
        If the file is no ECSV table, holds no row, lacks a parameter or has one too many, or two
        rows are one galaxy.
    UnitError
        If a column's unit is that of something else.
    ArdError
        If a value means nothing.
    """
    place = Path(path)
    data = read_ecsv(place).data
    missing = sorted(set(PRIOR.names) - set(data.colnames))
    unknown = sorted(set(data.colnames) - set(PRIOR.names))
    if missing or unknown or not len(data):
        lacks = [f"without {', '.join(missing)}"] if missing else []
        more = [f"with {', '.join(unknown)}"] if unknown else []
        raise FormatError(
            "the table does not hold the parameters of galaxies",
            file=place,
            expected=f"one row or more of {', '.join(PRIOR.names)}",
            found="; ".join(lacks + more) or "no row",
            action="correct the columns of the table",
        )
    columns = {p.name: _column(data[p.name], p, place) for p in PRIOR.parameters}
    models = []
    for row in range(len(data)):
        parameters = {name: float(values[row]) for name, values in columns.items()}
        _require_meaning(parameters, place, row)
        models.append(Model(row, parameters))
    _require_distinct(models, place)
    return models


def _require_distinct(models: list[Model], place: Path) -> None:
    """Make sure that no galaxy is told twice: it would count as two that were tried."""
    first: dict[tuple[float, ...], int] = {}
    for model in models:
        # The sign of the spin is all of it that counts.
        own = {**model.parameters, "spin": float(model.parameters["spin"] >= 0.0)}
        row = first.setdefault(tuple(own[name] for name in PRIOR.names), model.number)
        if row != model.number:
            raise FormatError(
                "two rows of the table are one galaxy",
                file=place,
                expected="each galaxy once; of the spin the sign alone counts",
                found=f"rows {row} and {model.number}",
                action="leave one of them out",
            )


def _sobol(numbers: list[int], seed: int) -> dict[int, FloatArray]:
    from scipy.stats import qmc  # slow to import, and a plan does not need it

    engine = qmc.Sobol(len(PRIOR.names), scramble=True, seed=np.random.default_rng(seed))
    points: dict[int, FloatArray] = {}
    for number in sorted(set(numbers)):
        if number > engine.num_generated:
            engine.fast_forward(number - engine.num_generated)
        points[number] = engine.random(1)[0]
    return points


def _random(numbers: list[int], seed: int) -> dict[int, FloatArray]:
    streams = {n: np.random.Philox(key=[seed, n]) for n in set(numbers)}
    return {n: np.random.Generator(s).random(len(PRIOR.names)) for n, s in streams.items()}


def _placed(point: FloatArray) -> dict[str, float]:
    pairs = zip(PRIOR.parameters, point.tolist(), strict=True)
    return {p.name: _quantile(p.family, place) for p, place in pairs}


def _quantile(family: Family, place: float) -> float:
    """Give the value below which that part of the probability lies.

    One number at a time: arrays of numpy round by their length and their place in memory.
    """
    match family:
        case Uniform(low, high):
            value = low + (high - low) * place
        case LogUniform(low, high):
            value = low * math.exp(math.log(high / low) * place)
        case Isotropic(low, high):
            first, last = math.cos(math.radians(low)), math.cos(math.radians(high))
            value = math.degrees(math.acos(first + (last - first) * place))
        case _:
            raise ArdError(
                "a galaxy's parameter cannot be drawn",
                expected="a prior of the families uniform, log_uniform, isotropic",
                found=family.name,
                action="correct the prior",
            )
    low, high = family.support
    return min(max(value, low), high)


def _column(column: Any, parameter: Parameter, place: Path) -> FloatArray:
    from astropy import units

    if column.dtype.kind not in "fiu":
        raise FormatError(
            f"the column '{parameter.name}' does not hold numbers",
            file=place,
            expected="numbers",
            found=str(column.dtype),
            action="correct the table",
        )
    # As float first: a whole number has no NaN.
    values = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
    if column.unit is None:
        return np.asarray(values, np.float64)
    try:
        measured = np.asarray(values, np.float64) * units.Unit(column.unit)
        return np.asarray(measured.to_value(units.Unit(parameter.unit)), np.float64)
    except (units.UnitConversionError, ValueError, TypeError) as error:
        raise UnitError(
            f"the column '{parameter.name}' has the unit of something else",
            file=place,
            expected=parameter.unit or "no unit",
            found=column.unit,
            action="correct the unit",
        ) from error


def _require_meaning(parameters: Mapping[str, float], place: Path, row: int) -> None:
    """Make sure that a galaxy can be computed; NaN cannot."""
    units = {p.name: p.unit for p in PRIOR.parameters}
    wrong = [
        (f"'{name}'", f"{low:g} to {high:g} {units[name]}".rstrip(), parameters[name])
        for name, (low, high) in _LIMITS.items()
        if not low <= parameters[name] <= high
    ]
    shortest = parameters["r_d_kpc"] * min(1.0, parameters["gas_ratio"])
    if not wrong and parameters["h_z_kpc"] > shortest:
        # Three Miyamoto-Nagai discs cannot make a thicker one (Smith et al. 2015).
        wrong = [("'h_z_kpc'", "no more than both scale lengths", parameters["h_z_kpc"])]
    if wrong:
        name, expected, found = wrong[0]
        raise ArdError(
            f"{name} of the galaxy in row {row} means nothing",
            file=place,
            expected=expected,
            found=found,
            action="correct the table",
        )


def _require(proper: bool, problem: str, expected: str, found: object) -> None:
    if not proper:
        action = "correct the settings of the campaign"
        raise ArdError(problem, expected=expected, found=found, action=action)
