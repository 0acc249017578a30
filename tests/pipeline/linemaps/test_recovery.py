"""The recovery stage: differences that were planted come back as bias and scatter."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from ard.errors import FormatError, NotFoundError
from ard.maps import Map
from pipeline.linemaps import recovery
from pipeline.linemaps.recovery import Config

SHAPE = (40, 50)


def sky():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    return wcs


def linemap(**changes):
    layers = {
        "velocity": np.zeros(SHAPE),
        "velocity_err": np.full(SHAPE, 10.0),
        "sigma": np.full(SHAPE, 100.0),
        "sigma_err": np.full(SHAPE, 10.0),
        "snr": np.full(SHAPE, 20.0),
        "flux_nii6583": np.full(SHAPE, 1e-17),
        "flux_nii6583_err": np.full(SHAPE, 9e-16),
        "flux_halpha": np.full(SHAPE, 3e-17),
        "flux_halpha_err": np.full(SHAPE, 1e-18),
    } | changes
    return Map(layers, dict.fromkeys(layers, ""), np.zeros(SHAPE, bool), sky())


def truth():
    return {
        "velocity_halpha": np.zeros(SHAPE),
        "sigma_halpha": np.full(SHAPE, 100.0),
        "velocity_nii6583": np.full(SHAPE, 55.0),  # another line's must not be used
        "sigma_nii6583": np.full(SHAPE, 55.0),
        "flux_nii6583": np.full(SHAPE, 1e-17),
        "flux_halpha": np.full(SHAPE, 2e-17),
    }


def run(found, true, **config):
    document = recovery.run(
        item="t001", linemaps={"halpha": found}, truth={"t001": true}, config=Config(**config)
    )["recovery"]
    return document, document["groups"][0]


def test_planted_differences_come_back():
    # Oracle: construction; with 2000 values a robust scatter is good to 2.6 % (1 sigma).
    rng = np.random.default_rng(1)
    found = linemap(
        velocity=5.0 + 20.0 * rng.normal(size=SHAPE), sigma=93.0 + 15.0 * rng.normal(size=SHAPE)
    )
    document, row = run(found, truth())
    assert document["schema"] == "recovery"
    assert document["simulated"] is True
    assert row["group"] == "halpha"
    assert row["n_compared"] == 2000
    assert row["velocity_bias_kms"] == pytest.approx(5.0, abs=2.0)
    assert row["velocity_scatter_kms"] == pytest.approx(20.0, rel=0.1)
    assert row["velocity_pull_scatter"] == pytest.approx(2.0, rel=0.1)
    assert row["sigma_bias_kms"] == pytest.approx(-7.0, abs=1.5)
    assert row["sigma_scatter_kms"] == pytest.approx(15.0, rel=0.1)
    assert row["flux_ratio_median"] == pytest.approx(1.5)


def test_runaway_fits_do_not_decide():
    velocity = np.zeros(SHAPE)
    velocity[:4] = 700.0
    _, row = run(linemap(velocity=velocity), truth())
    assert row["velocity_bias_kms"] == 0.0
    assert row["velocity_scatter_kms"] == 0.0


def test_only_bright_unmasked_spaxels_with_a_truth_count():
    snr = np.full(SHAPE, 20.0)
    snr[:, :10] = 7.9
    snr[:, 10] = np.nan
    found = linemap(snr=snr)
    mask = np.zeros(SHAPE, bool)
    mask[:, 11] = True
    true = truth()
    true["velocity_halpha"][:, 12] = np.nan
    _, row = run(found.replace(mask=mask), true)
    assert row["n_compared"] == SHAPE[0] * (SHAPE[1] - 13)


def test_nothing_bright_gives_nulls():
    _, row = run(linemap(snr=np.full(SHAPE, 1.0)), truth())
    assert row["n_compared"] == 0
    assert row["velocity_bias_kms"] is None
    assert row["flux_ratio_median"] is None


def test_the_document_follows_its_schema():
    jsonschema = pytest.importorskip("jsonschema")
    import json
    from pathlib import Path

    import schemas

    rows = json.loads((Path(schemas.__file__).parent / "recovery.json").read_text())
    rows["properties"].pop("item")
    rows["properties"].pop("provenance")
    rows["properties"]["groups"]["items"]["properties"].pop("n_compared")
    rows["required"].remove("provenance")
    rows.pop("additionalProperties")
    rows["properties"]["groups"]["items"].pop("additionalProperties")
    document, _ = run(linemap(), truth())
    jsonschema.validate(document, rows)


def test_truth_is_read_by_item_and_layer(tmp_path):
    images = [fits.PrimaryHDU()]
    for item in ("t001", "t002"):
        for layer in ("velocity", "flux_OIII5007"):
            hdu = fits.ImageHDU(np.full((2, 3), 7.0, np.float32))
            hdu.header["ITEM"], hdu.header["LAYER"] = item, layer
            images.append(hdu)
    fits.HDUList(images).writeto(tmp_path / "truth.fits")
    found = recovery.read_truth(tmp_path / "truth.fits")
    assert sorted(found) == ["t001", "t002"]
    assert sorted(found["t001"]) == ["flux_oiii5007", "velocity"]
    assert found["t002"]["velocity"].dtype == np.float64


def test_a_file_without_truth_is_refused(tmp_path):
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "x.fits")
    with pytest.raises(FormatError, match="no truth maps"):
        recovery.read_truth(tmp_path / "x.fits")


def test_an_item_without_truth_is_refused():
    with pytest.raises(NotFoundError, match="no truth for the item"):
        recovery.run(item="t003", linemaps={}, truth={"t001": {}}, config=Config())


def test_a_truth_on_another_grid_is_refused():
    true = truth() | {"sigma_halpha": np.zeros((3, 3))}
    with pytest.raises(FormatError, match="no layer sigma_halpha on the grid"):
        run(linemap(), true)
