"""Does a campaign end among the products of its run, and stand before the judge?

Oracles: the campaign itself, read back from the files; the toy galaxies; the judge; bytes that are
equal when the same is exported again.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.units import Unit, solMass
from campaign_runs import (
    CHANNELS,
    COLUMNS,
    HOW,
    OBSERVED,
    ROWS,
    ToyRenderer,
    export,
    write_run,
)
from campaigns import AXES, OF_A_TABLE, REFERENCE, document_of, gaussian
from precision import x64
from runs import PNG

import ard
import schemas
from ard import io
from ard.describe import describe
from ard.errors import ArdError, FormatError
from ard.fitsio import write_hdus
from checks.judging import judge
from checks.result import Status
from manifests import load_target
from pipeline import fitted
from pipeline.falsify.cube.placing import nuisances
from pipeline.falsify.physics.dynamics import DynamicsSettings, motion
from pipeline.falsify.physics.hypothesis import PRIOR, propose
from pipeline.falsify.surface.exclusion import Field
from pipeline.falsify.surface.export import Given, label_of
from pipeline.falsify.surface.survey import Evaluations
from pipeline.falsify.surface.survivors import cubes_of, residuals_of, row_of
from pipeline.falsify.surface.table import unit_of, write_evaluations
from pipeline.figures import campaign as drawing
from pipeline.figures import residuals
from pipeline.graph import build_tasks
from pipeline.infer.frame import Frame
from pipeline.plans import stages_for, twin_plan
from pipeline.reduce.apertures.covariance import read_given_noise
from release.hlsp import Collection, product_name

N = 400
MODELS = gaussian(N)
TABLE = "products/validation/t001_evaluations-toy.fits"
SURFACE = "products/validation/t001_surface-toy.json"
MINE = ("evaluations", "surface", "disc")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run with an exported campaign, and what the export said."""
    root = tmp_path_factory.mktemp("run") / "run"
    with x64(True):
        write_run(root)
        return root, export(root, MODELS)


def judged(root):
    """What the judge says of the products of campaigns, other than good."""
    return bad(judge(root, waivers=()).results)


def bad(rows):
    return {
        (row.check, Path(row.product).name): row
        for row in rows
        if any(name in row.product for name in MINE) and row.status is not Status.PASSED
    }


def test_the_judge_accepts_what_is_exported(exported):
    rows = judge(exported[0], waivers=()).results
    assert bad(rows) == {}
    checked = {row.check for row in rows}
    assert {name for name in checked if name.startswith("campaign.")} == {
        f"campaign.{name}"
        for name in ("complete", "values", "conflicts", "shares", "counts", "cells", "marginal",
                     "best", "verdict", "kept")
    }  # fmt: skip


def test_the_table_is_the_campaign_and_needs_astropy_alone(exported):
    root, _ = exported
    table = Table.read(root / TABLE, hdu=1)
    own = ["number", "rejected_by", "log_likelihood", "chi2", "converged"]
    assert table.colnames == [*own, *MODELS.parameters, *MODELS.facts, "nuisance_v_sys_kms"]
    assert np.array_equal(table["number"], MODELS.number)
    assert np.array_equal(table["log_likelihood"], MODELS.log_likelihood, equal_nan=True)
    assert np.array_equal(table["converged"], MODELS.converged)
    reasons = tuple(
        tuple(filter(None, text.split(","))) for text in table["rejected_by"].filled("")
    )
    assert reasons == MODELS.reasons
    for name in AXES:
        assert np.array_equal(
            np.ma.filled(table[name], np.nan), MODELS.values(name), equal_nan=True
        )
    assert {n: str(table[n].unit) for n in ("r_d_kpc", "vmax_kms", "nuisance_v_sys_kms")} == {
        "r_d_kpc": "kpc", "vmax_kms": "km / s", "nuisance_v_sys_kms": "km / s",
    }  # fmt: skip
    header = fits.getheader(root / TABLE)
    assert {key: header[key] for key in OBSERVED} == OBSERVED
    assert header["SIMULATD"] is True


