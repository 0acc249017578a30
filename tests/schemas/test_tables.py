"""Do the table models accept the study's tables and find what is wrong with others?"""

import imagery
import numpy as np
import pytest

from ard.describe import unit_text
from manifests import load_target
from schemas import SchemaError, tables

NAN = float("nan")


def lines():
    target = load_target("rbh1")
    columns = {
        "name": [line.name for line in target.lines],
        "label": [line.label for line in target.lines],
        "wave_vac_um": [line.wave_vac_um for line in target.lines],
        "wave_obs_um": [line.wave_obs_um(target.redshift) for line in target.lines],
        "group": [line.group for line in target.lines],
        "ratio_to": [line.ratio_to or "" for line in target.lines],
        "ratio": [line.ratio or NAN for line in target.lines],
    }
    return columns, {"wave_vac_um": "um", "wave_obs_um": "um"}


def exposures():
    columns = {
        "filename": ["a.fits", "b.fits"],
        "role": ["science", "imprint"],
        "pointing": ["t001", "t001"],
        "dither": [1, 2],
        "level": ["2b", "2b"],
        "exptime_s": [3501.3, 102.0],
        "is_imprint": [False, True],
        "ra_deg": [40.44, 40.44],
        "dec_deg": [-8.35, -8.35],
        "err_median": [0.08, 2.3],
    }
    units = {"exptime_s": "s", "ra_deg": "deg", "dec_deg": "deg", "err_median": "MJy/sr"}
    return columns, units


def archive():
    columns = {
        "filename": ["a_s3d.fits", "b_s3d.fits"],
        "uri": ["mast:JWST/product/a_s3d.fits", "mast:JWST/product/b_s3d.fits"],
        "group": ["jwst_s3d", "jwst_s3d"],
        "size": [60330240.0, 53418240.0],
        "sha256": ["ab" * 32, "cd" * 32],
        "verified": ["archive", "none"],
        "cal_ver": ["1.17.1", ""],
        "crds_ctx": ["jwst_1322.pmap", ""],
        "sdp_ver": ["2025_1", ""],
        "role": ["science", "imprint"],
        "pointing": ["t001", ""],
        "dither": [1, 0],
        "level": ["3", "2b"],
        "shows_target": ["yes", "unknown"],
        "note": ["", "odd"],
    }
    return columns, {"size": "byte"}


def spectra():
    density = "erg/(cm2 s um)"
    columns = {
        "aperture": ["tip", "tip"],
        "method": ["box", "optimal"],
        "wave": [1.0, 1.001],
        "flux": [1e-15, NAN],
        "err": [1e-16, NAN],
        "continuum": [1e-15, 1e-15],
        "model": [1e-15, 1e-15],
        "coverage": [1.0, 0.3],
        "corr1": [0.2, NAN],
        "corr2": [0.0, NAN],
        "corr3": [0.0, NAN],
        "mask": [False, True],
    }
    units = dict.fromkeys(("flux", "err", "continuum", "model"), density) | {"wave": "um"}
    return columns, units


def fluxes():
    flux, density = "erg/(cm2 s)", "erg/(cm2 s um)"
    columns = {
        "aperture": ["tip"] * 3,
        "method": ["box"] * 3,
        "line": ["OIII5007", "OI6300", "SIII9069"],
        "group": ["oiii", "oi", "siii"],
        "wave_obs": [0.98, 1.24, 1.78],
        "state": ["detected", "limit", "not covered"],
        "flux": [1e-17, -1e-18, NAN],
        "flux_err": [1e-18, 1e-18, NAN],
        "snr": [10.0, -1.0, NAN],
        "upper_limit": [NAN, 3e-18, NAN],
        "velocity": [-300.0, NAN, NAN],
        "velocity_err": [10.0, NAN, NAN],
        "sigma": [80.0, NAN, NAN],
        "sigma_err": [12.0, NAN, NAN],
        "sigma_limit": [NAN, NAN, NAN],
        "kinematics": ["free", "reference:oiii", ""],
        "continuum": [1e-15, 1e-15, NAN],
        "chi2": [33.0, 30.0, NAN],
        "dof": [30, 31, 0],
        "coverage": [1.0, 0.9, NAN],
        "err_scale": [1.0, 1.2, NAN],
        "misfit": [1.05, 1.0, NAN],
        "profile_err": [0.05, 0.0, NAN],
        "suspect": [False, False, False],
        "area": [0.3] * 3,
        "inside": [1.0] * 3,
        "flux_true": [1.1e-17, NAN, NAN],
    }
    speeds = ("velocity", "velocity_err", "sigma", "sigma_err", "sigma_limit")
    units = dict.fromkeys(speeds, "km/s") | dict.fromkeys(
        ("flux", "flux_err", "upper_limit", "flux_true"), flux
    )
    return columns, units | {"wave_obs": "um", "continuum": density, "area": "arcsec2"}


