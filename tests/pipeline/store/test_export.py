"""Can a stranger open what is exported, is it what was stored, and can it be reweighted?

Oracles: the draws that went in; xarray and ArviZ, which read the file by the standard; posteriors
in closed form.
"""

import dataclasses
import json
import math
import tracemalloc
from functools import partial

import arviz
import arviz_stats
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from ard.errors import ArdError, FormatError
from ard.fitsio import open_hdus
from ard.provenance import Provenance, from_hdus
from pipeline.store import netcdf
from pipeline.store.blocks import SAMPLE, WARMUP, Block, MemoryStore, Run
from pipeline.store.durable import open_store
from pipeline.store.fitstable import export_table
from pipeline.store.netcdf import Content, export_netcdf
from pipeline.store.troubles import DiskFullError

N_DRAW = 2503
NAMES = ("v", "sigma")
PRIOR_SD = {"v": 4.0, "sigma": 3.0}
# One measurement of each parameter, so that the posterior is normal: mean and sd in closed form.
MEASURED = {"v": (1.5, 1.0), "sigma": (-0.5, 2.0)}
PROVENANCE = Provenance("kinematics", "0.1.0", "c" * 64, "f" * 64, 7, simulated=True)


def posterior(name: str, prior_sd: float, prior_mean: float = 0.0) -> tuple[float, float]:
    value, err = MEASURED[name]
    precision = err**-2 + prior_sd**-2
    return (value * err**-2 + prior_mean * prior_sd**-2) / precision, precision**-0.5


def log_prior(draws):
    return {
        name: -0.5 * (draws[:, i] / PRIOR_SD[name]) ** 2 - math.log(PRIOR_SD[name])
        for i, name in enumerate(NAMES)
    }


def log_likelihood(draws):
    terms = [
        -0.5 * ((draws[:, i] - MEASURED[name][0]) / MEASURED[name][1]) ** 2
        for i, name in enumerate(NAMES)
    ]
    return {"whole": terms[0] + terms[1], "parts": np.stack(terms, axis=1)}


CONTENT = Content(
    log_prior,
    log_likelihood,
    observed={"cube": {"file": "t001_cube.fits", "sha256": "0" * 64}},
    constant={"psf": {"file": "t001_cube.fits[PSF]", "sha256": "1" * 64}},
    provenance=PROVENANCE,
    n_likelihood=1000,
)


def draws_of(chain: int, n_draw: int = N_DRAW) -> np.ndarray:
    rng = np.random.default_rng([3, chain])
    moments = [posterior(name, PRIOR_SD[name]) for name in NAMES]
    return np.stack([rng.normal(mean, sd, n_draw) for mean, sd in moments], axis=1)


def fill(store, sizes=(400,), n_draw=N_DRAW, short=0):
    prior = {name: {"family": "normal", "mean": 0.0, "sigma": PRIOR_SD[name]} for name in NAMES}
    prior["v"]["unit"] = "km/s"
    store.begin(Run("fit", NAMES, 4, 11, {"data": "d"}, prior, {"steps": 9}, {"numpy": "2"}))
    for chain in range(4):
        draws = draws_of(chain, n_draw)[: n_draw - short * chain]
        store.append("fit", Block(chain, 0, WARMUP, 0, draws[:9] + 50.0, {}, b"warm"))
        first, index = 0, 1
        while first < len(draws):
            part = draws[first : first + sizes[index % len(sizes)]]
            stats = {
                "lp": part.sum(axis=1),
                "energy": -part.sum(axis=1),
                "diverging": part[:, 0] > 3.0,
                "n_steps": np.arange(first, first + len(part), dtype=np.int32),
            }
            store.append("fit", Block(chain, index, SAMPLE, first, part, stats, b"s"))
            first, index = first + len(part), index + 1
    store.put_summaries("fit", {name: {"rhat": 1.001, "ess_bulk": math.nan} for name in NAMES})
    return store


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    path = tmp_path_factory.mktemp("chains") / "fit.nc"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(netcdf, "PIECE", 1000)
        patch.setattr(netcdf, "LIKELIHOOD_PIECE", 64)
        export_netcdf(fill(MemoryStore()), "fit", path, CONTENT)
    return path


