"""Does the command line fetch what was asked for, say what it costs, and overwrite nothing?

Oracles: the folder that was deposited, and the log of the contract server.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner, Result
from publishing import (
    CUBE,
    FIGURES,
    Published,
    deposit,
    downloads,
    larger_cube,
    publish,
    reserve,
)
from rich.console import Console
from small_run import FakeJudge, png

import ard
from ard.integrity import bundle_digest
from ard.remote import Patience
from ard.source import Progress
from release.build import Options, build
from release.cli import cli
from release.commands.bars import Bars
from release.reservation import Reservation
from release.testing import ContractServer, Fault


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContractServer]:
    """The archive that every DOI leads to; downloads and the current folder are in `tmp_path`."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("RBH1_CACHE_DIR", str(tmp_path / "cache"))
    with ContractServer(tmp_path / "archive") as running:
        monkeypatch.setenv("RBH1_ZENODO_URL", running.url)
        yield running


@pytest.fixture
def published(server: ContractServer, tmp_path: Path) -> Published:
    return publish(server, tmp_path / "bundle", edit=larger_cube)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_a_product_goes_to_the_current_folder(server, published):
    shown = call("fetch", published.doi, "--product", "cube")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout == f"{CUBE}\n"
    assert shown.stderr == "1 file, 97.5 kB to fetch\n".replace(
        "97.5 kB", ard.bundle.human_size(published.size(CUBE))
    )
    assert Path(CUBE).read_bytes() == published.bytes(CUBE)
    assert [row.key for row in downloads(server)] == [CUBE]


def test_several_files_go_where_they_should(server, published):
    arguments = ["--product", "lines", "--product", "README.md", "--product", "table"]
    shown = call("fetch", published.doi, *arguments, "--out", "new/folder")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.split() == [
        "new/folder/likelihood_lines.ecsv",
        "new/folder/README.md",
    ]
    assert shown.stderr.startswith("2 files, ")


def test_an_hdu_is_one_request_for_its_bytes(server, published):
    shown = call("fetch", published.doi, "--product", "cube", "--hdu", "SCI")
    assert shown.exit_code == 0, shown.stderr
    out = Path(shown.stdout.strip())
    (row,) = downloads(server)
    assert row.sent_bytes == published.part(CUBE, "SCI")["size"]
    assert fits.getdata(out, "SCI").shape == (60, 50, 40)


def test_a_detour_is_told(server, published):
    server.inject(Fault("ignore_range", path=CUBE))
    shown = call("fetch", published.doi, "--product", "cube", "--hdu", "SCI", "--json")
    assert shown.exit_code == 0, shown.stderr
    assert f"the whole of {CUBE} is fetched instead" in shown.stderr
    (detour,) = json.loads(shown.stdout)["detours"]
    assert detour in shown.stderr


def test_a_member_is_one_request_for_its_bytes(server, published):
    shown = call("fetch", published.doi, "--product", "archive", "--member", "a.png")
    assert shown.exit_code == 0, shown.stderr
    assert Path("a.png").read_bytes() == b"picture"
    (row,) = downloads(server)
    assert (row.key, row.sent_bytes) == (FIGURES, 7)


def test_all_is_a_bundle_in_a_folder_of_its_own(server, published):
    shown = call("fetch", published.concept_doi, "--all")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout == f"zenodo.{published.id}\n"
    assert ard.verify(f"zenodo.{published.id}") == ()
    assert bundle_digest(f"zenodo.{published.id}") == bundle_digest(published.folder)
    assert [path.name for path in Path().iterdir()] == [f"zenodo.{published.id}"]


def test_an_interrupted_order_leaves_nothing_and_goes_on(server, published, monkeypatch):
    monkeypatch.setattr("ard.remote.client._pause", lambda seconds: None)
    server.inject(Fault(504, path=FIGURES, count=Patience().attempts))
    shown = call("fetch", published.doi, "--all")
    assert shown.exit_code == 3
    assert "HTTP status 504" in shown.stderr
    assert list(Path().iterdir()) == []
    before = {row.key for row in downloads(server) if row.status == 200}
    assert before
    server.clear_log()
    shown = call("fetch", published.doi, "--all")
    assert shown.exit_code == 0
    assert "in the cache" in shown.stderr
    assert before.isdisjoint(row.key for row in downloads(server))


