"""Do the right exposures go in, and does the document say what was done?

Oracles: the truth of the simulated observation, the schema, and what was planted.
"""

import numpy as np
import pytest
from astropy.io import fits

import ard
import schemas
from ard.describe import unit_text
from ard.fitsio import write_hdus
from manifests import load_target
from pipeline.reduce import exposures as roles_stage
from pipeline.reduce.combine.exposure import open_exposure
from pipeline.reduce.combine.grid import Grid
from pipeline.reduce.combine.overlap import operator
from pipeline.reduce.combine.rejection import smoothing
from pipeline.reduce.combine.stack import combine
from pipeline.reduce.combine.stage import Config, against_archive, choose, run
from schemas import tables


def inputs(twin, item: str = "t001") -> dict:
    files = {path.name: path for path in sorted((twin / "archive").glob("*_nrs1_s3d.fits"))}
    facts = {name: roles_stage.read_exposure(path) for name, path in files.items()}
    return {
        "item": item,
        "exposures": {name: open_exposure(path) for name, path in files.items()},
        "roles": roles_stage.run(exposures=facts, config=roles_stage.Config())["exposures"],
        "cube": open_exposure(next((twin / "archive").glob(f"*_{item}_*_s3d.fits"))),
        "target": load_target("rbh1"),
    }


@pytest.fixture(scope="module")
def made(twin):
    return run(**inputs(twin), config=Config())


def test_only_science_of_the_pointing_goes_in(made, twin):
    truth = ard.io.read_json(twin / "truth/truth.json")["pointings"]["t001"]
    document = made["combination"]
    assert sorted(row["filename"] for row in document["exposures"]) == sorted(truth["science"])
    assert sorted(row["filename"] for row in document["set_aside"]) == sorted(truth["imprint"])
    assert {row["role"] for row in document["set_aside"]} == {"imprint"}


def test_the_document_follows_its_schema_and_the_table_its_model(made):
    document = made["combination"] | {"provenance": None}
    assert schemas.validate(document, "combination") == ()
    table = made["resampling"].data
    columns = {name: np.asarray(table[name]).tolist() for name in table.colnames}
    units = {name: unit_text(table[name].unit) for name in table.colnames}
    assert tables.validate(columns, units, "resampling") == ()


def test_the_cube_is_the_archives_but_for_outliers(made):
    """Oracle: most voxels of the simulated cubes have no outlier, and are the same mean."""
    archive = made["combination"]["archive"]
    assert archive["compared"] > 30_000
    assert abs(archive["median_err"]) < 1e-5
    assert archive["scatter_err"] < 1e-5
    assert archive["scatter_noise"] == pytest.approx(archive["scatter_err"] / 1.9, rel=0.05)
    assert made["combination"]["scatter_over_err"] == pytest.approx(1.9, rel=0.05)
    cube = made["cube"]
    assert cube.simulated
    assert (cube.meta["NCOMBINE"], cube.meta["EFFEXPTM"]) == (4, pytest.approx(4 * 3501.334))
    assert "FILENAME" not in cube.meta
    assert cube.lsf is not None
    assert cube.psf is not None


def resampled(values: np.ndarray, area) -> np.ndarray:
    """Put (n, n_in) values on another grid, as a mean over area; NaN where little fell."""
    total = np.asarray(area.sum(axis=1)).ravel()
    seen = total > 0.5
    return np.where(seen, (area @ values.T).T / np.where(seen, total, 1.0), np.nan)