def test_the_surface_follows_its_schema_and_is_what_was_surveyed(exported):
    root, said = exported
    document = io.read_json(root / SURFACE)
    assert schemas.validate(document, "surface") == ()
    assert said.document == document
    # The tip is 53.75 kpc from the host, and the line leaves the cube after 4.5 of its spaxels.
    field = document["exclusion"]["field"]
    ends = 53.752 + np.array([-1, 1]) * 0.45 / np.cos(np.deg2rad(180.0 - 147.4)) * 7.937
    assert [field["low_kpc"], field["high_kpc"]] == pytest.approx(ends, abs=1e-3)
    expected = document_of(MODELS, rule=HOW.rule, field=Field(**field))
    assert {k: v for k, v in document.items() if k not in ("provenance", "campaign")} == {
        k: v for k, v in expected.items() if k not in ("provenance", "campaign")
    }
    assert document["exclusion"]["verdict"] == "CONFIRMED"
    assert said.sentence == document["sentence"]


def test_kept_galaxies_have_their_light_their_residuals_and_their_velocities(exported):
    root, said = exported
    renderer = ToyRenderer()
    where = np.ix_(CHANNELS, np.r_[ROWS], np.r_[COLUMNS])
    mask, data = renderer.noise.mask[where], renderer.cube.flux[where]
    for row in said.document["kept"]["rows"]:
        place = root / "products/representative"
        model, left = (ard.read_cube(place / row["files"][key]) for key in ("cube", "residual"))
        speed = 220.0 * MODELS.parameters["gas_fraction"][row["number"]]
        assert model.unit == left.unit == "MJy/sr"
        assert np.array_equal(model.mask, mask)
        assert np.allclose(model.wave, renderer.cube.wave[CHANNELS], rtol=1e-12)
        expected = renderer.lines(speed, renderer.cube.wave)[where] + 0.001
        assert np.allclose(model.flux[~mask], expected[~mask], rtol=1e-6, atol=1e-9)
        assert np.allclose((model.flux + left.flux)[~mask], data[~mask], atol=1e-6)
        assert np.allclose(model.err[~mask], 0.02, rtol=1e-6)
        field = io.read(place / row["files"]["map"])
        velocity = renderer.fields(speed)[1][ROWS, COLUMNS]
        assert np.allclose(field["velocity"], velocity, atol=1e-4)
        assert model.simulated
        assert field.simulated
        # A spaxel of the sub-cube is where it was in the cube.
        sky = model.wcs.pixel_to_world_values(0, 0)
        assert np.allclose(renderer.cube.wcs.world_to_pixel_values(*sky), (0, 1), atol=1e-9)


def test_what_is_left_is_in_errors_of_the_noise_product(exported):
    root, said = exported
    renderer = ToyRenderer()
    number = said.document["kept"]["rows"][0]["number"]
    rendered = renderer(*row_of(MODELS, number))
    noise = read_given_noise(root / "work/t001_noise.fits")
    left = residuals_of(rendered, renderer.cube, noise, load_target(root / "test.toml"))
    where = np.ix_(CHANNELS, np.r_[ROWS], np.r_[COLUMNS])
    expected = (renderer.cube.flux[where] - rendered.cube.flux[CHANNELS]) / 0.02
    assert np.allclose(left.pull, expected, rtol=1e-6, equal_nan=True)
    assert np.isnan(left.data).sum() == renderer.noise.mask[where].sum() == 1
    assert left.lines == {"Halpha": pytest.approx(0.6564632 * 1.964)}
    assert (left.y, left.x) == (1, 0)


@pytest.fixture
def undrawn(exported, tmp_path, monkeypatch):
    """A copy of the run, in which figures are not drawn again: that is tested by itself."""
    drawn = {"figure": PNG, "data": ard.Table(Table({"x": [1.0]}), {"SIMULATD": True})}
    for name in ("profiles", "pairs", "filters"):
        monkeypatch.setattr(drawing, name, lambda **_: drawn)
    monkeypatch.setattr(residuals, "run", lambda **_: drawn)
    shutil.copytree(exported[0], tmp_path / "run")
    with x64(True):
        yield tmp_path / "run"


