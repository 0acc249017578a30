"""Does a bundle hold the chains of a fit, and are they judged, in the run and in the bundle?

Oracle: the draws that went in; the judge of the study, nothing of it replaced.
"""

import numpy as np
import pytest
from astropy.table import Table
from chains import autoregressive, iid, nuts_stats
from run_documents import record
from runs import make_run, write_run_document

import ard
from ard import io, layout
from checks import judge
from checks.convergence import Convergence, chain_limits, measure_file
from checks.result import Status
from pipeline.store.blocks import SAMPLE, Block, MemoryStore, Run
from pipeline.store.fitstable import export_table
from pipeline.store.netcdf import Content, export_netcdf
from release.build import build
from release.model import RefusedError

pytest.importorskip("h5netcdf", reason="needs the extra study")

CUBE = "work/t001_cube.fits"
NAME = "delta_v_tip_kms"


def add_chains(root, draws):
    """What `rbh1 fit` puts among the products of a run."""
    products = root / layout.PRODUCTS_DIR
    (root / "work").mkdir(exist_ok=True)
    (root / CUBE).write_bytes((products / "likelihood/t001_cube.fits").read_bytes())
    store = MemoryStore()
    store.begin(Run("fit", (NAME,), len(draws), 1, {}, {NAME: {"family": "normal"}}))
    stats = nuts_stats(draws.shape)
    for chain, own in enumerate(draws):
        rows = {name: values[chain] for name, values in stats.items()}
        store.append("fit", Block(chain, 0, SAMPLE, 0, own[:, None], rows, b""))
    made = record("fit", {CUBE: io.sha256_file(root / CUBE)})
    content = Content(
        lambda values: {NAME: values[:, 0]},
        lambda values: {"cube": values[:, 0], "spaxels": np.repeat(values, 3, axis=1)},
        total=("cube",),
        groups={"spaxels": [{"y": [n, n + 1], "x": [0, 1], "n_voxel": 5} for n in range(3)]},
        provenance=made,
    )
    path = products / "inference/t001_chains-jump.nc"
    export_netcdf(store, "fit", path, content)
    header = io.read(products / "likelihood/t001_cube.fits").meta
    meta = {key: header[key] for key in ("TELESCOP", "INSTRUME", "GRATING", "FILTER")}
    export_table(path, path.with_name("t001_chaintable-jump.fits"), meta=meta)
    measured = measure_file(path)
    said = Convergence(measured, measured.findings(chain_limits("rbh1")))
    document = {
        **{"schema": "chain-summary", "item": "t001", "model": "jump", "simulated": True},
        **said.to_dict({NAME: "km/s"}),
        "provenance": made.to_dict(),
    }
    io.write(products / "inference/t001_chainsummary-jump.json", document)
    write_run_document(root)
    return path


def of_chains(folder):
    rows = judge(folder, waivers=()).results
    return {(row.check, row.status) for row in rows if "chain" in row.product.rpartition("/")[2]}


def test_a_bundle_holds_the_chains_and_both_are_judged(tmp_path):
    run = make_run(tmp_path / "run")
    path = add_chains(run, iid(1))
    found = of_chains(run)
    assert {status for _, status in found} == {Status.PASSED}, found
    named = {check for check, _ in found}
    assert {"convergence.headline_ess", "convergence.agrees", "structure.provenance"} <= named

    out = tmp_path / "bundle"
    build(run, out)
    bundle = ard.open(out, verify="full")
    inside = bundle["inference/t001_chains-jump"]
    assert inside.kind == "chains"
    assert inside.read_bytes() == path.read_bytes()
    draws = Table.read(bundle["inference/t001_chaintable-jump"].path, hdu="POSTERIOR")
    assert np.array_equal(draws[NAME], iid(1).ravel().astype("f4"))
    again = of_chains(out)
    assert {status for _, status in again} == {Status.PASSED}, again
    assert {"convergence.headline_ess", "structure.provenance"} <= {check for check, _ in again}


def test_chains_that_have_not_converged_are_never_released(tmp_path):
    run = make_run(tmp_path / "run")
    add_chains(run, autoregressive(0.7, (4, 1000), 8))
    assert ("convergence.headline_ess", Status.FAILED) in of_chains(run)
    with pytest.raises(RefusedError, match=r"convergence\.headline_ess"):
        build(run, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
