"""Does an unmodified astroquery take the rehearsal server for the archive, and fail as there?

Oracles: the bytes of the archive's folder, and the behaviour of astroquery 0.4.11 as it was found
(reference/archive_and_formats.md 1.3). astroquery reads its server when it is imported, so all of
it happens in one process of its own, which prints what it saw.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

PROGRAM = r"""
import json, os, sys, warnings
from pathlib import Path

from manifests import load_lock, load_selection, lock_path
from manifests.lock import Lock
from pipeline.acquire.testing import *

warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
selection = load_selection()
lock = load_lock(lock_path(), selection)
files = make_archive(folder / "archive", selection, lock, scale=2e-5)
by_name = {file.name: file for file in files}
seen = {}

with ArchiveServer(files, token="t0ken") as server:
    os.environ |= configure_astroquery(folder, server.url)
    os.environ.pop("MAST_API_TOKEN", None)
    from astroquery import __version__, log
    from astroquery.mast import Mast, MastMissions, Observations

    log.setLevel("ERROR")
    seen["version"] = __version__

    # What the catalogue says.
    hst = Observations.query_criteria(obs_collection="HST", proposal_id="17301")
    seen["hst_programs"] = sorted(set(hst["proposal_id"]))
    jwst = Observations.query_criteria(proposal_id="31*9", obs_collection=["JWST", "TESS"])
    seen["jwst_programs"] = sorted(set(jwst["proposal_id"]))
    seen["count"] = int(Observations.query_criteria_count(proposal_id="3149"))
    seen["n_jwst"] = len(jwst)
    server.reset_log()
    paged = Observations.query_criteria(proposal_id="3149", pagesize=4)
    seen["paged_equal"] = list(paged["obsid"]) == list(jwst["obsid"])
    seen["pages"] = len(server.requests)
    long = Observations.query_criteria(proposal_id="3149", t_exptime=[3000, 4000])
    seen["long"] = sorted(set(long["t_exptime"]))
    near = Observations.query_criteria(coordinates="40.4404 -8.3505", radius="1 arcsec",
                                       obs_collection="JWST")
    seen["near"] = len(near)
    seen["far"] = len(Observations.query_criteria(coordinates="41 -8", radius="1 arcsec",
                                                  obs_collection="JWST"))
    products = Observations.get_product_list(hst)
    seen["products"] = len(products)
    wanted = {f.name for f in files if f.collection == "HST"}
    seen["hst_missing"] = sorted(wanted - set(products["productFilename"]))
    seen["hst_unique"] = len(set(products["productFilename"]) & wanted)
    flc = Observations.filter_products(products, productSubGroupDescription="FLC",
                                       extension="fits", productType="SCIENCE", size=">=1000")
    seen["flc"] = len(set(flc["productFilename"]))
    # 0.4.11 lists names without repetition here, with all their columns.
    facts = Mast.mast_query("Mast.Jwst.Filtered.Nirspec", program=["3149"],
                            columns="filename,fileSize,checksum,cal_ver,is_imprt,isStale")
    seen["facts"] = [
        [str(row["filename"]), int(row["fileSize"]), str(row["checksum"]), str(row["cal_ver"]),
         str(row["is_imprt"]), bool(row["isStale"])]
        for row in facts
    ]
    seen["truth"] = {f.name: [f.size, f.checksum] for f in files if f.collection == "JWST"}
    missions = MastMissions
    missions.mission = "jwst"
    found = missions.query_criteria(program="3149")
    seen["datasets"] = len(set(found["fileSetName"]))
    listed = missions.get_product_list(found)
    seen["mission_files"] = len({n for n in listed["filename"] if n in by_name})
    x1d = "jw03149-o001_t001_nirspec_g140m-f100lp_x1d.fits"
    uri = next(u for u, n in zip(listed["uri"], listed["filename"]) if n == x1d)
    status = missions.download_file(uri, local_path=folder / x1d, verbose=False)[0]
    seen["mission_download"] = status
    seen["mission_good"] = (folder / x1d).read_bytes() == by_name[x1d].path.read_bytes()

    # What questions that fail do.
    def error(service, fault, ask=None):
        server.query_fault(service, fault)
        try:
            (ask or (lambda: Observations.query_criteria(proposal_id="3149")))()
        except Exception as error:
            return type(error).__name__
        return "none"

    seen["query_503"] = error("Mast.Caom.Filtered", QueryStatus(503))
    seen["query_error"] = error("Mast.Caom.Filtered", QueryError("no"))
    seen["query_html"] = error("Mast.Caom.Filtered", QueryHtml())
    seen["query_broken"] = error("Mast.Caom.Filtered", BrokenJson())
    seen["query_types"] = error("Mast.Caom.Filtered", UnknownTypes())
    seen["query_twice"] = error("Mast.Caom.Filtered", DuplicateRows())
    server.reset_log()
    seen["executing"] = error("Mast.Caom.Filtered", Executing(5))
    seen["executing_requests"] = len(server.requests)
    seen["zero"] = error("Mast.Caom.Products", ZeroRows(),
                         lambda: Observations.get_product_list(hst[:1]))

    # Downloads: first call, is the file good, second call, is it good.
    name = "if3x01010_drc.fits"
    truth = by_name[name].path.read_bytes()

    def fetch(path):
        try:
            uri = by_name[name].uri
            status = Observations.download_file(uri, local_path=path, verbose=False)[0]
        except Exception as error:
            status = type(error).__name__
        good = path.is_file() and path.read_bytes() == truth
        return status, "GOOD" if good else "BAD"

    def twice(label, fault=None, before=None):
        path = folder / "downloads" / label / name
        path.parent.mkdir(parents=True)
        if before is not None:
            path.write_bytes(before)
        if fault is not None:
            server.fault(name, fault)
        seen[label] = [*fetch(path), *fetch(path)]
        server.clear_faults()

    twice("clean")
    twice("truncated", Truncate(0.5))
    twice("short", ShortBody(0.5))
    twice("flip", BitFlip(9000))
    twice("html", HtmlPage())
    twice("other", OtherContent())
    twice("lost", LostExtension())
    twice("503", Status(503))
    twice("429", RetryAfter(429, 1))
    twice("401", Unauthorized())
    twice("no_length", NoLength(0.5))
    twice("reset", Drop(0.5))
    twice("stall", Stall(0.5, 0.3))
    twice("longer", before=truth + b"junk")
    twice("partial", before=b"\1" * 5000)
    three = Observations.filter_products(products, productSubGroupDescription="DRC",
                                         extension="fits", obs_id=["if3x01010", "if3x01020"])
    server.fault("if3x01010_drc.fits", Truncate(0.5))
    try:
        Observations.download_products(three, download_dir=str(folder), flat=True, verbose=False)
        seen["one_bad"] = "manifest"
    except Exception as error:
        seen["one_bad"] = type(error).__name__
    manifest = Observations.download_products(three, download_dir=str(folder), verbose=False)
    seen["manifest"] = sorted(manifest["Status"])
    script = Observations.download_products(three, download_dir=str(folder), curl_flag=True)
    text = Path(script["Local Path"][0]).read_text()
    seen["bundle"] = sorted(line.split("'")[1] for line in text.splitlines() if "curl" in line)

    # Who is asked, and who may.
    seen["anonymous"] = Observations._auth_obj.session_info()["anon"]
    Observations.login("t0ken")
    seen["known"] = not Observations._auth_obj.session_info()["anon"]
    seen["outside"] = sorted({r.path for r in server.requests if r.status == 404})