@pytest.fixture
def tree(chains):
    with arviz.from_netcdf(chains) as opened:
        yield opened


def test_arviz_reads_every_draw_and_statistic(tree):
    groups = {"posterior", "sample_stats", "log_prior", "log_likelihood"}
    assert set(tree.children) == groups | {"observed_data", "constant_data"}
    for chain in range(4):
        draws = draws_of(chain)
        for column, name in enumerate(NAMES):
            stored = tree["posterior"][name].values
            assert stored.dtype == np.float32
            assert np.array_equal(stored[chain], draws[:, column].astype(np.float32))
            values = tree["log_prior"][name].values
            assert values.dtype == np.float64
            # numpy's sums of a part may differ in the last bit from those of the whole.
            np.testing.assert_allclose(values[chain], log_prior(draws)[name], rtol=1e-15)
        stats = tree["sample_stats"]
        assert np.array_equal(stats["lp"].values[chain], draws.sum(axis=1))
        assert stats["diverging"].dtype == bool
        assert np.array_equal(stats["diverging"].values[chain], draws[:, 0] > 3.0)
        assert np.array_equal(stats["n_steps"].values[chain], np.arange(N_DRAW))
    assert stats["n_steps"].dtype == np.int32
    assert np.array_equal(tree["posterior"]["draw"], np.arange(N_DRAW))


def test_the_likelihood_is_thinned_and_says_so(tree):
    group = tree["log_likelihood"]
    thin = group.attrs["thin"]
    draw = group["draw"].values
    assert len(draw) * 4 <= 1000
    assert len(draw) == math.ceil(N_DRAW / thin)
    assert np.array_equal(draw, np.arange(0, N_DRAW, thin))
    for chain in range(4):
        expected = log_likelihood(draws_of(chain)[draw])
        for name, dims in {"whole": 2, "parts": 3}.items():
            values = group[name]
            assert (values.dtype, values.ndim) == (np.float64, dims)
            np.testing.assert_allclose(values[chain], expected[name], rtol=1e-15)


def test_the_whole_stands_apart_and_groups_say_what_they_are_of(tmp_path):
    told = [{"y": [0, 2]}, {"y": [2, 4]}]
    content = dataclasses.replace(CONTENT, total=("whole",), groups={"parts": told})
    export_netcdf(fill(MemoryStore()), "fit", tmp_path / "fit.nc", content)
    with arviz.from_netcdf(tmp_path / "fit.nc") as tree:
        assert set(tree["log_likelihood"].data_vars) == {"parts"}
        assert json.loads(tree["log_likelihood"]["parts"].attrs["groups"]) == told
        whole, parts = tree["log_likelihood_total"], tree["log_likelihood"]["parts"]
        assert set(whole.data_vars) == {"whole"}
        assert np.array_equal(whole["draw"], parts["draw"])
        np.testing.assert_allclose(whole["whole"], parts.sum("parts_group"), rtol=1e-12)
        # ArviZ leaves out one group after the other, here half of all that is known.
        with pytest.warns(UserWarning, match="Pareto"):
            assert arviz_stats.loo(tree).n_data_points == 2
    export_table(tmp_path / "fit.nc", tmp_path / "fit.fits")
    rows = Table.read(tmp_path / "fit.fits", hdu="POSTERIOR")
    assert rows["log_likelihood_parts"].shape == (len(rows), 2)
    np.testing.assert_allclose(
        rows["log_likelihood_parts"].sum(axis=1), rows["log_likelihood_whole"], rtol=1e-12
    )
    wrong = dataclasses.replace(content, groups={"parts": told[:1]})
    with pytest.raises(FormatError, match="what groups are of does not fit"):
        export_netcdf(fill(MemoryStore()), "fit", tmp_path / "no.nc", wrong)