def test_what_is_exported_again_has_the_same_bytes_and_what_is_gone_is_taken_away(
    exported, undrawn
):
    first = {name: path.read_bytes() for name, path in exported[1].paths.items()}
    again = export(undrawn, MODELS).paths
    assert set(again) == set(first)
    for name, path in again.items():
        assert "figures" in name or path.read_bytes() == first[name], name
    # Of a far reference none survives but the best.
    far = Given(replace(REFERENCE, log_likelihood=REFERENCE.log_likelihood + 1e3))
    fewer = export(undrawn, MODELS, far).paths
    assert len(fewer) == len(first) - 3
    assert not (undrawn / "products/representative/t001_disc-toy-02.fits").exists()
    assert judged(undrawn) == {}
    listed = {row["path"] for row in io.read_json(undrawn / "products/run.json")["products"]}
    assert set(fewer) <= listed
    assert not (set(first) - set(fewer)) & listed


def test_a_campaign_that_is_not_complete_can_be_looked_at_and_is_refused(undrawn):
    said = export(undrawn, MODELS, n_model=N + 2, conflicts=1)
    assert said.document["exclusion"]["verdict"] == "NOT EVALUATED"
    assert said.document["missing"] == {"n": 2, "numbers": [N, N + 1]}
    assert {check for check, _ in judged(undrawn)} == {"campaign.complete", "campaign.conflicts"}


def test_rows_of_a_table_are_no_draws_of_a_prior(undrawn):
    said = export(undrawn, MODELS, settings=OF_A_TABLE).document
    assert schemas.validate(said, "surface") == ()
    assert said["exclusion"]["verdict"] == "UNINFORMATIVE"
    assert said["exclusion"]["statement"] == "no galaxy of this table makes the cube"
    assert said["rejected"]["all"]["n"] == np.count_nonzero(~MODELS.possible)
    assert said["rejected"]["all"]["fraction"] is None
    assert said["marginal"]["converged"] is False
    assert judged(undrawn) == {}


def test_a_campaign_that_keeps_nothing_and_has_no_cells_leaves_a_run_in_order(undrawn):
    """No search has converged, and the models are too few for cells."""
    few = gaussian(8)
    none = replace(few, converged=np.zeros(8, bool))
    nothing = {"figure": PNG, "data": ard.Table(Table({"x": []}), {"SIMULATD": True})}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("profiles", "pairs"):
            patch.setattr(drawing, name, lambda **_: nothing)
        paths = export(undrawn, none).paths
    assert judged(undrawn) == {}
    assert sorted(Path(name).name for name in paths) == [
        *("t001_evaluations-toy.fits", "t001_surface-toy.json"),
        *("t001_surfacefilters-toy.ecsv", "t001_surfacefilters-toy.png"),
    ]
    absent = io.read_json(undrawn / "products/run.json")["absent_layers"]
    assert "keep no galaxy" in absent["representative"]


def test_files_of_another_campaign_are_not_overwritten(undrawn):
    place = undrawn / "work/campaigns/t001_surface-toy.json"
    document = io.read_json(place)
    document["campaign"]["name"] = "another"
    io.write_json(place, document, overwrite=True)
    with pytest.raises(ArdError, match="two campaigns would have files of the same names"):
        export(undrawn, MODELS)


def test_a_table_that_is_edited_is_found(undrawn):
    """Fault: the likelihood of one galaxy, and checksums made anew."""
    with fits.open(undrawn / TABLE, memmap=False) as hdus:
        hdus[1].data["log_likelihood"][int(np.nanargmax(MODELS.log_likelihood))] -= 3.0
        write_hdus(undrawn / TABLE, hdus, overwrite=True)
    found = {check for check, _ in judged(undrawn)}
    assert {"structure.as_written", "campaign.cells", "campaign.marginal"} <= found
    assert {"campaign.best", "campaign.kept", "structure.provenance"} <= found


def test_the_next_run_collects_a_campaign(tmp_path):
    place = tmp_path / "work/campaigns"
    place.mkdir(parents=True)
    names = {
        "t001_evaluations-toy.fits": ("validation", "table", "evaluations"),
        "t001_surface-toy.json": ("validation", "document", "surface"),
        "t001_disc-toy-01.fits": ("representative", "cube", "cube"),
        "t001_discleft-toy-01.fits": ("representative", "cube", "cube"),
        "t001_discmap-toy-01.fits": ("representative", "map", "map"),
        "t001_surfacepairs-toy.png": ("validation/figures", "figure", None),
        "t001_surfacepairs-toy.ecsv": ("validation/figures", "table", None),
    }
    for name in (*names, "t002_surface-toy.json", "x.part"):
        (place / name).touch()
    found = fitted.products_of(tmp_path, ("t001",))
    assert set(found) == {f"{layer}/{name}" for name, (layer, *_) in names.items()}
    for name, (layer, kind, schema) in names.items():
        row = {"path": f"{layer}/{name}", "kind": kind, "stage": "falsify"}
        assert fitted.row(f"{layer}/{name}") == row | ({"schema": schema} if schema else {})
    plan = twin_plan(tmp_path)
    last = build_tasks(plan, stages_for(plan.source))[-1]
    assert set(found) <= {row["path"] for row in last.values["rows"]}