sys.stdout.write("\n" + json.dumps(seen, default=str))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What astroquery saw."""
    folder = tmp_path_factory.mktemp("astroquery")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COVERAGE_PROCESS_START": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_catalogue_is_read(seen):
    assert seen["version"].startswith("0.4.11")
    assert (seen["hst_programs"], seen["jwst_programs"]) == (["17301"], ["3149"])
    assert seen["count"] == seen["n_jwst"] == 18
    assert seen["long"] == [3501.334]
    assert (seen["near"], seen["far"]) == (18, 0)


def test_pages_make_one_table(seen):
    assert seen["paged_equal"]
    assert seen["pages"] == 5


def test_products_are_listed_repeatedly_among_others(seen):
    assert seen["hst_missing"] == []
    assert seen["hst_unique"] == 142
    assert seen["products"] > 2 * 142
    assert seen["flc"] == 72


def test_the_service_for_single_files_has_sizes_and_checksums(seen):
    rows = {row[0]: row for row in seen["facts"]}
    assert {name: row[1:3] for name, row in rows.items()} == seen["truth"]
    assert len(rows) == 52
    assert {row[3] for row in rows.values()} == {"1.17.1"}
    imprints = {name for name, row in rows.items() if row[4] == "t"}
    assert len(imprints) == 24
    assert all("_06101_" in name or "_08101_" in name for name in imprints)
    assert not any(row[5] for row in rows.values())


def test_the_newer_search_service_works(seen):
    assert seen["datasets"] == 18
    assert seen["mission_files"] == 52
    assert (seen["mission_download"], seen["mission_good"]) == ("COMPLETE", True)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("query_503", "HTTPError"),
        ("query_error", "RemoteServiceError"),
        ("query_html", "JSONDecodeError"),
        ("query_broken", "JSONDecodeError"),
        ("query_types", "TypeError"),
        ("query_twice", "none"),
        ("zero", "none"),
        ("executing", "none"),
    ],
)
def test_questions_fail_as_they_do_at_the_archive(seen, fault, error):
    assert seen[fault] == error


def test_executing_is_asked_again_at_once(seen):
    assert seen["executing_requests"] == 6


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("clean", ["COMPLETE", "GOOD", "COMPLETE", "GOOD"]),
        ("truncated", ["ChunkedEncodingError", "BAD", "COMPLETE", "GOOD"]),
        ("short", ["COMPLETE", "BAD", "COMPLETE", "GOOD"]),
        ("flip", ["COMPLETE", "BAD", "COMPLETE", "BAD"]),
        ("html", ["COMPLETE", "BAD", "COMPLETE", "GOOD"]),
        ("other", ["COMPLETE", "BAD", "COMPLETE", "BAD"]),
        ("lost", ["COMPLETE", "BAD", "COMPLETE", "GOOD"]),
        ("503", ["ERROR", "BAD", "COMPLETE", "GOOD"]),
        ("429", ["ERROR", "BAD", "COMPLETE", "GOOD"]),
        ("401", ["ERROR", "BAD", "COMPLETE", "GOOD"]),
        ("no_length", ["COMPLETE", "BAD", "COMPLETE", "GOOD"]),
        ("reset", ["ChunkedEncodingError", "BAD", "COMPLETE", "GOOD"]),
        ("stall", ["COMPLETE", "GOOD", "COMPLETE", "GOOD"]),
        ("longer", ["COMPLETE", "GOOD", "COMPLETE", "GOOD"]),
        ("partial", ["COMPLETE", "GOOD", "COMPLETE", "GOOD"]),
    ],
)
def test_downloads_fail_as_they_do_at_the_archive(seen, fault, outcome):
    """First call, what is left under the final name, second call, what is left then."""
    assert seen[fault] == outcome


def test_one_bad_file_hides_the_others(seen):
    assert seen["one_bad"] == "ChunkedEncodingError"
    assert seen["manifest"] == ["COMPLETE", "COMPLETE"]
    assert seen["bundle"] == ["if3x01010_drc.fits", "if3x01020_drc.fits"]


def test_a_token_is_known(seen):
    assert seen["anonymous"]
    assert seen["known"]
    assert seen["outside"] == []