def test_the_file_says_what_it_is_of(tree):
    assert json.loads(tree.attrs["prior_spec"])["v"] == {
        "family": "normal", "mean": 0.0, "sigma": 4.0, "unit": "km/s",
    }  # fmt: skip
    assert Provenance.from_dict(json.loads(tree.attrs["provenance"])) == PROVENANCE
    assert (tree.attrs["run"], tree.attrs["seed"], tree.attrs["simulated"]) == ("fit", "11", 1)
    assert json.loads(tree.attrs["summaries"])["v"] == {"rhat": 1.001, "ess_bulk": None}
    assert json.loads(tree["observed_data"].attrs["cube"])["file"] == "t001_cube.fits"
    assert json.loads(tree["constant_data"].attrs["psf"])["sha256"] == "1" * 64


def test_arviz_diagnoses_the_file_as_it_is(tree):
    assert float(arviz_stats.rhat(tree)["v"]) < 1.01
    assert float(arviz_stats.bfmi(tree)["energy"].min()) > 0.3


@pytest.mark.parametrize(("new_mean", "new_sd"), [(0.0, 2.0), (4.0, 4.0)])
def test_another_prior_needs_nothing_but_the_file(tree, new_mean, new_sd):
    value = tree["posterior"]["v"].values.astype(float).ravel()
    new = -0.5 * ((value - new_mean) / new_sd) ** 2 - math.log(new_sd)
    log_ratio = new - tree["log_prior"]["v"].values.ravel()
    # This psislw takes minus the log ratio: it was made for leaving data out.
    log_weight, khat = arviz_stats.base.array_stats.psislw(-log_ratio)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean, sd = posterior("v", new_sd, new_mean)
    error = sd / math.sqrt(1.0 / np.square(weight).sum())
    assert khat < 0.5
    assert abs((weight * value).sum() - mean) < 4.0 * error
    assert abs(value.mean() - mean) > 6.0 * error  # unweighted it would be wrong


@pytest.mark.parametrize("sizes", [(1,), (400,), (999, 1), (5000,)])
def test_equal_chains_give_equal_bytes_however_they_were_cut(sizes, tmp_path, monkeypatch):
    monkeypatch.setattr(netcdf, "PIECE", 100)
    whole, cut = tmp_path / "whole.nc", tmp_path / "cut.nc"
    export_netcdf(fill(MemoryStore(), (250,), 250), "fit", whole, CONTENT)
    export_netcdf(fill(MemoryStore(), sizes, 250), "fit", cut, CONTENT)
    assert whole.read_bytes() == cut.read_bytes()


def test_a_database_gives_the_same_file_as_memory(chains, address, tmp_path, monkeypatch):
    monkeypatch.setattr(netcdf, "PIECE", 1000)
    monkeypatch.setattr(netcdf, "LIKELIHOOD_PIECE", 64)
    with open_store(address, folder=tmp_path) as store:
        export_netcdf(fill(store), "fit", tmp_path / "again.nc", CONTENT)
    assert (tmp_path / "again.nc").read_bytes() == chains.read_bytes()


def test_memory_does_not_grow_with_the_chains(tmp_path, monkeypatch):
    monkeypatch.setattr(netcdf, "PIECE", 500)
    peaks = []
    for n_draw in (4_000, 40_000):
        with open_store(f"sqlite:///{tmp_path}/{n_draw}.db", folder=tmp_path) as store:
            fill(store, (2000,), n_draw)
            tracemalloc.start()
            export_netcdf(store, "fit", tmp_path / f"{n_draw}.nc", CONTENT)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    added = 4 * 36_000 * (2 * 8 + 2 * 8 + 1 + 4)  # bytes of draws and statistics
    assert peaks[1] - peaks[0] < 0.1 * added