def of(make):
    """The columns and units of a table that a tiny run holds."""
    data = make(None).data
    columns = {name: list(getattr(data[name], "value", data[name])) for name in data.colnames}
    units = {n: unit_text(data[n].unit) for n in columns if getattr(data[n], "unit", None)}
    return columns, units


def resampling():
    columns = {
        "dx": [0, -1],
        "dy": [0, 1],
        "correlation": [1.0, 0.2],
        "correlation_min": [1.0, 0.1],
        "correlation_max": [1.0, 0.3],
        "pairs": [9, 4],
    }
    return columns, {}


def ghosts():
    numbers = (
        "coverage filled flux flux_err flux_limit ghost_fraction ghost_fraction_err "
        "ghost_fraction_limit relative_flux relative_flux_err ghost_strength ghost_strength_err "
        "model_fraction model_fraction_err truth_fraction"
    )
    columns = {
        "item": ["t001", "t001"],
        "aperture": ["tip", "wake"],
        "line": ["Halpha", "Halpha"],
        "method": ["pointings", "combined"],
        "status": ["measured", "undetected"],
        "error_from": ["line-free", ""],
    } | {name: [0.5, NAN] for name in numbers.split()}
    columns["coverage"] = [0.5, 0.1]
    return columns, dict.fromkeys(("flux", "flux_err", "flux_limit"), "erg/(cm2 s)")


def strengths():
    columns = {
        "method": ["pointings", "standard"],
        "item": ["t001", "all"],
        "line": ["Halpha", "all"],
        "status": ["measured", "undetected"],
        "strength": [1.0, NAN],
        "strength_err": [0.1, NAN],
        "misfit": [1.1, NAN],
        "misfit_err": [0.1, NAN],
        "truth_strength": [1.0, NAN],
        "places": [9, 0],
    }
    return columns, {}


def sharing():
    columns, units = resampling()
    return columns | {"product": ["mosaic", "differenced"]}, units


def shock_models():
    columns = {
        "abundance": ["Allen2008_LMC", "Allen2008_LMC"],
        "density_cm3": [1.0, 1.0],
        "field_ug": [3.23, 3.23],
        "velocity_kms": [500.0, 500.0],
        "line": ["OIII_5007", "NII_6583"],
        "ratio": [2.39, NAN],
        "log_hbeta": [-3.5, NAN],
    }
    units = {"density_cm3": "cm-3", "field_ug": "uG", "velocity_kms": "km/s", "log_hbeta": "dex"}
    return columns, units


def shocks():
    numbers = ("information_nat", "edge_low", "edge_high", "p_metal_poor", "p_metal_poor_prior",
               "p_predictive")  # fmt: skip
    speeds = {f"v_p{k}": [200.0 + int(k), NAN] for k in ("025", "160", "500", "840", "975")}
    columns = {
        "spectrum": ["tip", "tip"],
        "prior": ["log_shifted", "fixed"],
        "floor": ["per line", "0.1"],
        **speeds,
        **{name: [0.5, NAN] for name in numbers},
        "chi2_min": [3.0, NAN],
        "log_evidence": [-4.0, NAN],
        "edge_limited": [True, False],
        "n_line": [4, 0],
    }
    return columns, dict.fromkeys(speeds, "km/s")


def shock_geometry():
    columns = {
        "v_shock": [500.0, 600.0],
        "v_shock_prior": [50.0, 2000.0],
        "v_star": [900.0, 1000.0],
        "curvature": [1.0, 2.0],
        "compression": [3.0, 4.0],
        "conserving": [True, False],
    }
    speeds = ("v_shock", "v_shock_prior", "v_star")
    return columns, dict.fromkeys(speeds, "km/s") | {"curvature": "kpc"}


