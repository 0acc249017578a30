"""Are draws of the geometry's velocity those of a bow that the chains have seen, and no more?

Oracles: the closed form of the mean over a ring; bows drawn from the prior and weighted with the
likelihood that the chains had; chains that know nothing; the gate and the judge.
"""

import dataclasses
import json

import numpy as np
import pytest
from chains import nuts_stats, write_chains
from click.testing import CliRunner
from scipy import stats
from shock_runs import SHOCK, fluxes
from small_run import provenance, write_record

import schemas
from ard import io
from ard.describe import unit_text
from ard.errors import ArdError
from ard.table import read_ecsv
from checks.judging import judge
from checks.result import Status
from manifests import ManifestError, load_acceptance
from manifests.shocks import SHOCKS_FILE, load_shocks
from manifests.target import TARGETS_DIR
from pipeline import cli
from pipeline.commands import draw_geometry
from pipeline.infer.families import Normal, Uniform
from pipeline.infer.prior import Parameter, Prior
from pipeline.shocks import geometry, report, stage
from schemas import tables

ASSUMED = load_shocks()
# As in `pipeline.infer.bow`, but the speeds, which are flat: then chains are the likelihood itself.
PRIOR = Prior(
    tuple(
        Parameter(name, unit, family)
        for name, unit, family in (
            ("v_bow_kms", "km/s", Uniform(-650.0, 250.0)),
            ("swing_kms", "km/s", Uniform(-550.0, 550.0)),
            ("inclination_deg", "deg", Uniform(24.0, 36.0)),
            ("radius_kpc", "kpc", Uniform(1.2, 1.7)),
            ("inner_share", "1", Uniform(0.0, 0.98)),
        )
    )
)
SEEN, WIDTH = {"v_bow_kms": -300.0, "swing_kms": 250.0}, 30.0


def unknowing(count, rng):
    return PRIOR.named(PRIOR.sample(rng, count))


def knowing(count, rng):
    """Draws that have seen both speeds."""
    drawn = unknowing(count, rng)
    return drawn | {name: rng.normal(value, WIDTH, count) for name, value in SEEN.items()}


def test_the_mean_over_a_ring_is_its_integral():
    n = 50
    rng = np.random.default_rng(1)
    star, curvature = rng.uniform(300.0, 1500.0, n), rng.uniform(0.3, 10.0, n)
    radius, share = rng.uniform(0.3, 4.0, n), rng.uniform(0.0, 0.98, n)
    bows = geometry._Bows(star, curvature, np.full(n, 0.7), np.ones(n, bool), radius, share,
                          np.full(n, 0.5), np.zeros(n))  # fmt: skip
    outer = radius * np.sqrt(2.0 / (1.0 + share**2))
    root = [np.sqrt(curvature**2 + r**2) for r in (outer, share * outer)]
    exact = star * 2.0 * curvature * (root[0] - root[1]) / (outer**2 * (1.0 - share**2))
    assert bows.shock() == pytest.approx(exact, rel=1e-4)


def test_draws_are_those_of_bows_weighted_with_what_was_seen():
    """Slow reference: a million bows of the prior, and the likelihood of both speeds."""
    rng = np.random.default_rng(2)
    found = geometry.draws_of(knowing(20_000, rng), PRIOR, ASSUMED, 8000, rng)
    bows = [geometry._believed(PRIOR, ASSUMED, rng) for _ in range(6)]
    speeds = np.concatenate([np.stack(one.speeds()) for one in bows], axis=1)
    fit = sum(
        stats.norm(value, WIDTH).logpdf(speed)
        for value, speed in zip(SEEN.values(), speeds, strict=True)
    )
    weight = np.exp(fit - fit.max())
    kept = rng.choice(weight.size, 8000, p=weight / weight.sum())
    for ours, theirs in (
        (found.v_shock_kms, np.concatenate([one.shock() for one in bows])[kept]),
        (found.v_star_kms, np.concatenate([one.v_star for one in bows])[kept]),
        (found.curvature_kpc, np.concatenate([one.curvature for one in bows])[kept]),
        (1.0 - 1.0 / found.compression, np.concatenate([one.slip for one in bows])[kept]),
    ):
        # Draws that are effective are fewer: 5 % of a distribution is 3 sigma of 1,500.
        assert stats.ks_2samp(ours, theirs).statistic < 0.05
    share = np.concatenate([one.conserving for one in bows])[kept].mean()
    assert found.conserving.mean() == pytest.approx(share, abs=0.05)
    assert found.n_effective > 1000


