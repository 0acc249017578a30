"""Do the verbs say the right thing on the right channel, with the right exit code, and no secret?

Oracle: the text itself; the contract server; real processes for signals.
"""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from consignments import RECORD, approve, write_consignment
from depositors import bundled, held

from manifests import ManifestError
from release.cli import cli
from release.deposit.records import Archive
from release.deposit.token import Token
from release.deposit.transport import Policy, Transport
from release.ready import assess
from release.reservation import read_reservation
from release.testing import ContractServer, Fault

ROOT = Path(__file__).resolve().parents[3]


class Terminal:
    """Types commands in a folder, and keeps everything that was shown."""

    def __init__(self, root: Path, server: ContractServer) -> None:
        self.root, self.server = root, server
        self.shown: list[str] = []

    def __call__(self, *arguments: object, code: int = 0) -> str:
        found = CliRunner().invoke(
            cli, [str(one) for one in arguments], env={"ZENODO_TOKEN": self.server.token}
        )
        self.shown += [found.stdout, found.stderr, repr(found.exception), repr(found.exc_info)]
        assert found.exit_code == code, found.stdout + found.stderr
        self.stderr = found.stderr
        return found.stdout

    def json(self, *arguments: object, code: int = 0):
        return json.loads(self(*arguments, "--json", code=code))

    def reserve(self, *arguments: object) -> str:
        return self("reserve", "--out", "release.json", "--target", self.server.url, *arguments)

    def build(self, **files: bytes) -> None:
        contents = {f"{name}.txt": data for name, data in files.items()} or {"a.txt": b"content"}
        write_consignment(Path("bundle"), contents, read_reservation("release.json"))

    def deposit(self) -> str:
        """Everything up to publishing; gives the DOI."""
        self.reserve()
        self.build()
        self("plan", "bundle", "--release", "release.json", "--out", "plan.json")
        self("apply", "plan.json", "bundle", "--release", "release.json")
        return read_reservation("release.json").doi


@pytest.fixture
def server(tmp_path):
    """Of the system's time: the command line has no other."""
    with ContractServer(tmp_path / "archive") as running:
        yield running


@pytest.fixture
def terminal(server, tmp_path, monkeypatch):
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setattr("release.commands.deposit._ready", approve)
    typed = Terminal(tmp_path / "desk", server)
    yield typed
    secret = server.token.encode()
    assert secret not in "".join(typed.shown).encode()
    assert not any(secret in path.read_bytes() for path in typed.root.rglob("*") if path.is_file())
    assert not any(server.token in row.path for row in server.log)


def test_the_walk(terminal, server):
    shown = terminal.reserve()
    reservation = read_reservation("release.json")
    assert shown.splitlines()[:2] == [
        f"{reservation.doi}  this version",
        f"{reservation.concept_doi}  all versions",
    ]
    terminal.build()
    shown = terminal("plan", "bundle", "--release", "release.json", "--out", "plan.json")
    for text in ("a.txt", "upload", "README.md", "13 requests", "files: 5 sent"):
        assert text in shown
    terminal("apply", "plan.json", "bundle", "--release", "release.json", "--dry-run")
    shown = terminal("apply", "plan.json", "bundle", "--release", "release.json")
    assert f"draft {reservation.record_id} holds the bundle (sent now: 5 files" in shown
    shown = terminal("apply", "plan.json", "bundle", "--release", "release.json")
    assert "nothing was left to do" in shown
    shown = terminal("publish", "bundle", "--release", "release.json", code=2)
    assert f"add: --yes {reservation.doi}" in shown
    terminal("publish", "bundle", "--release", "release.json", "--dry-run")
    assert server.world.published() == []
    arguments = ["publish", "bundle", "--release", "release.json", "--yes", reservation.doi]
    assert f"{server.url}/records/{reservation.record_id} is public:" in terminal(*arguments)
    assert "was public already, and holds the bundle" in terminal(*arguments)
    assert "was public already" in terminal(
        "publish", "bundle", "--release", "release.json", "--dry-run"
    )
    assert held(server, reservation.record_id) == bundled(Path("bundle"))