@pytest.mark.parametrize(("same", "low", "high"), [(True, 0.2, 0.9), (False, 1.05, 2.0)])
def test_resampling_twice_is_no_other_cube_but_other_exposures_are(same, low, high, expose, moved):
    """Detector, grids of exposures, grid of the archive, all offset by parts of spaxels.

    Oracle: the archive's cube is made from the detector at once, of the same noise or of another.
    Errors, which lack the correlation of the exposures, would take both for other cubes.
    """
    rng, n, shape, grid_shape = np.random.default_rng(0), 30, (26, 26), (30, 30)
    detector = [(0.3, 0.45), (2.05, 2.8), (0.6, 2.15), (1.85, 0.7)]
    own = [(0.0, 0.0), (2.0, 2.3), (0.25, 2.5), (1.55, 0.4)]
    grid = Grid(moved(), grid_shape, 1.0 + 1e-3 * np.arange(n))
    made, archive = [], []
    for k in range(4):
        noise = 1.9 * rng.normal(size=(n, 26 * 26))
        first = operator(moved(*detector[k]), shape, moved(*own[k]), (27, 27)).matrix
        err = np.broadcast_to(smoothing(first).reshape(27, 27), (n, 27, 27))  # of ERR 1
        flux = resampled(noise, first).reshape(n, 27, 27)
        made.append(expose(f"e{k}", flux, moved(*own[k]), err, wave=grid.wave))
        shown = noise if same else 1.9 * rng.normal(size=noise.shape)
        direct = operator(moved(*detector[k]), shape, grid.wcs, grid_shape).matrix
        archive.append(np.nan_to_num(resampled(shown, direct)))
    inner = np.zeros((n, *grid_shape), bool)
    inner[:, 5:22, 5:22] = True
    cube = np.where(inner, np.mean(archive, axis=0).reshape(n, *grid_shape), np.nan)
    found = combine(made, grid)
    scatter = float(np.nanmedian(found.scale))
    facts = against_archive(found.cube(), expose("archive", cube, moved(), wave=grid.wave), scatter)
    assert facts["compared"] > 5000
    assert facts["scatter_err"] > 1.0
    assert low < facts["scatter_noise"] < high


def test_a_jackknife_leaves_out_what_the_settings_name(twin):
    given = inputs(twin)
    name = "jw03149001001_02101_00002_nrs1_s3d.fits"
    document = run(**given, config=Config(leave_out=(name,)))["combination"]
    assert document["left_out"] == [name]
    assert name not in [row["filename"] for row in document["exposures"]]
    with pytest.raises(ard.NotFoundError, match="left out"):
        run(**given, config=Config(leave_out=("jw03149001001_04101_00001_nrs1_s3d.fits",)))


def test_a_pointing_that_has_only_imprints_is_refused(twin):
    given = inputs(twin)
    data = given["roles"].data
    data["role"] = ["imprint" if p == "t001" else r
                    for r, p in zip(data["role"], data["pointing"], strict=True)]  # fmt: skip
    with pytest.raises(ard.FormatError, match="no exposure of t001 shows the sky") as caught:
        run(**given, config=Config())
    assert "06101_00001_nrs1_s3d.fits (imprint)" in caught.value.found


def test_a_cube_that_does_not_say_where_it_points_goes_by_its_name(twin):
    given = inputs(twin, "t002")
    by_place = choose(given["roles"], "t002", given["cube"], 0.3)
    del given["cube"].meta["TARG_RA"]
    assert choose(given["roles"], "t002", given["cube"], 0.3) == by_place
    assert choose(given["roles"], "t001", given["cube"], 0.3) != by_place


def test_a_subtracted_archive_cube_is_not_compared(twin):
    given = inputs(twin)
    given["cube"].meta["S_BKDSUB"] = "COMPLETE"
    archive = run(**given, config=Config())["combination"]["archive"]
    assert archive["subtracted"]
    assert (archive["compared"], archive["median_err"]) == (0, None)


def test_an_exposure_of_another_grating_setting_is_named(twin, tmp_path):
    given = inputs(twin)
    name = "jw03149001001_02101_00003_nrs1_s3d.fits"
    with fits.open(twin / "archive" / name) as hdus:
        hdus["SCI"].header["CRVAL3"] += 1e-4
        write_hdus(tmp_path / name, hdus)
    given["exposures"][name] = open_exposure(tmp_path / name)
    with pytest.raises(ard.FormatError, match="different wavelengths") as caught:
        run(**given, config=Config())
    assert name in str(caught.value)
    assert given["cube"].filename in str(caught.value)