def test_chains_that_know_nothing_give_what_was_believed():
    rng = np.random.default_rng(3)
    found = geometry.draws_of(unknowing(20_000, rng), PRIOR, ASSUMED, 4000, rng)
    assert stats.ks_2samp(found.v_shock_kms, found.prior_kms).statistic < 0.06
    table = report_table(found)
    assert report.geometry_information(table) < 0.1
    seen = report_table(geometry.draws_of(knowing(20_000, rng), PRIOR, ASSUMED, 4000, rng))
    assert report.geometry_information(seen) > 0.5


def report_table(found):
    return draw_geometry._table(found, "t001", simulated=True)


def test_information_is_that_of_two_distributions():
    """Closed form: of two log-normals of one middle, ln(2) + 1/8 - 1/2."""
    rng = np.random.default_rng(4)
    n = 200_000
    broad, narrow = np.exp(6.0 + rng.normal(size=n)), np.exp(6.0 + 0.5 * rng.normal(size=n))
    found = geometry.BowDraws(narrow, narrow, narrow, 1.0 + narrow, narrow > 0, broad, 1.0, 1.0)
    exact = np.log(2.0) + 0.125 - 0.5
    # Twenty bins lose a little.
    assert report.geometry_information(report_table(found)) == pytest.approx(exact, abs=0.02)
    plain = report_table(found)
    plain.data.remove_column("v_shock_prior")
    assert report.geometry_information(plain) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"v_bow_kms": 200.0}, "next to no bow"),  # a ring that recedes
        ({"swing_kms": -200.0}, "next to no bow"),  # a leading edge that approaches
        ({"swing_kms": 540.0, "v_bow_kms": -60.0}, "next to no bow"),  # faster than its body
        ({"swing_kms": 2.0, "v_bow_kms": 60.0}, "next to no bow"),  # slower than any v*
        (None, "no chains of a bow"),
    ],
)
def test_what_is_no_bow_is_refused(change, words):
    rng = np.random.default_rng(5)
    drawn = knowing(500, rng)
    if change is None:
        del drawn["swing_kms"]
    else:
        drawn |= {name: np.full(500, value) for name, value in change.items()}
    with pytest.raises(ArdError, match=words):
        geometry.draws_of(drawn, PRIOR, ASSUMED, 1000, rng)


def test_the_gas_ahead_need_not_have_the_redshift_of_the_target():
    """Closed form: of known speeds, v* (1 - 1/chi) sin i is v_rest - v_bow, and no more."""
    rng = np.random.default_rng(10)
    exact = {"v_bow_kms": -300.0, "swing_kms": 150.0, "inclination_deg": 29.0, "radius_kpc": 1.43,
             "inner_share": 0.9}  # fmt: skip
    chains = {name: np.full(2000, value) for name, value in exact.items()}
    found = geometry.draws_of(chains, PRIOR, ASSUMED, 4000, rng)
    speed = found.v_star_kms * (1.0 - 1.0 / found.compression) * np.sin(np.deg2rad(29.0))
    assert 300.0 - 76.0 < speed.min() < 235.0
    assert 365.0 < speed.max() < 300.0 + 76.0


def test_a_hand_full_of_draws_are_no_posterior():
    """Of 4000 draws, 40 are used several times: they are 40 at most."""
    rng = np.random.default_rng(8)
    drawn = knowing(4000, rng)
    drawn["swing_kms"][400:] *= -1.0
    found = geometry.draws_of(drawn, PRIOR, ASSUMED, 1000, rng)
    assert 100 < found.n_effective <= 400
    assert 0.09 < found.share_possible <= 0.1
    drawn["swing_kms"][40:400] *= -1.0
    with pytest.raises(ArdError, match="next to no bow"):
        geometry.draws_of(drawn, PRIOR, ASSUMED, 1000, rng)


