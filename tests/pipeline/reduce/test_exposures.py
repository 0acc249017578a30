"""Exposures get their roles (oracle: the planted headers)."""

from dataclasses import replace

import numpy as np
import pytest
from builders import make_cube

import ard
from ard import s3d
from ard.fitsio import write_hdus
from pipeline.reduce.exposures import Config, Exposure, read_exposure, run
from schemas import tables

T1, T2 = (40.44051, -8.350361), (40.440262, -8.350525)


def exposure(name: str, *, imprint: bool | None, time: float, at=T1, dither: int = 1) -> Exposure:
    return Exposure(name, imprint, False, time, "2b", dither, *at, 0.1, True)


def group(**changes) -> dict[str, Exposure]:
    rows = [
        exposure("a1", imprint=False, time=3501.3, dither=1),
        exposure("a2", imprint=False, time=3501.3, dither=2),
        exposure("b1", imprint=True, time=233.4),
        exposure("c1", imprint=False, time=3501.3, at=T2),
    ]
    return {e.filename: replace(e, **changes.get(e.filename, {})) for e in rows}


def test_roles_and_pointings():
    table = run(exposures=group(), config=Config())["exposures"].data
    assert list(table["role"]) == ["science", "science", "imprint", "science"]
    assert list(table["pointing"]) == ["t001", "t001", "t001", "t002"]
    columns = {name: list(np.asarray(table[name]).tolist()) for name in table.colnames}
    units = {name: str(table[name].unit or "").replace(" ", "") for name in table.colnames}
    assert tables.validate(columns, units, "exposures") == ()


def test_a_silent_header_is_decided_by_the_time():
    silent = {name: {"is_imprint": None} for name in ("a1", "a2", "b1", "c1")}
    table = run(exposures=group(**silent), config=Config())["exposures"].data
    assert list(table["role"]) == ["science", "science", "imprint", "science"]


def test_a_header_that_contradicts_the_time_is_refused():
    with pytest.raises(ard.FormatError, match="disagree on what this exposure is") as caught:
        run(exposures=group(b1={"is_imprint": False}), config=Config())
    assert "b1" in str(caught.value)
    with pytest.raises(ard.FormatError, match="disagree"):
        run(exposures=group(a1={"is_imprint": True}), config=Config())


def test_backgrounds_and_nothing():
    table = run(exposures=group(c1={"is_background": True}), config=Config())["exposures"].data
    assert table["role"][3] == "background"
    with pytest.raises(ard.FormatError, match="no exposure shows the sky"):
        run(exposures={}, config=Config())


def test_the_facts_are_read_from_a_file(tmp_path):
    hdus = s3d.cube_hdus(make_cube())
    for key, value in {
        "EFFEXPTM": 3501.334, "PATT_NUM": 3, "TARG_RA": T2[0], "TARG_DEC": T2[1], "IS_IMPRT": "F",
    }.items():  # fmt: skip
        hdus[0].header[key] = value
    write_hdus(tmp_path / "e_s3d.fits", hdus)
    found = read_exposure(tmp_path / "e_s3d.fits")
    assert (found.exptime_s, found.dither, found.is_imprint) == (3501.334, 3, False)
    assert found.simulated
    assert found.err_median == pytest.approx(float(np.median(make_cube().err)), rel=1e-6)
    del hdus[0].header["EFFEXPTM"]
    write_hdus(tmp_path / "f_s3d.fits", hdus)
    with pytest.raises(ard.FormatError, match="does not say which exposure") as caught:
        read_exposure(tmp_path / "f_s3d.fits")
    assert "no EFFEXPTM" in str(caught.value)
