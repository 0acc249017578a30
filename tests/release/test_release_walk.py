"""Does a finished run become a published dataset that a stranger opens by its DOI, twice?

Oracle: the bytes of the bundle; nothing but the public command line is used, with the real judge,
on the run of the simulated demonstration and the contract server.
"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import ard
from release.cli import cli
from release.deposit.transport import Policy, Transport
from release.testing import ContractServer, audit

PAPERS = {
    "CHANGELOG.md",
    "CITATION.cff",
    "README.md",
    "datacite.json",
    "datapackage.json",
    "index.html",
    "manifest.json",
    "ro-crate-metadata.json",
    "sha256sums.txt",
    "zenodo.json",
}


@pytest.fixture
def server(tmp_path, monkeypatch):
    with ContractServer(tmp_path / "archive") as running:
        monkeypatch.setenv("ZENODO_TOKEN", running.token)
        monkeypatch.setenv("RBH1_ZENODO_URL", running.url)
        monkeypatch.setenv("RBH1_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setattr(Transport.__init__, "__defaults__", (Policy(backoff_s=0.01),))
        monkeypatch.chdir(tmp_path)
        yield running


def call(*arguments: object) -> dict:
    found = CliRunner().invoke(cli, [*map(str, arguments), "--json"])
    assert found.exit_code == 0, found.stdout + found.stderr
    return json.loads(found.stdout)


def publish(run: Path, name: str, version: str, reserve: tuple, build: tuple = ()) -> dict:
    """Type all verbs for one version; give the plan."""
    release, bundle, plan = f"{name}.json", name, f"{name}-plan.json"
    reserved = call("reserve", "--out", release, *reserve)
    given = ("--version", version, "--date", "2026-02-03", "--release", release, *build)
    call("build", "--run", run, "--out", bundle, *given)
    call("check", bundle, "--release", release)
    planned = call("plan", bundle, "--release", release, "--out", plan)
    call("apply", plan, bundle, "--release", release)
    call("publish", bundle, "--release", release, "--yes", reserved["doi"])
    assert call("status", "--release", release)["stage"] == "published"
    return planned | {"doi": reserved["doi"], "concept_doi": reserved["concept_doi"]}


def test_a_run_is_published_twice_and_opened_by_its_doi(tiny_run, server):
    first = publish(tiny_run, "first", "1.0.0", ("--target", server.url))
    files = list(Path("first").iterdir())
    assert len(server.log) <= 2 * len(files) + 10 + 3  # two looks of status, one for the title
    opened = ard.open(first["doi"])
    assert opened.doi == first["doi"]
    assert opened.verify("full") == ()
    header = ard.open("first")["likelihood/t001_cube"]
    assert opened["likelihood/t001_cube"].read_bytes() == header.read_bytes()

    server.clear_log()
    follows = ("--target", server.url, "--new-version-of", first["concept_doi"])
    second = publish(tiny_run, "second", "1.0.1", follows, ("--previous", first["doi"]))
    sent = {row.key for row in server.log if row.method == "PUT" and row.path.endswith("/content")}
    assert sent == PAPERS
    latest = ard.open(second["concept_doi"])
    assert (latest.doi, latest.version) == (second["doi"], "1.0.1")
    assert call("verify", second["doi"], "--rebuild", tiny_run, "--release", "second.json")[
        "rebuilt"
    ]["same"]
    assert call("diff", first["doi"], second["doi"])["regressions"] == 0
    assert audit.repeated_writes(server) == audit.leaked_tokens(server) == []
