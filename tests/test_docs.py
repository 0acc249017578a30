"""Does what README and docs tell people to type and to read work?

Oracles: the blocks themselves, executed on the bundle of a tiny demonstration and on a small one
that is published on this machine; click's own parser for every command; the files and headings
that links point to.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from publishing import Published, publish

import checks.cli
import pipeline.cli
import release.cli
from manifests import load_target
from pipeline.doctor import VARIABLES
from release.testing import ContractServer

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
COMMANDS = {
    "rbh1": pipeline.cli.cli,
    "rbh1-check": checks.cli.cli,
    "rbh1-release": release.cli.cli,
}
# What the pages call the published bundle.
DOI = "10.5281/zenodo.1234567"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# A fenced block, and the comment "<!-- test: ... -->" on the line or the two lines before it.
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<how>.+?) -->\n\n?)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    how: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def find_blocks(page: Path, text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(page, line, found["how"] or "", found["language"], found["text"])


BLOCKS = [block for page in PAGES for block in find_blocks(page, page.read_text())]
PYTHON = [block for block in BLOCKS if block.language == "python"]
SHELL = [block for block in BLOCKS if block.language == "sh"]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every line of every shell block, as words."""
    for block in SHELL:
        for number, text in enumerate(block.text.splitlines(), block.line):
            words = shlex.split(text, comments=True)
            if words:
                yield f"{block.page.relative_to(ROOT)}:{number}", words


def ours(words: list[str]) -> list[str] | None:
    """The part of a command line that begins with one of our programs, also after `uv run`."""
    start = next((n for n, word in enumerate(words) if word in COMMANDS), None)
    return None if start is None else words[start:]


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A runner under which every command parses its arguments and does nothing."""

    def disarm(command: click.Command) -> None:
        monkeypatch.setattr(command, "callback", lambda **_: None)
        for inner in getattr(command, "commands", {}).values():
            disarm(inner)

    for command in COMMANDS.values():
        disarm(command)
    return CliRunner()


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """A small bundle, published on this machine."""
    monkeypatch.setenv("RBH1_CACHE_DIR", str(tmp_path / "cache"))
    with ContractServer(tmp_path / "archive") as server:
        monkeypatch.setenv("RBH1_ZENODO_URL", server.url)
        yield publish(server, tmp_path / "published")


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_blocks_run(block, request, monkeypatch, tmp_path):
    how, _, reason = block.how.partition(" ")
    if how == "skip":
        assert reason, "say why the block cannot run"
        pytest.skip(reason)
    assert how in ("", "bundle", "record"), f"nobody knows how to test {block.how!r}"
    text, folder = block.text, tmp_path
    if how == "bundle":
        folder = request.getfixturevalue("tiny_run").parent
    elif how == "record":
        assert DOI in text
        text = text.replace(DOI, request.getfixturevalue("record").doi)
    monkeypatch.chdir(folder)
    exec(compile(text, str(block), "exec"), {"__name__": "__main__"})


def test_there_are_blocks_to_test():
    assert len([block for block in PYTHON if block.how == "bundle"]) >= 5
    assert len([block for block in PYTHON if block.how == "record"]) >= 3
    assert len(SHELL) >= 5
    assert {block.language for block in BLOCKS} <= {"python", "sh", "toml"}


def test_the_target_of_the_readme_can_be_read(tmp_path):
    (block,) = [block for block in BLOCKS if block.how == "target"]
    path = tmp_path / "my_target.toml"
    path.write_text(block.text)
    target = load_target(path)
    assert (target.item, target.redshift) == ("ngc7469", 0.0163)


def test_every_command_parses(parse_only):
    tried = 0
    for place, words in commands():
        program = ours(words)
        if program is None:
            continue
        result = parse_only.invoke(COMMANDS[program[0]], program[1:])
        assert result.exit_code == 0, f"{place}: {shlex.join(program)}\n{result.output}"
        tried += 1
    assert tried >= 10


def test_a_wrong_command_would_not_parse(parse_only):
    assert parse_only.invoke(COMMANDS["rbh1"], ["run", "--out"]).exit_code == 2
    assert parse_only.invoke(COMMANDS["rbh1"], ["run", "--no-such"]).exit_code == 2


def test_every_command_is_documented():
    shown = {tuple(word for word in ours(words) or () if word[0] != "-") for _, words in commands()}
    for name, command in COMMANDS.items():
        for path in leaves(command, (name,)):
            assert any(line[: len(path)] == path for line in shown), " ".join(path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_named_in_the_text_exist(page):
    for span in re.findall(r"`(rbh1(?:-\w+)?(?: [^`]+)?)`", page.read_text()):
        words = span.split()
        command: click.Command = COMMANDS.get(words[0], COMMANDS["rbh1"])
        if words[0] not in COMMANDS:
            assert words[0] == "rbh1-ard", span
            continue
        options = {"--help"}
        for word in words[1:]:
            if isinstance(command, click.Group):
                assert word in command.commands, f"{page.name}: {span}"
                command = command.commands[word]
            options |= {name for param in command.params for name in param.opts}
            assert not word.startswith("-") or word in options, f"{page.name}: {span}"


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set()
    for page in PAGES:
        named |= set(re.findall(r"`make (?:[A-Z_]+=\S+ )?(\w+)`", page.read_text()))
    named |= {words[-1] for _, words in commands() if words[0] == "make"}
    assert {"demo", "test", "setup"} <= named
    assert named <= targets, named - targets


def test_install_lines_name_extras_that_exist():
    extras = set(PROJECT["optional-dependencies"])
    named = set()
    for page in PAGES:
        for text in re.findall(r"'?(rbh1-ard\[\w+])'?", page.read_text()):
            named |= Requirement(text).extras
    assert named == extras


def test_the_readme_begins_with_the_two_commands():
    first = next(block for block in SHELL if block.page.name == "README.md")
    lines = [shlex.split(line, comments=True) for line in first.text.splitlines()]
    assert lines == [["make", "demo"], ["make", "test"]]


def test_environment_variables_are_those_of_the_doctor():
    text = (ROOT / "docs/running.md").read_text()
    named = set(re.findall(r"`((?:RBH1|MAST|ZENODO|JAX|XLA)_\w+)`", text))
    assert named
    assert named <= set(VARIABLES)
    assert {name for name in VARIABLES if name.startswith("RBH1")} <= named


def slug(heading: str) -> str:
    plain = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", plain))


def broken_links(page: Path, text: str) -> list[str]:
    prose = BLOCK.sub("", text)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"https://[\w.-]+/?", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file():
            broken.append(link)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), flags=re.M)
            broken += [] if anchor in map(slug, headings) else [link]
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert broken_links(page, page.read_text()) == []


def test_a_broken_link_would_be_found():
    text = "[a](docs/none.md) [b](docs/running.md#nowhere) [c](docs/running.md#settings)"
    found = broken_links(ROOT / "README.md", text)
    assert found == ["docs/none.md", "docs/running.md#nowhere"]


def test_the_pages_build_without_a_warning(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    page = (tmp_path / "site" / "index.html").read_text()
    assert not re.search(r"<(?:script|link)[^>]+(?:src|href)=\"https?://(?!.*canonical)", page)
