"""Does the judge measure chains again, and does it hold summaries against them?

Oracle: the construction of the files.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chains import SHAPE, autoregressive, iid, nuts_stats, planted, write_chains

from ard import io
from checks import Status, all_checks, judge
from checks.convergence import chain_limits, gate, measure_file
from manifests import Waiver
from manifests.waivers import may_waive

FAMILY = tuple(one for one in all_checks() if one.name.startswith("convergence."))
UNITS = {"velocity": "km/s"}
Edit = Callable[[dict], None]


def make_folder(
    root: Path,
    draws: dict[str, np.ndarray] | None = None,
    *,
    edit: Edit | None = None,
    kind: str | None = None,
    dtype: str = "f8",
    **stats,
) -> Path:
    """A run that holds chains and the summary that belongs to them, edited."""
    draws = {"velocity": iid(1), "flux": iid(2, (*SHAPE, 2)) * 1e-17} if draws is None else draws
    shape = next(iter(draws.values())).shape[:2]
    known = nuts_stats(shape) | stats
    present = {name: value for name, value in known.items() if value is not None}
    place = root / "products" / "inference"
    place.mkdir(parents=True)
    write_chains(place / "t001_chains-bow.nc", draws, present, kind=kind, dtype=dtype)
    verdict = gate(draws, present, chain_limits(), hamiltonian=kind != "plain")
    document = {
        **{"schema": "chain-summary", "item": "t001", "model": "bow", "simulated": True},
        **{"provenance": None, **verdict.to_dict(UNITS)},
    }
    if edit is not None:
        edit(document)
    io.write(place / "t001_chainsummary-bow.json", document)
    return root


def bad(folder: Path, **options) -> dict[str, set[str]]:
    """What did not pass: the checks, by product."""
    report = judge(folder, checks=FAMILY, **options)
    found: dict[str, set[str]] = {"chains": set(), "summary": set()}
    for row in report.bad:
        kind = "summary" if "chainsummary" in row.product else "chains"
        found[kind].add(row.check.removeprefix("convergence."))
    return found


def test_good_chains_and_their_summary_pass(tmp_path):
    report = judge(make_folder(tmp_path), checks=FAMILY)
    assert report.verdict == "PASSED"
    assert report.counts["PASSED"] == 25  # 12 of the chains, 13 of the summary
    row = next(r for r in report.results if r.check == "convergence.rhat")
    assert "of 4 scalars" in row.detail
    assert 0.999 < row.measured < 1.01


def test_single_precision_does_not_matter(tmp_path):
    assert judge(make_folder(tmp_path, dtype="f4"), checks=FAMILY).verdict == "PASSED"


BAD = {**planted(), "slow": autoregressive(0.99, SHAPE, 5)}
FOUND_BY = {
    **{"constant": {"distinct"}, "stuck": {"distinct"}, "nan": {"finite"}, "inf": {"finite"}},
    **{"single": {"chains"}, "wide": {"ess_tail"}, "slow": {"ess_bulk", "mcse"}},
    **{"second mode": {"rhat"}, "cauchy": {"tail_shape"}},
}
SAMPLER_FAULTS = {
    "bfmi": {"energy": None},
    "divergences": {"diverging": np.eye(*SHAPE, dtype=bool)},
    "depth_hits": {"reached_max_treedepth": None},
}


@pytest.mark.parametrize("kind", BAD)
def test_planted_chains_fail_in_both(kind, tmp_path):
    found = bad(make_folder(tmp_path, {"velocity": BAD[kind]}))
    assert FOUND_BY[kind] <= found["chains"]
    assert FOUND_BY[kind] <= found["summary"]
    assert "agrees" not in found["summary"]


@pytest.mark.parametrize(
    ("name", "chains", "fails"),
    [
        ("velocity", autoregressive(0.7, SHAPE, 8), False),
        ("delta_v_tip_kms", autoregressive(0.7, SHAPE, 8), True),
        ("delta_v_tip_kms", iid(1), False),
    ],
)
def test_what_is_quoted_needs_more_draws(name, chains, fails, tmp_path):
    """Oracle: of draws that correlate by 0.7, 4000 count as 706."""
    found = bad(make_folder(tmp_path, {name: chains, "flux": iid(2)}))
    assert found == dict.fromkeys(("chains", "summary"), {"headline_ess"} if fails else set())


@pytest.mark.parametrize("check", SAMPLER_FAULTS)
def test_faults_of_the_sampler_fail(check, tmp_path):
    found = bad(make_folder(tmp_path, **SAMPLER_FAULTS[check]))
    assert found == {"chains": {check}, "summary": {check}}


def test_every_check_of_the_family_has_a_planted_fault():
    """Those of the last two are above, and a summary of other chains, below."""
    checked = {name for names in FOUND_BY.values() for name in names} | SAMPLER_FAULTS.keys()
    assert checked | {"headline_ess", "agrees"} == {
        one.name.removeprefix("convergence.") for one in FAMILY
    }


def test_a_plain_sampler_is_not_asked_for_an_energy(tmp_path):
    silent = dict.fromkeys(("energy", "diverging", "reached_max_treedepth"))
    assert bad(make_folder(tmp_path, kind="plain", **silent))["chains"] == set()


def test_a_sampler_with_an_energy_cannot_call_itself_plain(tmp_path):
    folder = make_folder(tmp_path, kind="plain", diverging=np.eye(*SHAPE, dtype=bool))
    found = bad(folder)
    assert found["chains"] == {"divergences"}
    assert found["summary"] == {"agrees"}


# ---- summaries that do not tell the truth


def scalar(name: str, value: object) -> Edit:
    return lambda document: document["scalars"][0].update({name: value})


@pytest.mark.parametrize(
    "edit",
    [
        scalar("mean", 0.0),
        scalar("p975", 2.5),
        scalar("sd", 1.02),
        scalar("rhat", 1.0),
        scalar("ess_tail", 5000.0),
        scalar("name", "speed"),
        scalar("distinct", 0.5),
        scalar("bad_draws", 1),
        scalar("tail_shape", 0.5),
        scalar("tail_shape", None),
        lambda document: document.update(n_draw=2000),
        lambda document: document["scalars"].pop(),
        lambda document: document.update(bfmi=[1.0] * SHAPE[0]),
        lambda document: document["bfmi"].pop(),
        lambda document: document.update(bfmi=None),
        lambda document: document.update(verdict="FAILED"),
        lambda document: document["reasons"].append("a reason that no number gives"),
    ],
    ids=[
        *("mean", "quantile", "sd", "rhat", "ess", "name", "distinct", "bad draws", "tail shape"),
        *("no tail shape", "draws", "scalars", "bfmi", "chains of bfmi", "no bfmi"),
        *("verdict", "another reason"),
    ],
)
def test_a_summary_of_other_chains_is_found_out(edit, tmp_path):
    chains = {"velocity": iid(1) + np.array([0.05, 0, 0, 0])[:, None] * 4}
    found = bad(make_folder(tmp_path, chains, edit=edit))
    assert "agrees" in found["summary"]


@pytest.mark.parametrize(
    ("said", "fails"),
    [
        ({}, {"bfmi"}),
        ({"bfmi": [1.0] * SHAPE[0], "verdict": "PASSED", "reasons": []}, {"agrees"}),
        ({"verdict": "PASSED"}, {"bfmi", "agrees"}),
        ({"reasons": []}, {"bfmi", "agrees"}),
    ],
    ids=["true", "all", "verdict", "reasons"],
)
def test_a_summary_that_hides_slow_energy_is_found_out(said, fails, tmp_path):
    """Chains that fail by their energy alone."""
    energy = autoregressive(0.95, SHAPE, 6)
    folder = make_folder(tmp_path, energy=energy, edit=lambda document: document.update(said))
    assert bad(folder) == {"chains": {"bfmi"}, "summary": fails}


def test_the_judge_does_not_trust_a_summary(tmp_path):
    """Bad chains behind the summary of good ones."""

    def whitewash(document: dict) -> None:
        good = gate({"velocity": iid(1)}, nuts_stats(), chain_limits())
        document.update(good.to_dict(UNITS))

    found = bad(make_folder(tmp_path, {"velocity": planted()["second mode"]}, edit=whitewash))
    assert "rhat" in found["chains"]
    assert found["summary"] == {"agrees"}


def test_a_summary_without_chains_is_not_passed(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "products" / "inference" / "t001_chains-bow.nc").unlink()
    report = judge(folder, checks=FAMILY)
    assert [(r.check, r.status) for r in report.bad] == [("convergence.agrees", Status.SKIPPED)]


@pytest.mark.parametrize("name", ["rhat", "ess_bulk", "tail_shape", "mcse"])
def test_a_number_that_is_missing_fails(name, tmp_path):
    assert name in bad(make_folder(tmp_path, edit=scalar(name, None)))["summary"]


# ---- files that cannot be judged


def chains_of(folder: Path) -> Path:
    return folder / "products" / "inference" / "t001_chains-bow.nc"


def test_a_damaged_file_fails_every_check(tmp_path):
    folder = make_folder(tmp_path)
    chains_of(folder).write_bytes(chains_of(folder).read_bytes()[:3000])
    report = judge(folder, checks=FAMILY)
    assert [r.status for r in report.bad].count(Status.FAILED) == 12
    assert all("the file holds no chains" in r.detail for r in report.bad if "rhat" in r.check)


def test_a_file_without_sampler_statistics_fails(tmp_path):
    folder, path = tmp_path, tmp_path / "products" / "inference" / "t001_chains.nc"
    path.parent.mkdir(parents=True)
    h5netcdf = pytest.importorskip("h5netcdf")
    with h5netcdf.File(path, "w") as file:
        file.create_group("posterior")
    (row, *_) = judge(folder, checks=FAMILY).bad
    assert "no sample_stats" in row.detail


def test_axes_in_another_order_are_refused(tmp_path):
    h5netcdf = pytest.importorskip("h5netcdf")
    folder = make_folder(tmp_path)
    with h5netcdf.File(chains_of(folder), "a") as file:
        place = file.groups["posterior"]
        place.create_variable("swapped", ("draw", "chain"), data=iid(3).T)
    assert "rhat" in bad(folder)["chains"]


def test_without_the_library_it_is_skipped(tmp_path, monkeypatch):
    folder = make_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    report = judge(folder, checks=FAMILY)
    assert {r.status for r in report.bad} == {Status.SKIPPED}
    assert any("rbh1-ard[study]" in r.remedy for r in report.bad)
    assert report.verdict == "FAILED"


def test_scalars_of_a_file_are_read_one_after_the_other(tmp_path):
    """As in memory, and coordinates are no parameters."""
    draws = {"velocity": iid(1), "flux": iid(2, (*SHAPE, 2))}
    folder = make_folder(tmp_path, draws)
    found = measure_file(chains_of(folder))
    assert found.names == ("velocity", "flux[0]", "flux[1]", "lp")
    expected = gate(draws, nuts_stats(), chain_limits()).measured
    np.testing.assert_array_equal(found.diagnostics.rhat, expected.diagnostics.rhat)


def test_files_of_arviz_are_read(tmp_path):
    """Oracle: a DataTree of ArviZ, written by xarray: coordinates, and flags as bytes."""
    arviz_base = pytest.importorskip("arviz_base")
    draws = {"velocity": iid(1), "flux": iid(2, (*SHAPE, 2))}
    coords = {"line": ["OIII", "Halpha"]}
    tree = arviz_base.from_dict(
        {"posterior": draws, "sample_stats": nuts_stats()}, dims={"flux": ["line"]}, coords=coords
    )
    tree.to_netcdf(tmp_path / "chains.nc", engine="h5netcdf")
    found = measure_file(tmp_path / "chains.nc")
    expected = gate(draws, nuts_stats(), chain_limits()).measured
    assert found.to_dict() == expected.to_dict()


# ---- no way round


@pytest.mark.parametrize("check", [one.name for one in FAMILY])
def test_convergence_cannot_be_waived(check):
    assert not may_waive(check)


def test_a_waiver_does_not_count(tmp_path):
    import datetime

    day = datetime.date(2026, 6, 1)
    folder = make_folder(tmp_path, {"velocity": planted()["wide"]})
    accepted = [Waiver(one.name, "*", "a reason", "a person", day) for one in FAMILY]
    assert judge(folder, checks=FAMILY, waivers=accepted, today=day).verdict == "FAILED"