def test_short_names_are_kept_and_long_ones_have_a_word_of_their_own():
    assert label_of("toy1") == "toy1"
    assert len(label_of("discs-2026")) == 4
    assert label_of("discs-2026") != label_of("discs-2027")


def test_names_in_a_bundle_are_short_enough(exported):
    """Oracle: the rules of the archive, as `release.hlsp` holds them."""
    place = exported[0] / "products"
    about = Collection("rbh1-ard", "x", "x", "RBH-1", "rbh1", "v0", "x", "x", "x")
    for path in sorted(place.rglob("t001_*-toy*.fits")):
        name = product_name(fits.getheader(path), about, path.parent.name, path.stem)
        assert len(str(name)) <= 90
        assert list(name.problems()) == []


def test_units_are_read_from_names():
    names = ("vmax_kms", "r_d_kpc", "inclination_deg", "gas_fraction", "log_m_halo", "kms",
             "mass_msun")  # fmt: skip
    expected = ["km/s", "kpc", "deg", "", "", "km/s", "solMass"]
    assert [unit_of(name) for name in names] == expected


def test_the_table_of_real_galaxies_says_what_its_columns_are(exported, tmp_path):
    """Oracle: astropy, to which a unit that FITS does not have is a warning, and so an error."""
    models = propose(range(6), 1, "sobol")
    motions = [motion(model, DynamicsSettings()) for model in models]
    frame = Frame(0.0, 0.0, 0.0, 8.0, (0.2,), 40.0)
    some = Evaluations(
        np.arange(6),
        {name: [m.parameters[name] for m in models] for name in PRIOR.names},
        tuple(one.reasons for one in motions),
        {name: [m.facts[name] for m in motions] for name in motions[0].facts},
        np.full(6, -1.0),
        np.full(6, 2.0),
        dict.fromkeys(nuisances(frame).names, np.zeros(6)),
        np.ones(6, bool),
    )
    record = ard.Provenance.from_dict(describe(exported[0] / TABLE)["provenance"])
    write_evaluations(tmp_path / "x.fits", some, campaign="toy", n_model=6,
                      units={p.name: p.unit for p in PRIOR.parameters}, meta={},
                      provenance=record)  # fmt: skip
    table = QTable.read(tmp_path / "x.fits", hdu=1)
    for name in table.colnames:
        word = name.rpartition("_")[2]
        if word in ("kms", "kpc", "deg", "arcsec", "um", "myr", "msun"):
            assert table[name].unit == Unit(unit_of(name)), name
    assert table["mass_msun"].unit == solMass
    assert getattr(table["log_m_halo"], "unit", None) is None
    header = fits.getheader(tmp_path / "x.fits", 1)
    said = {header[key]: header.comments[key] for key in header["TTYPE*"]}
    assert list(said) == table.colnames
    unknown = {"", "parameter of the galaxy", "fact of the dynamics", "best nuisance"}
    assert not unknown & set(said.values())
    assert "log10" in said["log_m_baryon"]
    assert "the prior of nuisances is left out" in " ".join("".join(header["COMMENT"]).split())


def test_what_cannot_be_written_is_refused(exported, tmp_path):
    root, _ = exported
    record = ard.Provenance.from_dict(describe(root / TABLE)["provenance"])
    double = replace(MODELS, facts={"R_d_kpc": np.zeros(N)})
    with pytest.raises(FormatError, match="would have one name"):
        write_evaluations(tmp_path / "x.fits", double, campaign="toy", n_model=N, units={}, meta={},
                          provenance=record)  # fmt: skip
    renderer = ToyRenderer()
    rendered = renderer(*row_of(MODELS, int(np.nanargmax(MODELS.log_likelihood))))
    with pytest.raises(FormatError, match="of another cube"):
        cubes_of(replace(rendered, rows=slice(0, 9)), renderer.cube, record)
