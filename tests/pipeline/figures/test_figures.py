"""Figures: repeatable bytes, and tables that hold what is shown (oracle: the products)."""

import io

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from astropy.wcs import WCS
from matplotlib.image import imread
from run_documents import noise_document

import ard
from manifests import load_target
from pipeline.figures import apertures, ghosts, maps, noise, spectra, style

RBH1 = load_target("rbh1")


def sky(nx: int, ny: int, angle: float = 0.4) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [nx / 2, ny / 2]
    wcs.wcs.crval = [RBH1.anchor.ra_deg, RBH1.anchor.dec_deg]
    wcs.wcs.cdelt = [0.1 / 3600, 0.1 / 3600]
    c, s = np.cos(angle), np.sin(angle)
    wcs.wcs.pc = [[-c, s], [s, c]]
    wcs.wcs.set()
    return wcs


def linemap(*, simulated: bool = True) -> ard.Map:
    y, x = np.mgrid[:12, :10]
    layers = {
        "velocity": 10.0 * (x - 4.5),
        "sigma": 30.0 + y,
        "snr": 1.0 + 3.0 * y,
        "flux_halpha": 1e-17 * (1 + x),
        "flux_nii6583": 1e-18 * (1 + x),
    }
    units = {
        "velocity": "km/s", "sigma": "km/s", "snr": "",
        "flux_halpha": "erg s-1 cm-2 arcsec-2", "flux_nii6583": "erg s-1 cm-2 arcsec-2",
    }  # fmt: skip
    mask = np.zeros((12, 10), bool)
    mask[0, :3] = True
    return ard.Map(layers, units, mask, sky(10, 12), {"SIMULATD": simulated})


def test_map_figures_repeat_and_their_tables_hold_the_maps():
    one, other = (
        maps.run(linemaps={"halpha": linemap()}, target=RBH1, config=maps.Config())
        for _ in range(2)
    )
    assert one["figure"]["halpha"] == other["figure"]["halpha"]
    picture = imread(io.BytesIO(one["figure"]["halpha"]))
    assert picture.shape[0] > 300
    assert picture.shape[1] > 1000
    assert picture[..., :3].std() > 0.05  # something is drawn
    table = one["data"]["halpha"].data
    assert len(table) == 117
    y, x = np.asarray(table["y"]), np.asarray(table["x"])
    np.testing.assert_array_equal(table["velocity"].value, linemap()["velocity"][y, x])
    assert str(table["velocity"].unit) == "km / s"


def test_a_map_with_nothing_bright_is_drawn_all_the_same():
    faint = linemap().replace(
        layers={**linemap().layers, "snr": np.full((12, 10), np.nan)},
    )
    result = maps.run(linemaps={"halpha": faint}, target=RBH1, config=maps.Config())
    assert result["figure"]["halpha"].startswith(b"\x89PNG")


def test_the_spectrum_is_the_mean_over_the_aperture():
    """Oracle: the mean written as a loop over the spaxels of the circle."""
    rng = np.random.default_rng(2)
    shape = (40, 12, 10)
    mask = rng.random(shape) < 0.1
    flux = rng.normal(1, 0.1, shape)
    cube = ard.Cube(
        np.where(mask, np.nan, flux), np.full(shape, 0.01), mask,
        1.27 + 0.000636 * np.arange(40), sky(10, 12), meta={"SIMULATD": True},
    )  # fmt: skip
    seen = {"noise": {"scale": [1.5] * 39 + [None]}}
    config = spectra.Config(aperture_arcsec=0.25)
    one = spectra.run(cube=cube, seen=seen, target=RBH1, config=config)
    table = one["spectrum_data"].data
    near = [(y, x) for y in range(12) for x in range(10) if np.hypot(x - 4, y - 5) <= 2.5]
    for k in (0, 17, 39):
        used = [flux[k, y, x] for y, x in near if not mask[k, y, x]]
        assert table["n_spaxels"][k] == len(used)
        assert table["flux"][k].value == pytest.approx(np.mean(used), rel=1e-12)
        assert table["err"][k].value == pytest.approx(0.1 / np.sqrt(len(used)), rel=1e-12)
    again = spectra.run(cube=cube, seen=seen, target=RBH1, config=config)
    assert (one["spectrum"], one["noise"]) == (again["spectrum"], again["noise"])
    assert np.isnan(one["noise_data"].data["scale"][-1])


