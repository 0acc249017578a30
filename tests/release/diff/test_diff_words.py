"""Is a difference readable, on the terminal, in Markdown and in sentences, and always the same?

Oracles: texts written by hand for planted differences; a Markdown parser for the structure.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from small_run import WAIVER

from release.diff.markdown import first_section, older_sections, section
from release.diff.model import (
    BOUNDS,
    Bounds,
    CellChange,
    CheckChange,
    ColumnChange,
    ColumnSide,
    Difference,
    FileChange,
    FileSide,
    HduChange,
    HduSide,
    ImageChange,
    ImageSide,
    Listing,
    MemberChange,
    MemberSide,
    Spread,
    TableChange,
    ValueChange,
    Verdict,
    Version,
)
from release.diff.sentences import sentences
from release.diff.text import difference_text
from release.diff.words import (
    file_notes,
    file_text,
    limit_text,
    measured_texts,
    number,
    shown,
    value,
    waiver_text,
)

ROOT = Path(__file__).resolve().parents[3]
OLD = Version("1.0.0", None, "10.5281/zenodo.1")
NEW = Version("1.1.0", "2026-02-03", "10.5281/zenodo.2")


def listing(*rows, total=None):
    return Listing(len(rows) if total is None else total, rows)


def side(name="likelihood/cube", size=1000, layer="likelihood", **changes):
    facts = {"file": "f.fits", "kind": "cube", "media_type": "application/fits", "sha256": "a" * 64}
    return FileSide(name=name, layer=layer, size=size, **{**facts, **changes})


def verdict(measured=1.0, status="PASSED", limit="<= 2", unit="km/s", waived=None):
    return Verdict(status, measured, limit, unit, waived)


SPREAD = Spread(210, 13, 2.0, 0.5, 2, 1)
IMAGE = ImageChange(ImageSide((7, 6), "float32", "Jy"), ImageSide((7, 6), "float32", "Jy"), SPREAD)
TABLE = TableChange(
    key="name",
    before=3,
    after=4,
    rows_added=listing("HA", "NII"),
    rows_removed=listing("OII"),
    rows_changed=1,
    reordered=True,
    columns=(
        ColumnChange(
            "wave", "changed", ColumnSide("float64", "um"), ColumnSide("float64", "nm"), 1
        ),
        ColumnChange("new", "added", None, ColumnSide("int64", "")),
    ),
    cells=listing(CellChange("HB", "wave", 0.5, 0.25), total=4),
    values=listing(ValueChange("source", "added", None, "here")),
)
CUBE = FileChange(
    "changed",
    side(),
    side(size=2500, file="g.fits"),
    provenance=listing(ValueChange("seed", "changed", 1, 2)),
    hdus=(
        HduChange("SCI", "changed", HduSide("image", 9), HduSide("image", 9), image=IMAGE),
        HduChange("X", "added", None, HduSide("table", 5760)),
        HduChange("Y", "changed", HduSide("image", 9), HduSide("image", 9)),
    ),
)
LINES = FileChange("changed", side("likelihood/lines"), side("likelihood/lines"), table=TABLE)
FIGURES = FileChange(
    "changed",
    side("validation/figures", kind="archive"),
    side("validation/figures", kind="archive"),
    members=listing(
        MemberChange("changed", MemberSide("a", 1, "b" * 64), MemberSide("a", 2, "c" * 64)),
        MemberChange("renamed", MemberSide("a", 1, "b" * 64), MemberSide("z", 1, "b" * 64)),
        MemberChange("removed", MemberSide("q", 1, "b" * 64), None),
    ),
)
CHECKS = (
    CheckChange("physics.worse", "a/b", "regressed", verdict(), None),
    CheckChange(
        "physics.waived", "a/b", "waived", verdict(), verdict(3.0, "FAILED", waived=WAIVER)
    ),
    CheckChange("physics.gone", "a/c", "gone", verdict(), None),
    CheckChange("physics.good", "a/b", "mended", verdict(3.0, "FAILED"), verdict()),
    CheckChange("physics.limit", "a/b", "changed", verdict(limit="<= 2"), verdict(limit="<= 3")),
)


NOTHING = Listing()


def difference(files=(CUBE, LINES, FIGURES), checks=CHECKS, about=NOTHING, old=OLD, new=NEW):
    return Difference(old, new, about, tuple(files), 5, tuple(checks))


def lines(notes, depth=0) -> list[str]:
    return [line for n in notes for line in ("  " * depth + n.text, *lines(n.more, depth + 1))]


# ---- words


def test_a_file_is_told_in_a_line():
    assert file_text(CUBE) == "changed (cube, 1.0 kB -> 2.5 kB), the file f.fits is now g.fits"
    assert file_text(LINES) == "changed (cube, 1.0 kB)"
    assert file_text(FileChange("added", None, side())) == "added (cube, 1.0 kB)"
    assert file_text(FileChange("removed", side(), None)) == "removed (cube, 1.0 kB)"
    moved = FileChange("renamed", side("a/x"), side("a/y"))
    assert file_text(moved) == "the same bytes, was a/x"
    renamed = FileChange("renamed", side(), side(file="g.fits"))
    assert file_text(renamed) == "the same bytes, the file f.fits is now g.fits"


def test_the_inside_of_a_file_is_told_line_by_line():
    assert lines(file_notes(CUBE)) == [
        "HDU SCI: 13 of 210 pixels differ, by at most 2 Jy (relative 0.5), 2 became NaN, "
        "1 no longer NaN",
        "HDU X added (table, 5.8 kB)",
        "HDU Y: the same cards and data in other bytes",
        "made differently",
        "  seed: 1 -> 2",
    ]
    assert lines(file_notes(LINES)) == [
        "rows matched by name: 3 -> 4 rows, 2 added, 1 removed, 1 changed, in another order, "
        "2 columns changed, 1 value about the table",
        "added: HA, NII",
        "removed: OII",
        "column wave: unit 'um' -> 'nm', 1 cell changed",
        "column new added (int64)",
        "HB, wave: 0.5 -> 0.25",
        "and 3 more",
        "source added: 'here'",
    ]
    assert lines(file_notes(FIGURES)) == [
        "a changed (1 B -> 2 B)",
        "z: the same bytes, was a",
        "q removed",
    ]


def test_numbers_have_enough_digits_to_be_told_apart():
    near = CheckChange("a.b", "p", "changed", verdict(0.46401234), verdict(0.46401239))
    assert measured_texts(near) == ("0.4640123 km/s", "0.4640124 km/s")
    assert measured_texts(CHECKS[3]) == ("3 km/s (FAILED)", "1 km/s")
    assert measured_texts(CHECKS[0]) == ("1 km/s", "not made")
    words = CheckChange("a.b", "p", "changed", verdict("x"), verdict(None, "SKIPPED"))
    assert measured_texts(words) == ("PASSED", "SKIPPED")
    assert (number(12345678), number(0.123456)) == ("12345678", "0.1235")


def test_limits_and_waivers_are_told():
    assert limit_text(CHECKS[4]) == "<= 2 km/s -> <= 3 km/s"
    assert limit_text(CHECKS[0]) == "<= 2 km/s"
    expected = "waived by A. Tester until 2999-12-31: a known feature of the test"
    assert waiver_text(CHECKS[1]) == expected
    absent = CheckChange("a.b", "p", "waived", verdict(), None, WAIVER)
    assert waiver_text(absent) == expected
    lifted = CheckChange("a.b", "p", "mended", verdict(3.0, "FAILED", waived=WAIVER), verdict())
    assert waiver_text(lifted) == "no longer waived"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("a" * 64, "'aaaaaaaaaaaa...'"),
        ("x" * 80, "'" + "x" * 56 + "..."),
        ("a\x1b[31mb\n", "'a\\x1b[31mb\\n'"),
        ({"b": 1, "a": [None]}, '{"a": [null], "b": 1}'),
        (None, "null"),
        (0.1, "0.1"),
    ],
)
def test_values_are_short_and_harmless(item, text):
    assert value(item) == text


def test_nothing_that_drives_a_terminal_is_shown():
    evil = "\x1b]0;pwned\x07[bold]x"
    change = FileChange(
        "changed",
        side(evil),
        side(evil),
        hdus=(HduChange(evil, "added", None, HduSide("image", 1)),),
        values=listing(ValueChange(evil, "changed", evil, evil)),
    )
    stream = io.StringIO()
    checks = [CheckChange(evil, evil, "changed", verdict(limit=evil), verdict(unit=evil))]
    console = Console(file=stream, width=200, force_terminal=False)
    console.print(difference_text(difference([change], checks)))
    assert "\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()
    assert stream.getvalue().count("[bold]x") >= 6
    assert "\x1b" not in section(difference([change], checks))
    assert shown("Å ω") == "Å ω"


# ---- the terminal


def test_the_terminal_shows_files_and_checks():
    stream = io.StringIO()
    Console(file=stream, width=160).print(difference_text(difference()))
    text = stream.getvalue()
    for part in (
        "1.0.0 -> 1.1.0 (2026-02-03)",
        "10.5281/zenodo.1 -> 10.5281/zenodo.2",
        "files: 3 changed, 5 files the same",
        "HDU SCI: 13 of 210 pixels differ",
        "checks: 1 regressed, 1 waived, 1 gone, 1 mended, 1 changed",
        "physics.worse",
    ):
        assert part in text


def test_columns_without_content_are_left_out():
    stream = io.StringIO()
    checks = [
        CheckChange("a.b", "p", "changed", verdict(1.0, limit=None), verdict(2.0, limit=None))
    ]
    Console(file=stream, width=160).print(difference_text(difference([], checks)))
    assert "outcome" in stream.getvalue()
    assert "allowed" not in stream.getvalue()
    assert "waiver" not in stream.getvalue()


def test_of_a_document_only_the_beginning_is_shown():
    rows = [ValueChange(f"p{n}", "changed", 1, 2) for n in range(12)]
    readme = FileChange(
        "changed", side("a", layer=None), side("a", layer=None), values=listing(*rows)
    )
    stream = io.StringIO()
    Console(file=stream, width=160).print(difference_text(difference([readme], [])))
    assert "p4: 1 -> 2" in stream.getvalue()
    assert "p5: 1 -> 2" not in stream.getvalue()
    assert "and 7 more lines like these" in stream.getvalue()


def test_nothing_differs_is_said():
    stream = io.StringIO()
    Console(file=stream).print(difference_text(difference([], [])))
    assert "files: 5 files the same" in stream.getvalue()
    assert "checks: nothing else than before" in stream.getvalue()


# ---- sentences


def test_sentences_tell_the_whole_first():
    about = listing(ValueChange("code_version", "changed", "0.1.0", "0.2.0"))
    added = FileChange("added", None, side("inference/new"))
    removed = FileChange("removed", side("inference/old"), None)
    told = sentences(difference([CUBE, added, removed, LINES], CHECKS, about))
    assert told == (
        "Compared with version 1.0.0: 2 products changed, 1 product added, 1 product removed.",
        "code_version: '0.1.0' -> '0.2.0'.",
        "Added: inference/new.",
        "Removed: inference/old.",
        "likelihood/cube: HDU SCI: 13 of 210 pixels differ, by at most 2 Jy (relative 0.5), "
        "2 became NaN, 1 no longer NaN; HDU X added (table, 5.8 kB); HDU Y: the same cards and "
        "data in other bytes; and more.",
        "likelihood/lines: rows matched by name: 3 -> 4 rows, 2 added, 1 removed, 1 changed, in "
        "another order, 2 columns changed, 1 value about the table; added: HA, NII; removed: OII; "
        "and more.",
        "Regressed: physics.worse on a/b.",
        "Passes now: physics.good on a/b.",
        "physics.waived on a/b is waived by A. Tester until 2999-12-31: a known feature of the "
        "test.",
        "The limit of physics.limit changed: <= 2 km/s -> <= 3 km/s.",
        "Measured numbers that changed: 2; CHANGELOG.md lists them.",
        "Results that are gone with their product: 1; CHANGELOG.md lists them.",
    )


def test_sentences_stay_few_where_much_changed():
    names = [f"likelihood/x{n:03d}" for n in range(300)]
    files = [FileChange("changed", side(name), side(name)) for name in names]
    files += [FileChange("added", None, side(f"{name}-new")) for name in names]
    told = sentences(difference(files, []))
    assert len(told) == 13
    assert told[1].endswith("x009-new and 290 more.")
    assert told[-1] == "Other products that changed: 290; CHANGELOG.md lists them."
    assert all(sentence.endswith(".") for sentence in told)


def test_documents_are_no_news():
    readme = FileChange("changed", side("README.md", layer=None), side("README.md", layer=None))
    told = sentences(difference([readme], []))
    assert told == ("Compared with version 1.0.0: no product changed.",)


# ---- Markdown


def html_of(text: str) -> str:
    return MarkdownIt("commonmark").enable("table").render(text)


def test_the_section_of_a_version_has_all_that_was_asked_for():
    text = section(difference())
    assert text.startswith("## 1.1.0 (2026-02-03)\n\nDOI: [10.5281/zenodo.2]")
    assert "The version before is [10.5281/zenodo.1](https://doi.org/10.5281/zenodo.1)." in text
    html = html_of(text)
    assert html.count("<h2>") == 1
    assert html.count("<h3>") == 2
    assert html.count("<tr>") == 1 + len(CHECKS)
    assert "<code>likelihood/cube</code>: changed" in html
    row = next(line for line in text.splitlines() if line.startswith("| waived"))
    assert row.startswith(
        "| waived | physics.waived | a/b | 1 km/s | 3 km/s (FAILED) | <= 2 km/s |"
    )


def test_a_bar_in_a_text_opens_no_new_cell():
    checks = [CheckChange("a.b", "x|y", "changed", verdict(1.0), verdict(2.0))]
    html = html_of(section(difference([], checks)))
    assert html.count("<td>") == 7


def test_a_version_without_doi_or_changes_has_a_short_section():
    bare = difference([], [], old=Version("1.0.0", None, None), new=Version("1.1.0", None, None))
    assert section(bare) == "## 1.1.0\n\n- Compared with version 1.0.0: no product changed.\n"


def test_the_first_version_is_called_so():
    assert first_section(Version("0.1.0", None, None)) == "## 0.1.0\n\nFirst version.\n"
    assert first_section(NEW) == (
        "## 1.1.0 (2026-02-03)\n\n"
        "DOI: [10.5281/zenodo.2](https://doi.org/10.5281/zenodo.2).\n\nFirst version.\n"
    )


def test_older_sections_are_kept_word_for_word():
    text = "# Changes: x\n\n## 2.0.0\n\n- a\n\n## 1.0.0\n\nFirst version.\n"
    assert older_sections(text, OLD) == text.partition("\n\n")[2]
    assert older_sections(None, OLD).startswith("## 1.0.0\n")
    assert "Nothing is known about this version" in older_sections(None, OLD)
    assert "Nothing is known about this version" in older_sections("no heading\n", OLD)


def test_it_does_not_depend_on_the_process(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from test_diff_words import difference; from release.diff.markdown import section\n"
        "import json; print(json.dumps([section(difference()), difference().to_dict()]))"
    )
    texts = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, Path(__file__).parent, ROOT / "tests"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        texts.add(done.stdout)
    (text,) = texts
    assert json.loads(text)[0] == section(difference())


def test_what_is_listed_is_bounded_and_counted():
    rows = list(range(50))
    few = Listing.of(rows, Bounds(listed=3))
    assert (few.total, few.rows) == (50, (0, 1, 2))
    assert Listing.of(np.arange(2).tolist(), BOUNDS).rows == (0, 1)
    assert not Listing()