def test_what_was_fetched_before_costs_nothing(server, published):
    call("fetch", published.doi, "--product", "cube")
    server.clear_log()
    shown = call("fetch", published.doi, "--product", "cube", "--out", "again")
    assert shown.stderr.startswith("1 file, 0 B to fetch, ")
    assert downloads(server) == []


def test_a_dry_run_says_what_it_would_cost_and_fetches_no_data(server, published):
    shown = call("fetch", published.doi, "--product", "cube", "--hdu", "ERR", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    size = ard.bundle.human_size(published.part(CUBE, "ERR")["size"])
    assert re.search(rf"{re.escape(CUBE)}!ERR.*{size}", shown.stdout)
    assert downloads(server) == []
    assert list(Path().iterdir()) == []


def test_a_dry_run_without_products_lists_the_bundle(server, published):
    document = json.loads(call("fetch", published.doi, "--dry-run", "--json").stdout)
    assert document["doi"] == published.doi
    assert document["bytes"] == document["bytes_to_fetch"] > published.size(CUBE)
    names = {row["name"]: row for row in document["files"]}
    assert len(names) == 6
    assert names[CUBE]["bytes"] == published.size(CUBE)
    assert names[CUBE]["path"] == f"zenodo.{published.id}/{CUBE}"
    assert "detours" not in document


@pytest.mark.parametrize(
    "arguments", [["--product", "cube"], ["--product", "cube", "--hdu", "SCI"]]
)
def test_nothing_is_overwritten(server, published, arguments):
    call("fetch", published.doi, *arguments)
    (out,) = Path().iterdir()
    out.unlink()
    out.write_bytes(b"mine")
    shown = call("fetch", published.doi, *arguments)
    assert shown.exit_code == 3
    assert "in the way already" in shown.stderr
    assert out.read_bytes() == b"mine"


def test_a_folder_is_not_overwritten(server, published):
    Path("out").mkdir()
    shown = call("fetch", published.doi, "--all", "--out", "out")
    assert shown.exit_code == 3
    assert "in the way already" in shown.stderr
    assert downloads(server) == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "--product NAME (once or more), or --all"),
        (["--all", "--product", "cube"], "--all goes without"),
        (["--hdu", "SCI"], "go with one --product"),
        (["--product", "cube", "--product", "lines", "--hdu", "SCI"], "go with one --product"),
        (["--product", "cube", "--hdu", "SCI", "--member", "x"], "not both"),
    ],
)
def test_contradictions_are_wrong_usage(server, arguments, problem):
    shown = call("fetch", "10.5072/zenodo.2", *arguments)
    assert shown.exit_code == 2
    assert problem in shown.stderr
    assert server.log == []


def test_a_folder_is_no_doi(server, published):
    shown = call("fetch", published.folder, "--all")
    assert shown.exit_code == 2
    assert "a DOI" in shown.stderr


def test_what_is_not_there_ends_with_3(server, published):
    assert call("fetch", "10.5072/zenodo.99", "--all").exit_code == 3
    assert call("fetch", published.doi, "--product", "nothing").exit_code == 3
    shown = call("fetch", published.doi, "--product", "cube", "--hdu", "NONE")
    assert shown.exit_code == 3
    assert "PRIMARY, SCI" in shown.stderr


def test_a_record_that_is_not_its_bundle_ends_with_1(server, tmp_path):
    wrong = publish(server, tmp_path / "bundle", doi="10.5072/zenodo.99")
    shown = call("fetch", wrong.doi, "--all")
    assert shown.exit_code == 1
    assert "DOI of the bundle is not that of the record" in shown.stderr


# verify


def test_verify_fast_reads_the_lists_alone(server, published):
    shown = call("verify", published.doi, "--fast", "--json")
    document = json.loads(shown.stdout)
    assert document == {
        "bundle": published.doi,
        "level": "fast",
        "intact": True,
        "digest": bundle_digest(published.folder),
        "findings": [],
    }
    assert downloads(server) == []