def test_the_noise_figure_repeats_and_its_table_holds_the_model():
    model = noise_document({})
    one, other = (
        noise.run(model=model, target=RBH1, config=noise.Config(faintest=1e-4)) for _ in range(2)
    )
    assert one["figure"] == other["figure"]
    picture = imread(io.BytesIO(one["figure"]))
    assert picture[..., :3].std() > 0.05  # something is drawn
    rows = one["data"].data
    assert one["data"].simulated

    def values(panel: str, series: str) -> list[float]:
        return rows["value"][(rows["panel"] == panel) & (rows["series"] == series)].tolist()

    assert values("scale", "curve") == model["scale"]["value"]
    assert values("scale", "dithers") == model["dithers"]["scale"]["value"]
    assert np.isnan(values("scale", "channel")).all()
    for axis in ("wave", "y", "x"):
        assert values("correlation", axis) == model["correlation"][axis]["value"]
        assert values("kronecker", axis) == model["kronecker"][axis]
    assert values("whitened", "fir") == model["whitened"]["fir"]["density"]
    assert values("apertures", "kronecker") == [row["ratio"] for row in model["apertures"]]
    assert values("apertures", "fir") == [row["ratio_fir"] for row in model["apertures"]]


def test_the_noise_of_a_lone_cube_is_drawn_without_exposures():
    model = noise_document({})
    model["dithers"] = {**model["dithers"], "scale": None, "reason": "no exposures were given"}
    result = noise.run(model=model, target=RBH1, config=noise.Config())
    assert result["figure"].startswith(b"\x89PNG")
    assert "dithers" not in set(result["data"].data["series"])


def aperture_tables():
    """One aperture with H alpha and one without anything, and a line that is not detected."""
    wave = 1.27 + 0.000636 * np.arange(100)
    density, flux = u.Unit("erg s-1 cm-2 um-1"), u.Unit("erg s-1 cm-2")
    line = np.exp(-0.5 * ((wave - RBH1.line("Halpha").wave_obs_um(RBH1.redshift)) / 0.001) ** 2)
    parts = [(name, method) for name in ("tip", "wake1") for method in ("box", "optimal")]
    level = np.concatenate([1e-15 * (1 + (name == "tip") * line) for name, _ in parts])
    size = wave.size * len(parts)
    spectra_data = QTable(
        {
            "aperture": np.repeat([name for name, _ in parts], wave.size),
            "method": np.repeat([method for _, method in parts], wave.size),
            "wave": np.tile(wave, len(parts)) * u.um,
            "flux": np.where(np.arange(size) == 5, np.nan, level) * density,
            "err": np.full(size, 1e-17) * density,
            "model": level * density,
            "coverage": np.where(np.arange(size) == 5, 0.0, 1.0),
            "mask": np.arange(size) == 5,
        }
    )
    fluxes_data = QTable(
        {
            "aperture": ["tip", "tip"], "method": ["box", "box"], "line": ["Halpha", "NII6583"],
            "state": ["detected", "limit"], "flux": [1e-17, 1e-19] * flux,
        }
    )  # fmt: skip
    meta = {"SIMULATD": True}
    return ard.Table(spectra_data, meta), ard.Table(fluxes_data, meta)


def test_the_figure_of_the_apertures_repeats_and_its_table_holds_what_is_drawn():
    """Oracle: the products - rows of the method that is asked for, near lines of the band."""
    spectra_table, fluxes_table = aperture_tables()

    def draw(method):
        config = apertures.Config(method=method)
        return apertures.run(spectra=spectra_table, fluxes=fluxes_table, target=RBH1, config=config)

    one, other = draw("box"), draw("box")
    assert one["figure"] == other["figure"]
    picture = imread(io.BytesIO(one["figure"]))
    assert picture[..., :3].std() > 0.05
    table = one["data"].data
    assert set(table["method"]) == {"box"}
    assert set(table["aperture"]) == {"tip", "wake1"}
    waves = np.asarray(table["wave"].value)
    near = [line.wave_obs_um(RBH1.redshift) for line in RBH1.group_lines("halpha")]
    near += [line.wave_obs_um(RBH1.redshift) for line in RBH1.group_lines("sii")]
    reach = 2500.0 / 299792.458
    assert all(np.min(np.abs(wave / np.array(near) - 1)) <= reach * 1.001 for wave in waves)
    assert one["data"].simulated
    assert draw("optimal")["figure"] != one["figure"]
    with pytest.raises(ValueError, match="method must be"):
        apertures.Config(method="sum")