def evaluations():
    columns = {
        "number": [0, 1],
        "rejected_by": ["", "toomre,too_fast"],
        "log_likelihood": [-12.5, NAN],
        "chi2": [400.0, NAN],
        "converged": [True, False],
    }
    return columns, {}


GOOD = {
    "archive": archive,
    "colours": lambda: of(imagery.colours_table),
    "evaluations": evaluations,
    "exposures": exposures,
    "fluxes": fluxes,
    "ghosts": ghosts,
    "lines": lines,
    "magnitudes": lambda: of(imagery.magnitudes_table),
    "photometry": lambda: of(imagery.photometry_table),
    "resampling": resampling,
    "sharing": sharing,
    "shockgeometry": shock_geometry,
    "shockmodels": shock_models,
    "shocks": shocks,
    "spectra": spectra,
    "strengths": strengths,
}


# Checks of whole rows need these, and say so first.
DEPENDED_ON = (
    *("ratio", "ratio_to", "name", "role", "is_imprint", "wave_obs_um"),
    *("correlation", "correlation_min", "correlation_max"),
    *("status", "method", "ghost_fraction"),
    *("rejected_by", "log_likelihood"),
)


@pytest.mark.parametrize("name", tables.names())
def test_good_table_is_accepted(name):
    columns, units = GOOD[name]()
    assert tables.validate(columns, units, name) == ()
    more = columns | {"remark": ["x"] * len(columns[next(iter(columns))])}
    assert tables.validate(more, units, name) == ()


@pytest.mark.parametrize("name", tables.names())
def test_each_column_is_needed(name):
    columns, units = GOOD[name]()
    for column in columns:
        if column in DEPENDED_ON:
            continue
        rest = {key: value for key, value in columns.items() if key != column}
        found = [str(problem) for problem in tables.validate(rest, units, name)]
        assert f"{column}: the column is missing" in found