def test_what_chains_believed_of_the_speeds_has_no_part():
    """Slow reference, with formulas of its own: a million bows, and no prior of their speeds."""
    rng, n, width = np.random.default_rng(9), 1_000_000, 25.0
    given = {"v_bow_kms": Normal(-250.0, 50.0, -650.0, 250.0),
             "swing_kms": Normal(0.0, 150.0, -550.0, 550.0)}  # fmt: skip
    prior = Prior(
        tuple(dataclasses.replace(p, family=given.get(p.name, p.family)) for p in PRIOR.parameters)
    )
    chains = prior.named(prior.sample(rng, 20_000))
    for name, family in given.items():
        seen = rng.normal(SEEN[name], width, 500_000)
        height = np.exp(family.log_prior(seen) - family.log_pdf(family.mean))
        chains[name] = rng.choice(seen, 20_000, p=height / height.sum())
    found = geometry.draws_of(chains, prior, ASSUMED, 4000, rng)
    star, curvature = (np.exp(rng.uniform(*np.log(ends), n)) for ends in ((150, 3000), (0.3, 10)))
    slip, rest = 1.0 - rng.uniform(0.0, 0.5, n), rng.uniform(-76.0, 76.0, n)
    tilt, radius = np.deg2rad(rng.uniform(24.0, 36.0, n)), rng.uniform(1.2, 1.7, n)
    angle = np.arctan(radius / curvature)
    bow = rest - star * slip * np.sin(tilt)
    swing = star * np.sin(angle) * np.cos(angle) * np.cos(tilt)
    swing *= np.where(rng.random(n) < 0.5, slip, 1.0)
    fit = -0.5 * (((bow + 300.0) / width) ** 2 + ((swing - 250.0) / width) ** 2)
    weight = np.exp(fit) * ((np.abs(bow + 200.0) < 450.0) & (swing < 550.0))
    kept = rng.choice(n, 4000, p=weight / weight.sum())
    for ours, theirs in ((found.v_star_kms, star), (found.curvature_kpc, curvature),
                         (1.0 - 1.0 / found.compression, slip)):  # fmt: skip
        assert stats.ks_2samp(ours, theirs[kept]).statistic < 0.05


@pytest.fixture
def run_with_chains(tmp_path):
    """A finished run, and a function that puts chains of a bow there."""
    root = tmp_path / "run"
    for name in ("work/fits", "products"):
        (root / name).mkdir(parents=True)
    record = provenance("materialize", simulated=True).to_dict() | {"inputs": {}}
    write_record(root, provenance=record)
    path = TARGETS_DIR / "rbh1.toml"
    inputs = {"target": {"path": str(path), "sha256": io.sha256_file(path)}}
    tasks = [{"task": "materialize", "outputs": ["products/run.json"]}]
    plan = {"schema": "plan", "source": "cube", "items": ["t001"], "config": {}, "inputs": inputs,
            "tasks": tasks}  # fmt: skip
    io.write_json(root / ".rbh1/plan.json", plan)

    def put(off=0.0):
        h5netcdf = pytest.importorskip("h5netcdf")
        rng = np.random.default_rng(6)
        drawn = {name: one.reshape(4, 1000) for name, one in knowing(4000, rng).items()}
        drawn["v_bow_kms"][1] += off
        chains = root / "work/fits/t001_chains-bow.nc"
        write_chains(chains, drawn, nuts_stats())
        with h5netcdf.File(chains, "a") as file:
            file.attrs["prior_spec"] = json.dumps(PRIOR.describe())
            file.attrs["simulated"] = 1
        return root

    return put


def typed(root, *more):
    return CliRunner().invoke(cli.cli, ["shocks", "geometry", str(root), "--item", "t001", *more])