def test_chains_of_unequal_length_are_cut_to_the_shortest_and_it_is_said(tmp_path):
    path = tmp_path / "fit.nc"
    export_netcdf(fill(MemoryStore(), n_draw=1000, short=10), "fit", path, CONTENT)
    with arviz.from_netcdf(path) as tree:
        assert tree["posterior"].sizes["draw"] == 970
        assert list(tree.attrs["n_draw_stored"]) == [1000, 990, 980, 970]
        assert np.array_equal(tree["posterior"]["v"][0], draws_of(0, 1000)[:970, 0].astype("f4"))


def test_what_cannot_be_exported_is_said(tmp_path):
    store, path = MemoryStore(), tmp_path / "fit.nc"
    store.begin(Run("fit", NAMES, 2, 11, {}))
    export = partial(export_netcdf, store, "fit", path)
    with pytest.raises(ArdError, match=r"chain without draws(.|\n)*\[0, 0\]"):
        export(CONTENT)
    for chain in (0, 1):
        store.append("fit", Block(chain, 0, SAMPLE, 0, np.ones((3, 2)), {}, b""))
    with pytest.raises(FormatError, match="log_prior does not fit"):
        export(Content(lambda draws: {"v": draws[:, 0]}, log_likelihood))
    with pytest.raises(FormatError, match="log_likelihood does not fit"):
        export(Content(log_prior, lambda _: {"whole": np.zeros(7)}))
    with pytest.raises(FormatError, match="name of a variable"):
        export(Content(log_prior, lambda draws: {"a/b": draws[:, 0]}))
    store.append("fit", Block(1, 1, SAMPLE, 3, np.ones((3, 2)), {"lp": np.ones(3)}, b""))
    store.append("fit", Block(0, 1, SAMPLE, 3, np.ones((3, 2)), {}, b""))
    with pytest.raises(FormatError, match="a block's statistics"):
        export(CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    store, path = fill(MemoryStore(), n_draw=300), tmp_path / "fit.nc"
    monkeypatch.setattr(netcdf, "PIECE", 100)
    calls = []

    def fails(draws):
        calls.append(len(draws))
        if len(calls) == 5:
            raise OSError("[Errno 28] Can't write data (errno = 28, 'No space left on device')")
        return log_prior(draws)

    with pytest.raises(DiskFullError, match=r"no space left for .*fit\.nc"):
        export_netcdf(store, "fit", path, Content(fails, log_likelihood))
    assert list(tmp_path.iterdir()) == []
    export_netcdf(store, "fit", path, CONTENT)
    with pytest.raises(ArdError, match="exists already"):
        export_netcdf(store, "fit", path, CONTENT)


def test_the_table_beside_needs_astropy_alone(chains, tmp_path):
    path = tmp_path / "fit.fits"
    export_table(chains, path, n_draw=400)
    with open_hdus(path) as hdus:
        assert hdus[0].header["SIMULATD"] is True
        assert hdus[0].header["ARDKIND"] == "chains"
        assert from_hdus(hdus) == PROVENANCE
    summary = Table.read(path, hdu="SUMMARY")
    whole = np.concatenate([draws_of(chain)[:, 0] for chain in range(4)])
    assert list(summary["parameter"]) == list(NAMES)
    # float32 on disk: seven digits.
    assert summary["mean"][0] == pytest.approx(whole.mean(), rel=1e-6)
    assert summary["sd"][0] == pytest.approx(whole.std(), rel=1e-6)
    assert summary["q15_9"][0] == pytest.approx(np.quantile(whole, 0.15866), rel=1e-5)
    assert summary["rhat"][1] == 1.001
    assert np.ma.is_masked(summary["ess_bulk"][1])  # astropy's word for NaN
    prior = Table.read(path, hdu="PRIOR")
    assert json.loads(prior["prior"][1]) == {"family": "normal", "mean": 0.0, "sigma": 3.0}
    draws = Table.read(path, hdu="POSTERIOR")
    thin = fits.getheader(path, "POSTERIOR")["THIN"]
    assert 300 < len(draws) <= 400
    assert str(draws["v"].unit) == "km / s"
    for chain in range(4):
        rows = draws[draws["chain"] == chain]
        values = draws_of(chain)[::thin]
        assert np.array_equal(rows["draw"], np.arange(0, N_DRAW, thin))
        assert np.array_equal(rows["v"], values[:, 0].astype("f4"))
        np.testing.assert_allclose(rows["lp"], values.sum(axis=1), rtol=1e-15)
        np.testing.assert_allclose(rows["log_prior_v"], log_prior(values)["v"], rtol=1e-15)
        parts = log_likelihood(values)["parts"]
        np.testing.assert_allclose(rows["log_likelihood_parts"], parts, rtol=1e-15)


@pytest.mark.parametrize("per_chain", [1, 2, 3])
def test_a_table_of_few_draws_has_the_densities_of_these(per_chain, chains, tmp_path):
    """Oracle: the draws that went in, by their numbers."""
    path = tmp_path / "fit.fits"
    export_table(chains, path, n_draw=4 * per_chain)
    rows = Table.read(path, hdu="POSTERIOR")
    assert list(rows["chain"]) == sorted([*range(4)] * per_chain)
    thin = fits.getheader(path, "POSTERIOR")["THIN"]
    assert list(rows["draw"][:per_chain]) == [thin * number for number in range(per_chain)]
    for row in rows:
        draw = draws_of(row["chain"])[row["draw"]][None]
        assert row["v"] == np.float32(draw[0, 0])
        assert row["lp"] == pytest.approx(draw.sum(), rel=1e-14)
        assert row["log_prior_v"] == pytest.approx(log_prior(draw)["v"][0], rel=1e-14)
        expected = log_likelihood(draw)["whole"][0]
        assert row["log_likelihood_whole"] == pytest.approx(expected, rel=1e-14)


def test_likelihoods_of_other_draws_than_the_file_says_are_refused(chains, tmp_path):
    import h5py

    for name, change in (
        ("thin", lambda group: group.attrs.modify("thin", group.attrs["thin"] + 1)),
        ("draw", lambda group: group["draw"].__setitem__(-1, 1)),
    ):
        path = tmp_path / f"{name}.nc"
        path.write_bytes(chains.read_bytes())
        with h5py.File(path, "r+") as file:
            change(file["log_likelihood"])
        with pytest.raises(FormatError, match=rf"likelihoods are of other draws(.|\n)*{name}\.nc"):
            export_table(path, tmp_path / "fit.fits")
    assert not (tmp_path / "fit.fits").exists()


def test_the_table_is_written_the_same_twice_and_never_over_another(chains, tmp_path):
    one, two = tmp_path / "one.fits", tmp_path / "two.fits"
    for path in (one, two):
        export_table(chains, path)
    assert one.read_bytes() == two.read_bytes()
    assert len(Table.read(one, hdu="POSTERIOR")) <= 10_000
    with pytest.raises(ArdError, match="exists already"):
        export_table(chains, one)


def test_columns_that_fits_cannot_tell_apart_are_refused(tmp_path):
    store = MemoryStore()
    store.begin(Run("fit", ("V", "v"), 1, 11, {}))
    store.append("fit", Block(0, 0, SAMPLE, 0, np.ones((3, 2)), {}, b""))

    def density(draws):
        return {"V": draws[:, 0], "v": draws[:, 1]}

    export_netcdf(store, "fit", tmp_path / "fit.nc", Content(density, density))
    with pytest.raises(FormatError, match=r"cannot have these names(.|\n)*V, log_"):
        export_table(tmp_path / "fit.nc", tmp_path / "fit.fits")
