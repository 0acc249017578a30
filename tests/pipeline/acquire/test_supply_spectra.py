"""Does a run from a store get the archive's own spectrum of each cube, where there is one?

Oracle: the bytes that the local archive serves, and the inputs of the tasks of the run.
"""

from dataclasses import replace

import pytest
from archives import run_cli
from astropy.io import fits

from ard.errors import ArdError
from ard.fileio import md5_file, sha256_file, write_json
from manifests import load_lock, load_selection, lock_path
from manifests.lock import Lock, LockedFile
from manifests.selection import SELECTIONS_DIR
from pipeline import plans
from pipeline.acquire.supply import cubes_of
from pipeline.acquire.testing import ArchiveServer, make_archive
from pipeline.graph import build_tasks

STEM = "jw03149-o001_{}_nirspec_g140m-f100lp"
CUBES = tuple(STEM.format(item) + "_s3d.fits" for item in ("t001", "t002"))
SPECTRA = tuple(STEM.format(item) + "_x1d.fits" for item in ("t001", "t002"))
EXPOSURE = "jw03149001001_02101_00001_nrs1_s3d.fits"
OTHER_SPECTRUM = EXPOSURE.replace("_s3d", "_x1d")
NAMES = (*CUBES, *SPECTRA, EXPOSURE, OTHER_SPECTRUM)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Two Level-3 cubes and an exposure, and the spectrum of each."""
    whole = load_selection()
    named = [f for f in load_lock(lock_path(), whole).files if f.name in NAMES]
    folder = tmp_path_factory.mktemp("archive")
    made = make_archive(folder, whole, Lock("rbh1", tuple(named)), scale=2e-3)
    return {file.name: file for file in made}


@pytest.fixture
def fetch(archive, tmp_path, monkeypatch, waits):
    """Fill a store with some of the files; the rest of the archive is not asked for."""
    for name in ("MAST_API_TOKEN", "RBH1_DATA_DIR", "RBH1_MAST_URL"):
        monkeypatch.delenv(name, raising=False)

    store, lock, selection = (tmp_path / n for n in ("store", "lock.json", "three.toml"))
    text = (SELECTIONS_DIR / "rbh1.toml").read_text()
    selection.write_text(text.replace("count = 18", "count = 3"))

    def fill(names, files=archive):
        write_lock(lock, {name: files[name] for name in names})
        with ArchiveServer(files.values()) as server:
            done = run_cli(
                "run", "--json", "--lock", lock, "--store", store, "--selection", selection,
                "--server", server.url, "--group", "jwst_s3d", "--group", "jwst_x1d",
            )  # fmt: skip
        assert done.code == 0, done.text
        return store, lock, selection

    return fill


def write_lock(path, files):
    group = {n: "jwst_x1d" if n.endswith("_x1d.fits") else "jwst_s3d" for n in files}
    rows = tuple(
        LockedFile(f.uri, n, group[n], f.size, sha256_file(f.path), "archive")
        for n, f in files.items()
    )
    write_json(path, Lock("rbh1", rows).to_dict(), overwrite=True)


def extractions(store, lock, selection, root):
    """What `extract` is handed as the archive's spectrum, by item; and all tasks."""
    plan = plans.archive_plan(root, store, lock, selection)
    tasks = build_tasks(plan, plans.stages_for("archive"))
    return {
        task.name: task.inputs.get("archive", task.values.get("archive"))
        for task in tasks
        if task.stage.name == "extract"
    }, tasks


def test_each_cube_has_the_spectrum_of_its_own(fetch, archive, tmp_path):
    given = fetch(NAMES)
    spectra, tasks = extractions(*given, tmp_path / "run")
    for item, name in zip(("t001", "t002"), SPECTRA, strict=True):
        path = spectra[f"extract[{item}]"]
        assert path.name == name
        assert path.read_bytes() == archive[name].path.read_bytes()
    (listing,) = (task for task in tasks if task.name == "acquire")
    assert set(listing.inputs["files"]) == {*CUBES, *SPECTRA, EXPOSURE}


def test_a_spectrum_may_lack(fetch, archive, tmp_path):
    given = fetch([name for name in NAMES if name != SPECTRA[0]])
    write_lock(given[1], archive)  # which lists it
    spectra, _ = extractions(*given, tmp_path / "run")
    assert spectra["extract[t001]"] is None
    assert spectra["extract[t002]"].name == SPECTRA[1]
    given = fetch((*CUBES, EXPOSURE))
    spectra, _ = extractions(*given, tmp_path / "run")
    assert set(spectra.values()) == {None}


def test_a_spectrum_of_another_place_is_refused(fetch, archive, tmp_path):
    """Oracle: the header of the other pointing, 1.06 arcsec away, under this name."""
    wrong = archive[SPECTRA[0]]
    path = tmp_path / "wrong" / wrong.name
    path.parent.mkdir()
    with fits.open(wrong.path) as hdus, fits.open(archive[SPECTRA[1]].path) as other:
        for key in ("TARG_RA", "TARG_DEC"):
            hdus[0].header[key] = other[0].header[key]
        hdus.writeto(path)
    files = archive | {wrong.name: replace(wrong, path=path, checksum=md5_file(path))}
    given = fetch(NAMES, files)
    with pytest.raises(ArdError, match="not of the cube whose name it bears") as error:
        cubes_of(*given)
    assert error.value.file == SPECTRA[0]
    assert CUBES[0] in str(error.value)