def test_limits_and_scales():
    assert style.limits(np.array([np.nan]), 2, 98) == (0.0, 1.0)
    assert style.limits(np.full(5, 3.0), 2, 98) == (2.5, 3.5)
    assert style.limits(np.arange(101.0), 2, 98) == (2.0, 98.0)
    assert style.pixel_arcsec(sky(10, 12)) == pytest.approx(0.1, rel=1e-12)
    assert style.extent(sky(10, 12), (12, 10), 4.0, 5.0) == pytest.approx(
        (-0.45, 0.55, -0.55, 0.65)
    )


def ghost_products(*, both: bool = True):
    wcs = sky(22, 24)
    ridge = 1e-16 * np.exp(-0.5 * ((np.arange(22) - 8) / 1.2) ** 2) * np.ones((24, 1))
    layers = {"plain_halpha": ridge, "plain_oiii5007": 2 * ridge}
    if both:
        layers |= {f"differenced_{n[6:]}": v - v[:, ::-1] for n, v in list(layers.items())}
    units = dict.fromkeys(layers, "erg s-1 cm-2 arcsec-2")
    linemap = ard.Map(layers, units, np.zeros((24, 22), bool), wcs, {"SIMULATD": True})
    methods = ["pointings", "annulus", "lowrank"]
    data = {
        "item": ["t001"] * 6,
        "aperture": ["tip"] * 3 + ["wake"] * 3,
        "line": ["Halpha"] * 6,
        "method": methods * 2,
        "ghost_fraction": [0.1, 0.0, 0.01, 0.2, 0.0, np.nan],
        "ghost_fraction_err": [0.02, 0.01, 0.01, 0.05, 0.01, np.nan],
        "model_fraction": [0.12, np.nan, np.nan, 0.18, np.nan, np.nan],
        "model_fraction_err": [0.03, np.nan, np.nan, 0.04, np.nan, np.nan],
    }
    offsets = [{"item": "t001", "east_arcsec": 0.88, "north_arcsec": 0.59}] if both else []
    return {
        "ghostmap": {"t001": linemap},
        "ghosts": ard.Table(QTable(data), {"SIMULATD": True}),
        "subtraction": {"offsets": offsets, "criterion": 0.2},
        "target": RBH1,
        "config": ghosts.Config(),
    }


def test_ghost_figures_repeat_and_their_tables_hold_what_they_show():
    one, other = (ghosts.run(**ghost_products()) for _ in range(2))
    assert one["figure"]["t001"] == other["figure"]["t001"]
    assert one["overview"] == other["overview"]
    for data in (one["figure"]["t001"], one["overview"]):
        assert imread(io.BytesIO(data))[..., :3].std() > 0.05
    table = one["data"]["t001"].data
    y, x = np.asarray(table["y"]), np.asarray(table["x"])
    expected = ghost_products()["ghostmap"]["t001"]["differenced_halpha"][y, x]
    np.testing.assert_array_equal(table["differenced_halpha"].value, expected)
    shown = one["overview_data"].data
    assert shown.colnames[-4:-2] == ["ghost_fraction", "ghost_fraction_err"]
    assert shown.colnames[-2:] == ["model_fraction", "model_fraction_err"]
    assert len(shown) == 6


def test_a_lone_pointing_has_one_row_of_maps():
    both, alone = (
        imread(io.BytesIO(ghosts.run(**ghost_products(both=b))["figure"]["t001"]))
        for b in (True, False)
    )
    assert alone.shape[0] < 0.7 * both.shape[0]