def test_the_draws_become_a_product_of_the_run(run_with_chains):
    root = run_with_chains()
    found = typed(root, "--json", "--draws", "1000")
    assert found.exit_code == 0, found.output
    name = "inference/t001_shockgeometry.ecsv"
    listed = {row["path"]: row for row in io.read_json(root / "products/run.json")["products"]}
    assert listed[name]["schema"] == "shockgeometry"
    table = read_ecsv(root / "products" / name)
    assert table.simulated
    assert table.provenance.inputs.keys() == {"work/fits/t001_chains-bow.nc", "shocks.toml"}
    columns = {n: table.data[n].tolist() for n in table.data.colnames}
    units = {n: unit_text(table.data[n].unit) for n in table.data.colnames}
    assert not tables.validate(columns, units, "shockgeometry")
    first = (root / "products" / name).read_bytes()
    assert typed(root, "--draws", "1000").exit_code == 0
    assert (root / "products" / name).read_bytes() == first
    judged = [row for row in judge(root, waivers=()).results if "shockgeometry" in row.product]
    assert {row.check for row in judged} >= {"structure.schema"}
    assert not [row for row in judged if row.status is Status.FAILED], judged
    facts = json.loads(found.stdout)
    ends = np.quantile(report.geometry_draws(table), [0.025, 0.5, 0.975])
    assert facts["share_possible"] == pytest.approx(table.meta["share_possible"], abs=1e-4)
    assert 0.9 < facts["share_possible"] <= 1.0
    assert facts["v_shock_kms"] == pytest.approx(ends, abs=0.1)
    assert schemas.validate(io.read_json(root / "products/run.json"), "run") == ()


def test_chains_that_have_not_converged_are_refused(run_with_chains):
    root = run_with_chains(off=200.0)
    found = typed(root)
    assert found.exit_code == 1
    assert "have not converged" in found.stderr
    assert not (root / "work/fits/t001_shockgeometry.ecsv").exists()


def test_what_is_missing_is_said(run_with_chains, tmp_path):
    found = typed(tmp_path)
    assert found.exit_code == 3
    root = run_with_chains()
    (root / "work/fits/t001_chains-bow.nc").unlink()
    found = typed(root)
    assert found.exit_code == 3
    assert "rbh1 fit RUN --item t001 --model bow" in found.stderr


def test_beliefs_that_cannot_be_are_refused(tmp_path):
    text = SHOCKS_FILE.read_text()
    for old, new, words in (
        ("compression_min = 2.0", "compression_min = 1.0", "a shock compresses"),
        ("v_star_kms = [150.0, 3000.0]", "v_star_kms = [150.0]", "must be a range"),
        ("curvature_kpc = [0.3, 10.0]", "curvature_kpc = [3.0, 1.0]", "must be a range"),
        ("rest_kms = 76.0", "rest_kms = 0.0", "rest_kms"),
    ):
        file = tmp_path / "shocks.toml"
        file.write_text(text.replace(old, new))
        with pytest.raises(ManifestError, match=words):
            load_shocks(file)
    assert dataclasses.asdict(ASSUMED.bow)["compression_min"] == 2.0


def test_with_it_the_criterion_is_evaluated():
    """The shock of the toy grid has 500 km/s, as bows of both speeds may."""
    rng = np.random.default_rng(7)
    sharp = unknowing(4000, rng)
    sharp |= {name: rng.normal(value, 3.0, 4000) for name, value in SEEN.items()}
    table = report_table(geometry.draws_of(sharp, PRIOR, ASSUMED, 2000, rng))
    told = report.geometry_information(table)
    made = stage.run(fluxes={"t001": fluxes()}, grid={}, geometry=table, assumed=ASSUMED,
                     acceptance=load_acceptance(), config=stage.Config())  # fmt: skip
    document = made["verdicts"]["t001"]
    assert document["geometry_kms"] == pytest.approx(
        np.quantile(report.geometry_draws(table), [0.025, 0.5, 0.975])
    )
    (tip,) = (r for r in document["verdicts"] if (r["spectrum"], r["criterion"]) == (SHOCK, "C1"))
    assert told > 0.5
    assert tip["measured"]["geometry_information_nat"] == told
    assert tip["verdict"] == "UNINFORMATIVE"
    assert "the lines say too little" in tip["sentence"]
