"""Is a bundle written whole, always with the same bytes, and refused where it has to be?"""

import datetime
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
from astropy.io import fits
from run_documents import noise_document
from run_products import noise_product
from small_run import CUBE, DIGEST, HLSP, LINEMAP, WAIVER, FakeJudge, result, write_record

import ard
import schemas
from ard.fitsio import walk
from ard.integrity import bundle_digest
from ard.likelihood import noise_from_model
from release import build as build_module
from release import place
from release.build import Options, build
from release.model import RefusedError
from release.plan import make_plan
from release.reservation import Reservation

ROOT = Path(__file__).resolve().parents[2]
TYPES = ("likelihood-cube", "inference-linemap")
NAMES = {
    CUBE,
    "likelihood_lines.ecsv",
    LINEMAP,
    "validation_t001_quality.json",
    "validation_figures.zip",
    "README.md",
    "CHANGELOG.md",
    "DATASHEET.md",
    "data-dictionary.md",
    "CITATION.cff",
    "ro-crate-metadata.json",
    "zenodo.json",
    "datacite.json",
    "datapackage.json",
    "index.html",
    "checks.json",
    "manifest.json",
    "sha256sums.txt",
}


def refusal(run: Path, out: Path, judge=None) -> str:
    """The text with which a build refuses; nothing may have been written."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(RefusedError) as refused:
        build(run, out, judge=judge or FakeJudge())
    assert sorted(out.parent.iterdir()) == before
    return str(refused.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ---- what is written


def test_a_bundle_holds_what_it_should(built_bundle, run_template):
    assert {path.name for path in built_bundle.iterdir()} == NAMES
    assert ard.verify(built_bundle, "full") == ()
    for name in ("likelihood/lines.ecsv", "validation/t001_quality.json"):
        source = run_template / "products" / name
        assert (built_bundle / name.replace("/", "_")).read_bytes() == source.read_bytes()


def test_the_noise_of_a_cube_is_a_product_of_a_bundle(run_folder, tmp_path):
    noise = noise_product(run_folder / "no cube")
    ard.write(run_folder / "products/likelihood/t001_noise.fits", noise)
    model = noise_document({})
    ard.write(run_folder / "products/validation/t001_noisemodel.json", model)
    write_record(run_folder)
    build(run_folder, tmp_path / "bundle", judge=FakeJudge())
    bundle = ard.open(tmp_path / "bundle", verify="full")
    assert bundle["likelihood/t001_noise"].kind == "noise"
    assert (tmp_path / "bundle" / HLSP.format(major=0, type="likelihood-noise")).is_file()
    assert bundle.noise("t001").logdet == noise.noise.logdet
    again = noise_from_model(
        bundle.load("t001_noisemodel"), noise.noise.sigma, noise.noise.mask, masks="approximate"
    )
    assert again.logdet == noise.noise.logdet
    readme = (tmp_path / "bundle" / "README.md").read_text()
    assert "noise of 12 x 5 x 4 (wave, y, x), 240 voxels used" in readme
    dictionary = (tmp_path / "bundle" / "data-dictionary.md").read_text()
    for part in ("FACTOR_WAVE", "whitened.fir.variance", "dithers.left_out[].ratio"):
        assert part in dictionary


@pytest.mark.parametrize(
    ("name", "source"),
    [(CUBE, "likelihood/t001_cube.fits"), (LINEMAP, "inference/t001_linemap.fits")],
)
def test_a_fits_file_differs_from_the_runs_in_its_first_header_only(
    built_bundle, run_template, name, source
):
    # Oracle: astropy's comparison of two FITS files, and the bytes after the first header.
    before, after = run_template / "products" / source, built_bundle / name
    difference = fits.FITSDiff(before, after)
    assert difference.diff_hdu_count == ()
    (primary,) = [row for row in difference.diff_hdus if not row[1].identical]
    assert primary[0] == 0
    (old, *_), (new, *_) = walk(before), walk(after)
    assert after.read_bytes()[new.data_start :] == before.read_bytes()[old.data_start :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fits.open(after, checksum=True, memmap=False).close()
    row = next(row for row in ard.open(built_bundle).manifest.entries if row.name == name)
    assert row.source_sha256 == ard.io.sha256_file(before)
    assert row.sha256 == ard.io.sha256_file(after) != row.source_sha256


def test_its_documents_follow_their_schemas(built_bundle):
    for name, schema in (("manifest.json", "manifest"), ("checks.json", "check-report")):
        document = json.loads((built_bundle / name).read_text())
        assert schemas.validate(document, schema) == ()


def test_the_manifest_says_what_each_file_is(built_bundle):
    document = json.loads((built_bundle / "manifest.json").read_text())
    rows = {row["name"]: row for row in document["files"]}
    assert set(rows) == NAMES - {"manifest.json", "sha256sums.txt"}
    cube = rows[CUBE]
    assert cube["layer"] == "likelihood"
    assert cube["product"] == "t001_cube"
    assert cube["kind"] == "cube"
    assert cube["schema"] == "cube"
    assert cube["provenance"]["stage"] == "ingest"
    assert cube["provenance"]["inputs"] == {"input_s3d.fits": DIGEST["c"]}
    assert rows["validation_figures.zip"]["kind"] == "archive"
    assert rows["validation_figures.zip"]["product"] == "figures"
    assert rows["likelihood_lines.ecsv"]["provenance"]["stage"] == "ingest"
    assert rows["README.md"]["media_type"] == "text/markdown"
    assert document["layers"]["likelihood"] == [CUBE, "likelihood_lines.ecsv"]
    assert document["absent_layers"] == {"representative": "no synthetic cubes are made yet"}
    assert document["simulated"] is True
    assert document["version"] == "0.1.0"


def test_ard_opens_it(built_bundle):
    bundle = ard.open(built_bundle, verify="full")
    assert list(bundle.layers) == ["likelihood", "inference", "validation"]
    assert bundle.simulated
    assert bundle["validation/figures"].members == ("velocity.ecsv", "velocity.png")
    assert bundle.documents["checks.json"].load()["verdict"] == "PASSED"


def test_sha256sum_accepts_it(built_bundle):
    # Oracle: coreutils, in strict mode, and a count of its lines.
    shown = subprocess.run(
        ["sha256sum", "--strict", "-c", "sha256sums.txt"],
        cwd=built_bundle,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.count(": OK") == len(NAMES) - 1


def test_the_archive_is_stored_and_carries_its_own_list(built_bundle, tmp_path):
    with zipfile.ZipFile(built_bundle / "validation_figures.zip") as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        assert all(info.date_time == (1980, 1, 1, 0, 0, 0) for info in archive.infolist())
        assert b"SIMULATED" in archive.comment
        archive.extractall(tmp_path)
    subprocess.run(
        ["sha256sum", "--strict", "-c", "sha256sums.txt"], cwd=tmp_path, check=True, stdout=-3
    )


# ---- always the same bytes


def test_two_builds_are_bit_identical(run_template, built_bundle, tmp_path):
    again = build(run_template, tmp_path / "elsewhere" / "other-name", judge=FakeJudge())
    assert contents(again.folder) == contents(built_bundle)
    assert again.digest == bundle_digest(built_bundle)


def test_neither_place_nor_time_nor_process_leaves_a_trace(run_template, built_bundle, tmp_path):
    copy = Path(shutil.copytree(run_template, tmp_path / "moved" / "run"))
    for number, path in enumerate(sorted(copy.rglob("*"), reverse=True)):
        os.utime(path, (1e9 + number, 1e9 + 2 * number))
        path.chmod(0o700 if path.is_dir() else 0o640)
    code = (
        "import sys; from pathlib import Path; from small_run import FakeJudge\n"
        "from release.build import build\n"
        "build(Path(sys.argv[1]), Path(sys.argv[2]), judge=FakeJudge())"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        "PYTHONHASHSEED": "12345",
        "TZ": "Pacific/Auckland",
        "LC_ALL": "C",
        "USER": "somebody",
    }
    out = tmp_path / "bundle"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, copy, out],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert contents(out) == contents(built_bundle)


def test_no_file_names_a_path_of_the_machine(built_bundle, run_template):
    for name, data in contents(built_bundle).items():
        assert str(run_template.parent).encode() not in data, name
        assert str(Path.home()).encode() + b"/" not in data, name


def test_version_and_date_are_written_where_they_belong(run_template, tmp_path):
    options = Options(version="1.2.3", date="2026-02-03")
    folder = build(run_template, tmp_path / "b", options, judge=FakeJudge()).folder
    assert "date-released: '2026-02-03'" in (folder / "CITATION.cff").read_text()
    crate = json.loads((folder / "ro-crate-metadata.json").read_text())
    root = next(row for row in crate["@graph"] if row["@id"] == "./")
    assert (root["datePublished"], root["version"]) == ("2026-02-03", "1.2.3")
    assert ard.open(folder).version == "1.2.3"


def test_a_new_version_leaves_fits_files_as_they_are(run_template, tmp_path):
    """So that the archive can link them instead of having them sent again."""
    family = {"target": "https://sandbox.zenodo.org", "parent_id": "143"}
    built = {}
    for version, number in (("1.0.0", 144), ("1.0.1", 150), ("2.0.0", 160)):
        reserved = Reservation(
            **family,
            record_id=str(number),
            doi=f"10.5072/zenodo.{number}",
            concept_doi="10.5072/zenodo.143",
        )
        options = Options(version, reservation=reserved)
        out = tmp_path / version
        built[version] = contents(build(run_template, out, options, judge=FakeJudge()).folder)
    first, second, third = built.values()
    unchanged = {name for name in first if first[name] == second.get(name)}
    products = {name for name in NAMES if name.startswith(("likelihood", "validation"))}
    assert {HLSP.format(major=1, type=kind) for kind in TYPES} | products <= unchanged
    assert {name for name in third if name.endswith(".fits")} == {
        HLSP.format(major=2, type=kind) for kind in TYPES
    }


def test_where_there_is_no_room_small_products_share_a_zip(run_folder, tmp_path):
    place = run_folder / "products/validation"
    for number in range(2, 101):
        (place / f"t{number:03d}_quality.json").write_text(f'{{"schema": "x", "item": {number}}}')
    write_record(run_folder)
    built = build(run_folder, tmp_path / "b", judge=FakeJudge())
    assert built.files == len(NAMES)
    bundle = ard.open(built.folder, verify="full")
    packed = bundle["validation/packed"]
    assert packed.members == tuple(f"t{number:03d}_quality.json" for number in range(1, 101))
    source = place / "t042_quality.json"
    assert packed.member("t042_quality.json") == source.read_bytes()
    with pytest.raises(ard.NotFoundError, match="no file of its own"):
        bundle["validation/t042_quality"]
    again = build(run_folder, tmp_path / "again", judge=FakeJudge())
    assert again.digest == built.digest


# ---- simulated or observed


def test_simulated_data_are_marked_in_every_document(built_bundle):
    for name in ("README.md", "DATASHEET.md", "data-dictionary.md"):
        assert (built_bundle / name).read_text().splitlines()[0].count("[SIMULATED]") == 1
    for path in built_bundle.glob("*.fits"):
        assert fits.getheader(path)["SIMULATD"] is True
    crate = json.loads((built_bundle / "ro-crate-metadata.json").read_text())
    files = [row for row in crate["@graph"] if row["@type"] == "File"]
    assert files
    assert all(row["description"].startswith("[SIMULATED] ") for row in files)


def test_observed_data_are_not_marked(observed_run, tmp_path):
    folder = build(observed_run, tmp_path / "b", judge=FakeJudge()).folder
    for name in ("README.md", "DATASHEET.md", "data-dictionary.md", "CITATION.cff"):
        assert "[SIMULATED]" not in (folder / name).read_text()
    assert "SIMULATED DATA" not in (folder / "README.md").read_text()
    assert not ard.open(folder).simulated
    with zipfile.ZipFile(folder / "validation_figures.zip") as archive:
        assert archive.comment == b""


def test_a_toy_grid_is_named(run_folder, tmp_path):
    write_record(run_folder, toy_grid=True)
    folder = build(run_folder, tmp_path / "b", judge=FakeJudge()).folder
    assert "TOY GRID" in (folder / "README.md").read_text()
    assert "toy" in (folder / "DATASHEET.md").read_text()


@pytest.mark.parametrize(
    ("name", "title"),
    [("likelihood/t001_cube.fits", CUBE), ("inference/t001_linemap.fits", LINEMAP)],
    ids=["cube", "map"],
)
def test_a_file_without_the_mark_is_refused(run_folder, tmp_path, name, title):
    path = run_folder / "products" / name
    product = ard.read(path)
    meta = {key: value for key, value in product.meta.items() if key != "SIMULATD"}
    ard.write(path, product.replace(meta=meta), overwrite=True)
    text = refusal(run_folder, tmp_path / "b")
    assert f"{title} lacks the card SIMULATD" in text
    assert "(1 reason)" in text


def test_a_simulated_file_in_an_observed_run_is_refused(observed_run, run_template, tmp_path):
    name = "inference/t001_linemap.fits"
    shutil.copy(run_template / "products" / name, observed_run / "products" / name)
    assert "marked as simulated, but the run is not" in refusal(observed_run, tmp_path / "b")


# ---- refused by the checks


@pytest.mark.parametrize("status", ["FAILED", "ERROR", "SKIPPED"])
def test_every_result_that_is_not_passed_is_named(run_template, tmp_path, status):
    judge = FakeJudge(
        [
            result("format.good"),
            result("physics.first", status, product="likelihood/one.fits"),
            result("physics.second", status, product="likelihood/two.fits"),
        ]
    )
    text = refusal(run_template, tmp_path / "b", judge)
    assert f"physics.first on likelihood/one.fits: {status}" in text
    assert f"physics.second on likelihood/two.fits: {status}" in text
    assert "format.good" not in text
    assert "measured 1.5 km/s, limit <= 1" in text
    assert "(2 reasons)" in text


def test_a_waived_failure_is_let_through_and_printed(run_template, tmp_path):
    judge = FakeJudge([result(), result("physics.map_chi2", "FAILED", waived=WAIVER)])
    folder = build(run_template, tmp_path / "b", judge=judge).folder
    readme = (folder / "README.md").read_text()
    row = next(line for line in readme.splitlines() if line.startswith("| physics.map_chi2"))
    for text in ("a known feature of the test", "A. Tester", "2999-12-31", "FAILED"):
        assert text in row
    assert "The cube \\| was looked at." in row  # a bar in a text opens no new column
    assert row.count(" | ") == 5
    assert "1 waived" in (folder / "DATASHEET.md").read_text()


@pytest.mark.parametrize("check", ["integrity.manifest", "convergence.rhat"])
def test_integrity_and_convergence_cannot_be_waived(run_template, tmp_path, check):
    judge = FakeJudge([result(), result(check, "FAILED", waived={**WAIVER, "check": check})])
    text = refusal(run_template, tmp_path / "b", judge)
    assert f"{check} on" in text
    assert "cannot be waived" in text


def test_a_check_that_broke_cannot_be_waived(run_template, tmp_path):
    judge = FakeJudge([result(), result("physics.map_chi2", "ERROR", waived=WAIVER)])
    assert "physics.map_chi2 on" in refusal(run_template, tmp_path / "b", judge)


def test_a_report_about_nothing_is_refused(run_template, tmp_path):
    assert "no product was checked" in refusal(run_template, tmp_path / "b", FakeJudge([]))


def test_the_verdict_counts_even_if_no_row_explains_it(run_template, tmp_path):
    text = refusal(run_template, tmp_path / "b", FakeJudge(verdict="FAILED"))
    assert "the verdict of the checks is FAILED" in text


def test_a_stored_report_is_never_believed(run_folder, tmp_path):
    stored = FakeJudge([result("format.stored")]).to_dict()
    (run_folder / "checks.json").write_text(json.dumps(stored))
    judge = FakeJudge([result("format.fresh", "FAILED")])
    assert "format.fresh" in refusal(run_folder, tmp_path / "b", judge)


def test_a_product_that_changes_after_it_was_judged_is_not_released(run_folder, tmp_path):
    path = run_folder / "products/likelihood/lines.ecsv"
    figure = run_folder / "products/validation/figures/velocity.ecsv"

    class Meddler(FakeJudge):
        def __call__(self, folder):
            victim.write_bytes(victim.read_bytes() + b"# late\n")
            return self

    for victim in (path, figure):
        with pytest.raises(ard.IntegrityError, match=f"changed while[\\s\\S]*{victim.name}"):
            build(run_folder, tmp_path / "b", judge=Meddler())
    assert list(tmp_path.iterdir()) == [run_folder]


# ---- refused by what lies in the run


def remove(name):
    return lambda products: (products / name).unlink()


def put(name, data=b"x\n"):
    def change(products):
        (products / name).parent.mkdir(exist_ok=True)
        (products / name).write_bytes(data)

    return change


def link(products):
    (products / "likelihood/lines.ecsv").rename(products.parent / "lines.ecsv")
    (products / "likelihood/lines.ecsv").symlink_to(products.parent / "lines.ecsv")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (remove("likelihood/t001_cube.fits"), "likelihood/t001_cube.fits was declared by the run"),
        (remove("validation/figures/velocity.png"), "velocity.png was declared by the run, but is"),
        (put("likelihood/stray.json"), "likelihood/stray.json was not declared by the run"),
        (put("validation/figures/stray.png"), "figures/stray.png was not declared by the run"),
        (put("likelihood/lines.ecsv", b""), "likelihood/lines.ecsv is empty"),
        (put("likelihood/Upper Case.txt"), "'Upper Case.txt' is not safe"),
        (put("elsewhere/x.txt"), "products/elsewhere is neither a layer"),
        (put("stray.txt"), "products/stray.txt is neither a layer"),
        (link, "likelihood/lines.ecsv is not a regular file"),
        (
            lambda products: (products / "validation/figures/deep").mkdir(),
            "validation/figures/deep is not a regular file",
        ),
    ],
)
def test_a_run_that_is_not_what_it_says_is_refused(run_folder, tmp_path, change, reason):
    change(run_folder / "products")
    assert reason in refusal(run_folder, tmp_path / "b")


def test_a_product_that_cannot_be_read_is_refused(run_folder, tmp_path):
    put("likelihood/lines.ecsv", b"no table")(run_folder / "products")
    assert "likelihood_lines.ecsv: " in refusal(run_folder, tmp_path / "b")


def test_two_files_of_one_name_are_refused(run_folder, tmp_path):
    put("likelihood/lines.txt")(run_folder / "products")
    write_record(run_folder)
    assert "would be one product, lines" in refusal(run_folder, tmp_path / "b")


def test_a_name_too_long_for_a_deposit_is_refused(run_folder, tmp_path):
    put(f"likelihood/{'x' * 85}.txt")(run_folder / "products")
    write_record(run_folder)
    assert "is no name for a deposit" in refusal(run_folder, tmp_path / "b")


@pytest.mark.parametrize(
    ("absent", "reason"),
    [
        ({}, "layer representative has no product and no reason"),
        ({"representative": ""}, "layer representative has no product and no reason"),
        ({"representative": "x", "likelihood": "y"}, "layer likelihood has products, but"),
    ],
)
def test_a_layer_has_products_or_a_reason(run_folder, tmp_path, absent, reason):
    write_record(run_folder, absent_layers=absent)
    assert reason in refusal(run_folder, tmp_path / "b")


def test_a_run_without_products_is_refused(run_folder, tmp_path):
    for layer in ("likelihood", "inference", "validation"):
        shutil.rmtree(run_folder / "products" / layer)
    write_record(run_folder, absent_layers=dict.fromkeys(ard.layout.LAYERS, "nothing yet"))
    assert "the run has no product at all" in refusal(run_folder, tmp_path / "b")


def test_an_unfinished_run_is_told(tmp_path):
    with pytest.raises(ard.NotFoundError, match=r"run\.json"):
        build(tmp_path / "no-run", tmp_path / "b", judge=FakeJudge())


@pytest.mark.parametrize(
    "changes",
    [{"schema": "x"}, {"simulated": "yes"}, {"target": {}}, {"products": [1]}, {"products": [{}]}],
)
def test_a_damaged_record_is_told(run_folder, tmp_path, changes):
    write_record(run_folder, **changes)
    with pytest.raises(ard.FormatError, match="record of"):
        build(run_folder, tmp_path / "b", judge=FakeJudge())


def test_a_folder_may_be_declared_as_a_whole(run_folder):
    path = run_folder / "products/run.json"
    record = json.loads(path.read_text())
    rows = [row for row in record["products"] if "/figures/" not in row["path"]]
    whole = {"path": "validation/figures", "kind": "archive", "schema": None, "stage": "x"}
    path.write_text(json.dumps({**record, "products": [*rows, whole]}))
    assert "validation_figures.zip" in {file.name for file in make_plan(run_folder).files}


@pytest.mark.parametrize(
    ("date", "day"), [("2999-12-31", "2999-12-31"), ("2023-01-01", None), (None, None)]
)
def test_waivers_have_to_hold_on_the_day_of_release(run_folder, tmp_path, monkeypatch, date, day):
    asked = []

    def judge(folder: Path, *, today: datetime.date) -> FakeJudge:
        asked.append(today)
        return FakeJudge()

    monkeypatch.setattr("checks.judging.judge", judge)
    before = datetime.date.today()
    build(run_folder, tmp_path / "b", Options(date=date))
    wanted = {before, datetime.date.today()}
    assert set(asked) <= (wanted if day is None else {datetime.date.fromisoformat(day)})
    assert len(asked) == 2


# ---- nothing half-written, nothing lost


def test_something_else_is_never_overwritten(run_folder, tmp_path):
    out = tmp_path / "b"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    for options in (Options(), Options(overwrite=True)):
        with pytest.raises(ard.ArdError, match=r"place for the bundle|this folder is none"):
            build(run_folder, out, options, judge=FakeJudge())
    assert (out / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(ard.ArdError, match="only a bundle can be overwritten"):
        build(run_folder, tmp_path / "file", Options(overwrite=True), judge=FakeJudge())


def test_an_older_bundle_is_replaced_only_on_demand(run_folder, bundle_folder):
    with pytest.raises(ard.ArdError, match="place for the bundle"):
        build(run_folder, bundle_folder, judge=FakeJudge())
    options = Options(version="2.0.0", overwrite=True)
    build(run_folder, bundle_folder, options, judge=FakeJudge())
    assert ard.open(bundle_folder, verify="full").version == "2.0.0"
    assert sorted(path.name for path in bundle_folder.parent.iterdir()) == ["bundle", "run"]


def test_the_run_itself_is_no_place_for_its_bundle(run_folder):
    for out in (run_folder / "products/bundle", run_folder / "products/likelihood/x"):
        with pytest.raises(ard.ArdError, match="among its products"):
            build(run_folder, out, judge=FakeJudge())
    assert build(run_folder, run_folder / "bundle", judge=FakeJudge()).files == len(NAMES)


def test_a_bundle_that_does_not_verify_never_appears(run_folder, tmp_path, monkeypatch):
    write_sums = build_module.sums_text
    monkeypatch.setattr(
        build_module, "sums_text", lambda folder: write_sums(folder).replace("a", "b")
    )
    with pytest.raises(ard.IntegrityError, match="not intact"):
        build(run_folder, tmp_path / "b", judge=FakeJudge())
    assert list(tmp_path.iterdir()) == [run_folder]


def test_an_interrupted_build_leaves_nothing(run_folder, tmp_path):
    def interrupt(text: str) -> None:
        if text == "writing the documents":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(run_folder, tmp_path / "b", judge=FakeJudge(), progress=interrupt)
    assert list(tmp_path.iterdir()) == [run_folder]


def test_the_old_bundle_survives_if_the_new_one_cannot_take_its_name(
    run_folder, bundle_folder, monkeypatch
):
    before, rename = contents(bundle_folder), Path.rename
    monkeypatch.setattr(place, "_exchange", lambda *_: False)

    def fail(path: Path, target: Path) -> Path:
        if path.name.endswith(".part"):
            raise OSError("no space left")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no space left"):
        build(run_folder, bundle_folder, Options(overwrite=True), judge=FakeJudge())
    assert contents(bundle_folder) == before
    assert sorted(path.name for path in bundle_folder.parent.iterdir()) == ["bundle", "run"]


def test_products_are_named_before_they_are_written(run_template):
    plan = make_plan(run_template)
    document = plan.to_dict()
    assert {row["name"] for row in document["files"]} == NAMES
    assert document["layers"]["validation"] == [
        "validation_figures.zip",
        "validation_t001_quality.json",
    ]
    cube = next(row for row in document["files"] if row["product"] == "t001_cube")
    assert cube["size"] == (run_template / "products/likelihood/t001_cube.fits").stat().st_size
    with pytest.raises(TypeError, match="does not support item assignment"):
        plan.target["name"] = "other"


def test_refusals_survive_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(RefusedError("no", ("one", "two"), "act")))
    assert error.reasons == ("one", "two")
    assert "two" in str(error)
    assert "act" in str(error)