def test_verify_full_reads_every_byte(server, published):
    shown = call("verify", f"doi:{published.doi}", "--digest", bundle_digest(published.folder))
    assert (shown.exit_code, shown.stdout) == (0, "intact (full)\n"), shown.stderr
    assert "6 files" in shown.stderr
    assert len(downloads(server)) == 6
    assert "to fetch" not in call("verify", published.doi).stderr


def test_verify_compares_the_published_digest(server, published):
    shown = call("verify", published.doi, "--fast", "--digest", "0" * 64)
    assert shown.exit_code == 1
    assert "not the published bundle" in shown.stdout


def test_verify_names_what_is_wrong_with_a_record(server, tmp_path):
    wrong = publish(server, tmp_path / "bundle", concept_doi="10.5072/zenodo.99")
    for level in ("--fast", "--full"):
        shown = call("verify", wrong.doi, level)
        assert shown.exit_code == 1
        assert "concept DOI is not that of the record" in shown.stdout
    assert downloads(server) == []


def test_verify_finds_a_byte_that_flipped_in_the_archive(server, published):
    _, _, stored = server.world.files(published.id)[CUBE]
    data = bytearray(stored.read_bytes())
    data[9000] ^= 1
    stored.write_bytes(bytes(data))
    assert call("verify", published.doi, "--fast").exit_code == 0
    shown = call("verify", published.doi)
    assert shown.exit_code == 1
    assert f"{CUBE}: the archive delivers other bytes" in shown.stdout


def test_verify_of_nothing_ends_with_3(server):
    assert call("verify", "10.5072/zenodo.99").exit_code == 3
    assert call("verify", "nowhere").exit_code == 3


# What `release` builds


def test_a_built_bundle_is_verified_and_cut_by_its_doi(server, run_template, tmp_path):
    draft = reserve(server)
    reserved = Reservation(server.url, draft.id, draft.concept_id, draft.doi, draft.concept_doi)
    options = Options("1.0.0", reservation=reserved)
    built = build(run_template, tmp_path / "built", options, judge=FakeJudge())
    deposit(server, draft, built.folder)
    path = ard.open(built.folder)["t001_cube"].path
    shown = call("fetch", draft.concept_doi, "--product", "cube", "--hdu", "SCI")
    assert shown.exit_code == 0, shown.stderr
    with fits.open(shown.stdout.strip()) as cut, fits.open(path) as whole:
        assert np.array_equal(cut["SCI"].data, whole["SCI"].data, equal_nan=True)
        assert cut[0].header["DOI"] == draft.doi
    call("fetch", draft.doi, "--product", "figures", "--member", "velocity.png")
    assert Path("velocity.png").read_bytes() == png()
    assert [row.status for row in downloads(server)] == [206, 206]
    shown = call("verify", draft.doi, "--digest", built.digest)
    assert shown.exit_code == 0, shown.stdout + shown.stderr


# Bars


def test_bars_count_bytes_on_a_terminal(tmp_path):
    with (tmp_path / "screen").open("w") as screen:
        log = Console(file=screen, force_terminal=True, width=120, highlight=False)
        with Bars(log) as bars:
            bars.expect(3000)
            for event in (
                Progress("a", 0, 1000),
                Progress("a", 1000, 1000),
                Progress("b", 500, 2000),
            ):
                bars(event)
            bars(Progress("b", 0, 0, "[red]waiting[/red]"))
    shown = (tmp_path / "screen").read_text()
    assert "1.5/3.0 kB" in shown
    assert "[red]waiting[/red]" in shown


def test_bars_are_silent_elsewhere(tmp_path):
    with (tmp_path / "log").open("w") as screen:
        with Bars(Console(file=screen)) as bars:
            bars.expect(10)
            bars(Progress("a", 5, 10))
        bars(Progress("a", 5, 10, "a note"))
    assert (tmp_path / "log").read_text() == "a note\n"
