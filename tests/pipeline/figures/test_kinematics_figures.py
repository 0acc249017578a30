"""Figures of the posteriors of spaxels (oracle: the maps they draw, and sums written as loops)."""

import io
from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS
from matplotlib.image import imread

import ard
from ard.maps import Flag
from manifests import load_target
from pipeline.figures import kinematics
from pipeline.figures.kinematics import Config

RBH1 = load_target("rbh1")
WAVE = (0.9703180286 + 0.000636 * np.arange(1447))[480:540]
NY, NX = 14, 12
KMS = "km/s"
FLUX = "erg s-1 cm-2 arcsec-2"


def sky() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [NX / 2, NY / 2]
    wcs.wcs.crval = [RBH1.anchor.ra_deg, RBH1.anchor.dec_deg]
    wcs.wcs.cdelt = [-0.1 / 3600, 0.1 / 3600]
    wcs.wcs.set()
    return wcs


def product() -> ard.Map:
    """A gradient; the left half has no line, one spaxel is below the gate, one is masked."""
    y, x = np.mgrid[:NY, :NX].astype(float)
    layers, units = {}, {}
    for name, values, unit in (
        ("velocity", -300.0 + 10.0 * y, KMS),
        ("sigma", 50.0 + x, KMS),
        ("flux_halpha", 1e-17 * (1.0 + x), FLUX),
        ("flux_nii6583", 1e-18 * (1.0 + x), FLUX),
    ):
        parts = {name: values, f"{name}_err": 0.1 * np.abs(values)}
        parts |= {
            f"{name}_p160": 0.9 * values,
            f"{name}_p500": values,
            f"{name}_p840": 1.1 * values,
        }
        layers |= parts
        units |= dict.fromkeys(parts, unit)
    flag = np.where(x < 6, Flag.NO_LINE, 0.0)
    flag[3, 8], flag[4, 8] = Flag.BELOW_GATE, Flag.AT_EDGE
    layers |= {"log_bayes": 10.0 * x - 50.0, "ess": np.full(x.shape, 400.0), "flag": flag}
    units |= dict.fromkeys(("log_bayes", "ess", "flag"), "")
    mask = np.zeros((NY, NX), bool)
    mask[0, 7] = True
    return ard.Map(layers, units, mask, sky(), {"SIMULATD": True})


def with_two() -> ard.Map:
    """The same, and two components tried in four columns: better than one in two of them."""
    one = product()
    y, x = np.mgrid[:NY, :NX].astype(float)
    tried = (x >= 6) & (x < 10)
    values = {"log_bayes": 40.0 * (x - 7.5), "flag": np.where(y == 5, 8.0, 0.0)}
    for number, shift in ((1, -150.0), (2, 180.0)):
        values[f"velocity_{number}"] = shift + 3.0 * y
        values[f"sigma_{number}"] = 30.0 + 5.0 * number + x
        values |= {f"{n}_{number}_err": 5.0 + y for n in ("velocity", "sigma")}
    layers = {f"two_{name}": np.where(tried, value, np.nan) for name, value in values.items()}
    units = {n: "" if n.endswith(("bayes", "flag")) else KMS for n in layers}
    return replace(one, layers={**one.layers, **layers}, units={**one.units, **units})


def cube() -> ard.Cube:
    rng = np.random.default_rng(5)
    shape = (WAVE.size, NY, NX)
    mask = rng.random(shape) < 0.05
    flux = np.where(mask, np.nan, rng.normal(3.0, 0.1, shape))
    return ard.Cube(flux, np.full(shape, 0.01), mask, WAVE, sky(), meta={"SIMULATD": True})


def drawn(config=None, **changes):
    given = {"kinematics": {"halpha": product()}, "cube": cube(), "target": RBH1} | changes
    return kinematics.run(**given, config=config or Config())


def test_figures_repeat_and_their_tables_hold_what_is_shown():
    one, other = drawn(), drawn()
    for name in ("figure", "pv"):
        assert one[name]["halpha"] == other[name]["halpha"]
        assert imread(io.BytesIO(one[name]["halpha"]))[..., :3].std() > 0.05
    table = one["data"]["halpha"].data
    assert len(table) == NY * NX - 1
    y, x = np.asarray(table["y"]), np.asarray(table["x"])
    np.testing.assert_array_equal(table["velocity_err"].value, product()["velocity_err"][y, x])
    expected = (x >= 6) & ~((y == 3) & (x == 8))
    np.testing.assert_array_equal(np.asarray(table["shown"]), expected)
    assert one["data"]["halpha"].simulated
    assert one["pv_data"]["halpha"].simulated