@pytest.mark.parametrize(
    ("name", "column", "values", "where", "says"),
    [
        ("lines", "name", ["x"] * 10, "name", "uniqueness"),
        ("lines", "wave_vac_um", [-1.0] * 10, "wave_vac_um", "greater_than"),
        ("lines", "wave_obs_um", np.linspace(1, 2, 10), ".", "one redshift"),
        ("lines", "ratio_to", ["nothing"] * 10, ".", "must name a line of the table"),
        ("lines", "ratio", [NAN] * 10, ".", "a ratio needs a line"),
        ("lines", "ratio", ["high"] * 10, "ratio", "dtype"),
        ("shockmodels", "line", ["OIII_5007"] * 2, ".", "multiple_fields_uniqueness"),
        ("shockmodels", "ratio", [-0.1, 0.2], "ratio", "greater_than_or_equal_to"),
        ("shockmodels", "velocity_kms", [0.0, 500.0], "velocity_kms", "greater_than"),
        ("shockmodels", "log_hbeta", [1e3, NAN], "log_hbeta", "less_than"),
        ("shocks", "prior", ["log_shifted", "guessed"], "prior", "isin"),
        ("shocks", "floor", ["per line", "none"], "floor", "str_matches"),
        ("shocks", "v_p500", [2000.0, NAN], ".", "quantiles of a velocity increase"),
        ("shocks", "p_predictive", [1.2, NAN], "p_predictive", "less_than"),
        ("evaluations", "number", [1, 1], "number", "uniqueness"),
        ("evaluations", "number", [-1, 1], "number", "greater_than_or_equal_to"),
        ("evaluations", "rejected_by", ["", "Toomre, fast"], "rejected_by", "str_matches"),
        ("evaluations", "rejected_by", ["fast", "fast"], ".", "has no likelihood"),
        ("evaluations", "chi2", [0.0, NAN], "chi2", "greater_than"),
        ("evaluations", "converged", ["yes", "no"], "converged", "dtype"),
        ("spectra", "method", ["sum", "box"], "method", "isin"),
        ("spectra", "flux", [NAN, NAN], ".", "needs a flux and an error"),
        ("spectra", "err", [-1.0, NAN], "err", "greater_than"),
        ("spectra", "coverage", [1.2, 0.3], "coverage", "less_than"),
        ("fluxes", "state", ["seen"] * 3, "state", "isin"),
        ("fluxes", "flux", [1e-17, NAN, NAN], ".", "needs flux and error"),
        ("fluxes", "upper_limit", [NAN, NAN, NAN], ".", "nothing else, has an upper limit"),
        ("fluxes", "kinematics", ["guessed", "", ""], "kinematics", "str_matches"),
        ("fluxes", "sigma", [-1.0, NAN, NAN], "sigma", "greater_than"),
        ("archive", "sha256", ["ab" * 32, "AB" * 32], "sha256", "str_matches"),
        ("archive", "uri", ["mast:a", "mast:a"], "uri", "uniqueness"),
        ("archive", "verified", ["lock", "none"], "verified", "isin"),
        ("archive", "shows_target", ["yes", ""], "shows_target", "isin"),
        ("archive", "size", [0.0, 1.0], "size", "greater_than"),
        ("photometry", "brightness_err", [0.0, *[1.0] * 27], "brightness_err", "greater_than"),
        ("photometry", "to_arcsec", [0.5, *[9.0] * 27], ".", "ends after it begins"),
        ("magnitudes", "source", ["sky", "host", "wake", "wake"], "source", "isin"),
        ("colours", "kind", ["hue", "difference", "difference"], "kind", "isin"),
        ("colours", "colour", [0.5, NAN, NAN], ".", "a difference is no colour"),
        ("resampling", "correlation", [1.0, 0.4], ".", "between the smallest"),
        ("ghosts", "method", ["guess", "combined"], "method", "isin"),
        ("ghosts", "flux_err", [0.0, NAN], "flux_err", "greater_than"),
        ("ghosts", "ghost_fraction", [NAN, NAN], ".", "has a fraction"),
        ("resampling", "pairs", [9, 0], "pairs", "greater_than"),
        ("sharing", "product", ["mosaic", "deghosted"], "product", "isin"),
        ("sharing", "correlation", [1.0, -1.2], "correlation", "greater_than"),
        ("strengths", "method", ["annulus", "standard"], "method", "isin"),
        ("strengths", "strength_err", [0.0, NAN], "strength_err", "greater_than"),
        ("exposures", "role", ["science", "sky"], "role", "isin"),
        ("exposures", "role", ["imprint", "imprint"], ".", "no other"),
        ("exposures", "filename", ["a.fits", "a.fits"], "filename", "uniqueness"),
        ("exposures", "dither", [0, 1], "dither", "greater_than_or_equal"),
        ("exposures", "exptime_s", [0.0, 1.0], "exptime_s", "greater_than"),
        ("exposures", "err_median", [NAN, 1.0], "err_median", "not_nullable"),
        ("exposures", "ra_deg", [360.0, 1.0], "ra_deg", "less_than"),
        ("exposures", "dec_deg", [-91.0, 1.0], "dec_deg", "greater_than_or_equal"),
    ],
)
def test_wrong_values_are_found(name, column, values, where, says):
    columns, units = GOOD[name]()
    problems = tables.validate(columns | {column: list(values)}, units, name)
    assert any(p.where == where and says in p.problem for p in problems), problems


def test_every_failure_is_reported_not_only_the_first():
    columns, units = exposures()
    columns |= {"dither": [0, 1], "exptime_s": [-1.0, 1.0]}
    problems = tables.validate(columns, units | {"ra_deg": "rad"}, "exposures")
    assert {p.where for p in problems} == {"dither", "exptime_s", "ra_deg"}


def test_unknown_table():
    with pytest.raises(SchemaError, match="there is no table model 'invented'"):
        tables.model("invented")
    with pytest.raises(SchemaError, match="there is no table model"):
        tables.fields("invented")


def test_columns_have_units_where_their_name_says_so():
    ends = {"_um": "um", "_s": "s", "_deg": "deg"}
    for name in tables.names():
        for field in tables.fields(name):
            for end, unit in ends.items():
                if field.name.endswith(end):
                    assert field.unit == unit