def test_the_walk_for_programs(terminal, server):
    target = ("--target", server.url)
    shown = terminal("reserve", "--out", "release.json", *target, "--dry-run")
    assert shown == (
        f"would be sent to {server.url}:\n"
        "  POST /api/records\n"
        "  POST /api/records/{id}/draft/pids/doi\n"
    )
    asked = terminal.json("reserve", "--out", "release.json", *target, "--dry-run")
    assert asked["requests"] == ["POST /api/records", "POST /api/records/{id}/draft/pids/doi"]
    again = terminal.json(
        "reserve", "--out", "r.json", *target, "--dry-run", "--new-version-of", "10.5072/zenodo.7"
    )
    assert again["requests"][0] == "GET /api/records/7"
    assert server.log == []
    assert not Path("release.json").exists()
    found = terminal.json("reserve", "--out", "release.json", *target)
    assert found["release"] == "release.json"
    terminal.build()
    plan = terminal.json("plan", "bundle", "--release", "release.json", "--out", "plan.json")
    assert plan == json.loads(Path("plan.json").read_text())
    verb = ("apply", "plan.json", "bundle", "--release", "release.json")
    assert terminal.json(*verb, "--dry-run") == plan
    done = terminal.json(*verb)
    assert (done["sent_files"], done["already"]) == (5, False)
    verb = ("publish", "bundle", "--release", "release.json")
    preview = terminal.json(*verb, code=2)
    public = terminal.json(*verb, "--yes", found["doi"])
    assert public == preview
    assert public["doi"] == found["doi"]
    assert terminal.json(*verb, "--yes", found["doi"])["already"] is True


def test_the_status_says_what_to_type_next(terminal, server):
    status = ("status", "--release", "release.json")
    assert terminal.json(*status)["stage"] == "reserving"
    assert "next: rbh1-release reserve --out release.json\n" in terminal(*status)
    server.inject(Fault("expire_token", method="POST", path="pids"))
    terminal("reserve", "--out", "release.json", "--target", server.url, code=3)
    server.restore_tokens()
    found = terminal.json(*status)
    assert found["facts"] == ["reserving was interrupted"]
    assert found["next"] == f"rbh1-release reserve --out release.json --target {server.url}"
    terminal(
        "reserve", "--out", "other.json", "--target", server.url, "--new-version-of", 9, code=1
    )
    unbegun = terminal.json("status", "--release", "other.json")
    assert unbegun["facts"] == ["nothing is reserved"]
    terminal(*found["next"].split()[1:])
    found = terminal.json(*status)
    assert found["stage"] == "reserved"
    assert found["facts"] == ["draft 2 holds 0 complete files (0 B), 0 pending"]
    terminal.build()
    assert found["next"] == "rbh1-release plan BUNDLE --release release.json --out PLAN"
    terminal("plan", "bundle", "--release", "release.json", "--out", "plan.json")
    server.inject(Fault("html413", method="PUT", path=r"a\.txt/content"))
    terminal("apply", "plan.json", "bundle", "--release", "release.json", code=3)
    found = terminal.json(*status)
    assert found["stage"] == "applying"
    assert found["next"] == "rbh1-release apply PLAN BUNDLE --release release.json"
    terminal("apply", "plan.json", "bundle", "--release", "release.json")
    found = terminal.json(*status)
    assert found["stage"] == "ready"
    doi = found["reservation"]["doi"]
    assert found["next"] == f"rbh1-release publish BUNDLE --release release.json --yes {doi}"
    terminal("publish", "bundle", "--release", "release.json", "--yes", doi)
    found = terminal.json(*status)
    assert (found["stage"], found["next"]) == ("published", "")
    assert "is published" in terminal(*status)
    Path("release.journal.jsonl").unlink()
    found = terminal.json(*status)
    assert "not compared with the bundle yet" in found["facts"][1]
    assert "publish BUNDLE" in found["next"]