def test_two_components_are_drawn_where_they_were_tried():
    """Oracle: construction; spaxels of columns 8 and 9, without a row below the gate."""
    double = kinematics._double(with_two())
    expected = np.zeros((NY, NX), bool)
    expected[:, 8:10] = True
    expected[5] = False
    np.testing.assert_array_equal(double, expected)
    assert f"in {expected.sum()} of {4 * NY - 1} spaxels tried" in kinematics._title(
        "halpha", with_two(), RBH1
    )
    made = drawn(kinematics={"halpha": with_two()})
    picture = imread(io.BytesIO(made["figure"]["halpha"]))
    assert picture.shape[0] > picture.shape[1]  # four rows; that of one component is wide
    assert "two_velocity_2" in made["data"]["halpha"].data.colnames


def test_a_step_is_the_mean_of_its_spaxels_weighted_by_flux():
    # Slow reference: a loop over the spaxels, with a flat sky.
    config = Config(half_width_arcsec=0.35)
    rows = drawn(config)["pv_data"]["halpha"].data
    rows = rows[rows["series"] == "velocity"]
    angle = np.deg2rad(RBH1.position_angle_deg)
    steps: dict[int, list[tuple[float, float]]] = {}
    for y in range(NY):
        for x in range(NX):
            east, north = -0.1 * (x - NX / 2 + 1), 0.1 * (y - NY / 2 + 1)
            along = east * np.sin(angle) + north * np.cos(angle)
            across = east * np.cos(angle) - north * np.sin(angle)
            if abs(across) > 0.35 or not kinematics.shown(product())[y, x]:
                continue
            step = int(np.floor(along / 0.1 + 0.5))
            steps.setdefault(step, []).append((1e-17 * (1 + x), -300.0 + 10.0 * y))
    assert len(steps) > 3
    for row in rows:
        inside = steps.get(round(float(row["along"].value) / 0.1), [])
        assert row["spaxels"] == len(inside)
        if inside:
            mean = sum(f * v for f, v in inside) / sum(f for f, _ in inside)
            assert row["p500"].value == pytest.approx(mean, rel=1e-9)
            assert row["p840"].value == pytest.approx(1.1 * mean, rel=1e-9)
        else:
            assert np.isnan(row["p500"].value)


def test_light_on_the_axis_is_the_mean_less_the_continuum():
    # Inverse construction: a line of 2 MJy/sr in one channel, over a continuum of 3.
    flat = cube()
    flux = np.full(flat.shape, 3.0)
    rest = RBH1.line("Halpha").wave_obs_um(RBH1.redshift)
    channel = int(np.argmin(np.abs(WAVE - rest)))
    flux[channel] += 2.0
    rows = drawn(cube=flat.replace(flux=np.where(flat.mask, np.nan, flux)))["pv_data"]["halpha"]
    light = rows.data[rows.data["series"] == "light"]
    velocity = np.asarray(light["channel_velocity"].value)
    near = np.abs(velocity) == np.abs(velocity).min()
    np.testing.assert_allclose(light["flux"].value[near], 2.0, atol=1e-12)
    np.testing.assert_allclose(light["flux"].value[~near], 0.0, atol=1e-12)


def test_nothing_found_is_drawn_all_the_same():
    empty = product()
    flags = np.full(empty.shape, float(Flag.NO_LINE))
    masked = {"log_bayes": np.full(empty.shape, np.nan), "flag": flags}
    for changed in (
        empty.replace(layers={**empty.layers, "flag": flags}),
        empty.replace(layers={**empty.layers, **masked}, mask=np.ones(empty.shape, bool)),
    ):
        found = drawn(kinematics={"halpha": changed})
        assert found["pv"]["halpha"].startswith(b"\x89PNG")
        assert found["figure"]["halpha"].startswith(b"\x89PNG")
        rows = found["pv_data"]["halpha"].data
        assert np.isnan(rows["p500"][rows["series"] != "light"].value).all()


def test_a_cube_without_a_good_voxel_and_a_target_without_an_axis_are_drawn():
    blank = cube().replace(mask=np.ones((WAVE.size, NY, NX), bool))
    assert drawn(cube=blank)["pv"]["halpha"].startswith(b"\x89PNG")
    lone = replace(RBH1, position_angle_deg=None)
    assert drawn(target=lone)["pv"]["halpha"].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"step_arcsec": 0.0}, "must be positive"), ({"continuum_kms": 800.0}, "must be above")],
)
def test_settings_that_cannot_be_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        Config(**wrong)