def test_a_second_draft_is_spoken_of(terminal, server, monkeypatch):
    impatient = Policy(slow_s=1.0, settle_s=0.1, backoff_s=0.01)
    monkeypatch.setattr(Transport.__init__, "__defaults__", (impatient,))
    server.hold_index(2)
    server.inject(Fault(504, method="POST", path="/records$", when="after"))
    found = json.loads(terminal.reserve("--json"))
    assert "a second draft may turn up" in terminal.stderr
    assert "rbh1-release status --release release.json" in terminal.stderr
    first, second = server.world.drafts()
    assert found["record_id"] == second
    time.sleep(2)
    facts = terminal.json("status", "--release", "release.json")["facts"]
    assert f"rbh1-release clean --release release.json --yes {first}" in facts[1]
    terminal("clean", "--release", "release.json", "--yes", first)
    assert len(terminal.json("status", "--release", "release.json")["facts"]) == 1


def test_what_is_refused_ends_with_1(terminal, server):
    doi = terminal.deposit()
    verb = ("publish", "bundle", "--release", "release.json", "--yes")
    terminal(*verb, doi + "0", code=1)
    assert "is not the DOI of this version" in terminal.stderr
    found = terminal.json(*verb, doi + "0", code=1)
    assert found["problem"] == "nothing is published (1 reason)"
    assert len(found["refused"]) == 1
    (Path("bundle") / "a.txt").write_bytes(b"other")
    found = terminal.json(*verb, doi, code=1)
    assert "a.txt" in found["refused"][0]
    terminal("plan", "bundle", "--release", "release.json", code=1)
    terminal("plan", "bundle", "--release", "release.json", "--target", "sandbox", code=1)
    assert "this is not the archive of the reservation" in terminal.stderr


def test_what_cannot_run_ends_with_3(terminal, server):
    terminal("plan", "bundle", "--release", "release.json", code=3)
    terminal("reserve", "--out", "release.json", "--target", "http://zenodo.org", code=3)
    assert "without encryption" in terminal.stderr
    terminal.deposit()
    terminal("plan", "nowhere", "--release", "release.json", code=3)
    terminal("plan", "bundle", "--release", "release.json", "--out", "plan.json", code=3)
    assert "exists already" in terminal.stderr
    terminal("apply", "release.json", "bundle", "--release", "release.json", code=3)
    assert "no plan of a deposit" in terminal.stderr
    server.expire_token()
    terminal("status", "--release", "release.json", code=3)
    assert "403 Permission denied" in terminal.stderr


@pytest.mark.parametrize("name", [".", "release-1.0", "desk"])
def test_a_reservation_is_a_json_file(terminal, server, name):
    terminal("reserve", "--out", name, "--target", server.url, code=3)
    assert "a reservation is kept in a .json file" in terminal.stderr
    terminal("status", "--release", name, code=3)
    assert (server.log, list(Path().iterdir())) == ([], [])


def test_wrong_usage_ends_with_2(terminal):
    for words in (
        ["reserve"],
        ["plan", "bundle"],
        ["apply", "x"],
        ["publish"],
        ["status"],
        ["clean", "x"],
    ):
        terminal(*words, code=2)


def test_no_token_is_said(terminal, server, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    server.token = ""
    terminal("reserve", "--out", "release.json", "--target", server.url, code=3)
    assert "there is no token for 127.0.0.1" in terminal.stderr
    server.token = "never-shown"


def test_drafts_are_listed_and_discarded(terminal, server):
    assert terminal("clean", "--target", server.url) == "no draft of ours is left\n"
    terminal.reserve()
    terminal("reserve", "--out", "other.json", "--target", server.url)
    first, second = (read_reservation(name).record_id for name in ("release.json", "other.json"))
    listed = terminal.json("clean", "--target", server.url)["drafts"]
    assert {row["record_id"] for row in listed} == {first, second}
    assert {row["why"] for row in listed} == {"bears the mark of a reservation"}
    shown = terminal("clean", "--target", server.url)
    assert "rbh1-ard reservation" in shown
    own_release = "one that has a DOI goes with its own release.json: rbh1-release clean --release"
    assert "to discard one" not in shown, "both belong to a release.json"
    assert own_release in shown
    shown = terminal("clean", "--release", "release.json")
    assert "to discard one: rbh1-release clean --release release.json --yes ID\n" in shown
    assert own_release in shown, "of the other one"
    terminal("clean", "--target", server.url, "--yes", second, "--dry-run")
    assert server.world.drafts() == [first, second]
    terminal("clean", "--target", server.url, "--yes", second, code=1)
    assert "belongs to a release.json" in terminal.stderr
    assert f"draft {second} is discarded" in terminal(
        "clean", "--release", "other.json", "--yes", second
    )
    assert server.world.drafts() == [first]
    found = terminal.json("clean", "--release", "release.json", "--yes", first)
    assert found["discarded"]["why"] == "the draft of this release"
    assert server.world.drafts() == []
    status = terminal.json("status", "--release", "release.json")
    assert status["stage"] == "discarded"
    Path("release.json").unlink()
    assert terminal.json("status", "--release", "release.json")["stage"] == "discarded"
    terminal("reserve", "--out", "release.json", "--target", server.url, code=1)
    assert "was discarded" in terminal.stderr
    assert terminal.json("status", "--release", "other.json")["stage"] == "discarded"


def test_how_a_draft_without_doi_is_discarded_is_said(terminal, server):
    server.inject(Fault("html413", method="POST", path="pids/doi"))
    terminal("reserve", "--out", "release.json", "--target", server.url, code=3)
    shown = terminal("clean", "--target", server.url)
    assert f"to discard one: rbh1-release clean --target {server.url} --yes ID\n" in shown
    assert "its own release.json" not in shown


def test_a_draft_without_mark_goes_with_its_release_only(terminal, server):
    terminal.deposit()
    (record_id,) = server.world.drafts()
    terminal("clean", "--target", server.url, "--yes", record_id, code=1)
    assert "bears no mark of ours" in terminal.stderr
    assert terminal.json("clean", "--target", server.url)["drafts"] == []
    listed = terminal.json("clean", "--release", "release.json")["drafts"]
    assert [row["why"] for row in listed] == ["the draft of this release"]
    server.inject(Fault(504, method="DELETE", path="draft", when="after"))
    terminal("clean", "--release", "release.json", "--yes", record_id)
    assert server.world.drafts() == []
    terminal("publish", "bundle", "--release", "release.json", "--yes", "x", code=1)
    terminal("apply", "plan.json", "bundle", "--release", "release.json", code=1)
    terminal("plan", "bundle", "--release", "release.json", code=1)
    assert "was discarded" in terminal.stderr


def test_a_draft_that_somebody_else_discarded_is_gone(terminal, server):
    terminal.reserve()
    (record_id,) = server.world.drafts()
    with Archive(Transport(server.url, Token(server.token))) as archive:

        def fault(record):
            if record.method == "DELETE":
                server.fault_for = None
                archive.discard(record_id)
            return None

        server.fault_for = fault
        terminal("clean", "--release", "release.json", "--yes", record_id)
    assert [row.status for row in server.log if row.method == "DELETE"] == [404, 204]


def test_what_is_published_is_not_discarded(terminal, server):
    doi = terminal.deposit()
    record_id = doi.rpartition(".")[2]
    terminal("publish", "bundle", "--release", "release.json", "--yes", doi)
    terminal("clean", "--release", "release.json", "--yes", record_id, code=1)
    assert f"there is no draft {record_id}" in terminal.stderr
    terminal("clean", "--target", server.url, "--yes", "999", code=1)
    with Archive(Transport(server.url, Token(server.token))) as archive:
        archive.transport.write("POST", f"/api/records/{record_id}/draft")
    terminal("clean", "--release", "release.json", "--yes", record_id, code=1)
    assert "is published" in terminal.stderr
    assert server.world.published() == [record_id]
    assert terminal.json("status", "--release", "release.json")["stage"] == "published"


def test_a_lost_publishing_is_in_the_status(terminal, server, monkeypatch):
    impatient = Policy(slow_s=1.0, settle_s=0.1, backoff_s=0.01)
    monkeypatch.setattr(Transport.__init__, "__defaults__", (impatient,))
    doi = terminal.deposit()
    server.inject(Fault(504, method="POST", path="publish"))
    terminal("publish", "bundle", "--release", "release.json", "--yes", doi, code=3)
    assert "publishing was sent, and did not happen" in terminal.stderr
    found = terminal.json("status", "--release", "release.json")
    assert any("and did not happen so far" in fact for fact in found["facts"])
    terminal("publish", "bundle", "--release", "release.json", "--yes", doi)
    assert "waiting up to 1 min for the record before it is sent again" in terminal.stderr


def test_what_the_judge_does_not_know_is_not_planned(terminal, monkeypatch):
    monkeypatch.setattr("release.commands.deposit._ready", partial(assess, verified=True))
    terminal.reserve()
    terminal.build()
    found = terminal.json("plan", "bundle", "--release", "release.json", code=1)
    assert found["problem"].startswith("the bundle is not ready to be deposited")
    assert any("structure.papers: FAILED" in reason for reason in found["refused"])


def test_a_place_for_the_plan_is_looked_at_first(terminal, server, monkeypatch):
    terminal.reserve()
    terminal.build()
    plan = ("plan", "bundle", "--release", "release.json", "--out")
    terminal(*plan, "plan.json")
    Path("notes.json").write_text('{"mine": 1}')
    Path("link.json").symlink_to("plan.json")
    before = Path("plan.json").read_bytes()
    server.clear_log()
    for arguments, words in (
        (("plan.json",), "give --overwrite if it is a plan"),
        (("notes.json", "--overwrite"), "only a plan can be overwritten"),
        (("link.json", "--overwrite"), "only a plan can be overwritten"),
        (("nowhere/plan.json",), "no folder for the plan"),
    ):
        terminal(*plan, *arguments, code=3)
        assert words in terminal.stderr
    assert server.log == []
    assert Path("plan.json").read_bytes() == before
    Path("plan.json").write_text('{"schema": "deposit-plan", "of": "an older version"}')
    terminal(*plan, "plan.json", "--overwrite")
    assert Path("plan.json").read_bytes() == before


@pytest.mark.parametrize("verb", ["plan", "publish"])
def test_faulty_waivers_are_an_error_and_no_refusal(terminal, monkeypatch, verb):
    doi = terminal.deposit()

    def faulty(*_, **__):
        raise ManifestError("a field is missing", file="waivers.toml", found="none")

    monkeypatch.setattr("release.commands.deposit._ready", faulty)
    monkeypatch.setattr("release.verdict.load_acceptance", faulty)
    more = ("--yes", doi) if verb == "publish" else ()
    terminal(verb, "bundle", "--release", "release.json", *more, code=3)
    assert "a field is missing" in terminal.stderr


def test_a_second_dataset_of_one_title_is_not_planned(terminal, server):
    doi = terminal.deposit()
    terminal("publish", "bundle", "--release", "release.json", "--yes", doi)
    terminal("reserve", "--out", "second.json", "--target", server.url)
    second = read_reservation("second.json")
    write_consignment(Path("second"), {"a.txt": b"content"}, second)
    found = terminal.json("plan", "second", "--release", "second.json", code=1)
    assert found["problem"].startswith("a dataset of this title is published already")
    assert found["refused"] == [f"{doi}: [SIMULATED] A dataset"]
    # Also where it can be seen through the draft of its next version only.
    terminal("reserve", "--out", "next.json", "--target", server.url, "--new-version-of", doi)
    found = terminal.json("plan", "second", "--release", "second.json", code=1)
    assert "a dataset of this title" in found["problem"]
    terminal("plan", "second", "--release", "second.json", "--another-dataset")
    write_consignment(Path("next"), {"a.txt": b"content"}, read_reservation("next.json"))
    terminal("plan", "next", "--release", "next.json")


def test_another_title_or_a_draft_is_no_twin(terminal, server):
    terminal.deposit()
    for name, title in (("same", "[SIMULATED] A dataset"), ("other", "Another")):
        release = f"{name}.json"
        terminal("reserve", "--out", release, "--target", server.url)
        record = {**RECORD, "metadata": {**RECORD["metadata"], "title": title}}
        write_consignment(Path(name), {"a.txt": b"a"}, read_reservation(release), record=record)
        terminal("plan", name, "--release", release)


# Real processes


def start(server, *arguments: object) -> subprocess.Popen:
    environment = os.environ | {"ZENODO_TOKEN": server.token, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "release", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_uploads(server, number: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if len([row for row in server.log if row.path.endswith("/content")]) >= number:
            return
        time.sleep(0.01)
    pytest.fail("no upload began")


def test_a_killed_process_is_gone_on_with(terminal, server):
    """SIGKILL, and at once the same command again."""
    terminal.reserve()
    terminal.build(**{f"f{number}": os.urandom(1000) for number in range(12)})
    terminal("plan", "bundle", "--release", "release.json", "--out", "plan.json")
    server.inject(Fault("slow", method="PUT", path="content", count=100, seconds=0.2))
    verb = ("apply", "plan.json", "bundle", "--release", "release.json")
    for number in (3, 7):
        with start(server, *verb) as process:
            wait_for_uploads(server, number)
            process.kill()
            process.communicate()
    server.clear_faults()
    terminal(*verb)
    record_id = read_reservation("release.json").record_id
    assert held(server, record_id) == bundled(Path("bundle"))
    assert server.world.drafts() == [record_id]


def test_an_interrupted_process_says_how_to_go_on(terminal, server):
    terminal.reserve()
    terminal.build(**{f"f{number}": os.urandom(1000) for number in range(12)})
    terminal("plan", "bundle", "--release", "release.json", "--out", "plan.json")
    server.inject(Fault("slow", method="PUT", path="content", count=100, seconds=0.3))
    verb = ("apply", "plan.json", "bundle", "--release", "release.json")
    with start(server, *verb) as process:
        wait_for_uploads(server, 3)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (3, "")
    assert "type the same command again" in stderr
    assert "Traceback" not in stderr
    assert server.token not in stderr
    terminal(*verb)


def test_a_process_that_is_interrupted_twice_ends_at_once(terminal, server):
    terminal.reserve()
    terminal.build(**{f"f{number}": os.urandom(1000) for number in range(4)})
    terminal("plan", "bundle", "--release", "release.json", "--out", "plan.json")
    server.inject(Fault("slow", method="PUT", path="content", count=100, seconds=60.0))
    verb = ("apply", "plan.json", "bundle", "--release", "release.json")
    with start(server, *verb) as process:
        wait_for_uploads(server, 4)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        process.communicate(timeout=20)
    assert process.returncode != 0


def test_two_processes_do_not_work_on_one_deposit(terminal, server):
    terminal.reserve()
    terminal.build()
    terminal("plan", "bundle", "--release", "release.json", "--out", "plan.json")
    server.inject(Fault("slow", method="PUT", path="content", count=100, seconds=0.5))
    verb = ("apply", "plan.json", "bundle", "--release", "release.json")
    with start(server, *verb) as process:
        wait_for_uploads(server, 1)
        terminal(*verb, code=3)
        assert "another rbh1-release is at work" in terminal.stderr
        terminal("status", "--release", "release.json")
        process.communicate(timeout=30)
    assert process.returncode == 0
    record_id = read_reservation("release.json").record_id
    assert held(server, record_id) == bundled(Path("bundle"))
