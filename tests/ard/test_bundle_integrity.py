"""Is every planted corruption found, with the file it is in, and an intact bundle left in peace?

Oracle: the test plants the corruption itself, so it knows the file that has to be named.
"""

import json
import os
import shutil
import stat
import subprocess
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.io import fits
from handmade import KINDS, sha256, write_bundle, write_lists, write_sums, write_zip
from hypothesis import given, settings
from hypothesis import strategies as st

import ard
from ard.fitsio import to_bytes, walk
from ard.integrity import bundle_digest
from ard.manifest import parse_manifest
from ard.sums import Finding, case_twins, file_digests, format_sums, is_safe_name, parse_sums

FITS = [name for name in KINDS if name.endswith(".fits")]
LISTED = sorted(KINDS)
ALL = [*LISTED, "manifest.json", "sha256sums.txt"]
UNSAFE = ["Upper.txt", ".hidden", "two words", "new\nline", "ümlaut.txt", "-dash", "x" * 91]

Draw = Callable[[st.SearchStrategy], object]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("template") / "bundle")


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "bundle"))


def names_it(findings: tuple[Finding, ...], name: str) -> bool:
    """Whether a finding is about a file (or about the list that no longer fits it)."""
    return any(row.file == name or name in row.problem or name in row.found for row in findings)


# ---- corruptions: each changes the folder and returns the name that has to be reported


def flip_a_bit(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(ALL))
    data = bytearray((folder / name).read_bytes())
    data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    (folder / name).write_bytes(data)
    return name


def truncate(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(ALL))
    size = (folder / name).stat().st_size
    os.truncate(folder / name, draw(st.integers(0, size - 1)))
    return name


def lose_an_extension(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(FITS))
    ends = [span.end for span in walk(folder / name)][:-1]
    os.truncate(folder / name, draw(st.sampled_from(ends)))
    return name


def swap_blocks(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(FITS))
    data = (folder / name).read_bytes()
    blocks = [data[i : i + 2880] for i in range(0, len(data), 2880)]
    i = draw(st.integers(0, len(blocks) - 1))
    others = [j for j, block in enumerate(blocks) if block != blocks[i]]
    j = draw(st.sampled_from(others))
    blocks[i], blocks[j] = blocks[j], blocks[i]
    (folder / name).write_bytes(b"".join(blocks))
    return name


def swap_lines(folder: Path, draw: Draw) -> str:
    lines = (folder / "sha256sums.txt").read_text().splitlines(keepends=True)
    changed = draw(st.permutations(lines).filter(lambda rows: rows != lines))
    (folder / "sha256sums.txt").write_text("".join(changed))
    return "sha256sums.txt"


def append(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(ALL))
    with (folder / name).open("ab") as stream:
        stream.write(draw(st.binary(min_size=1, max_size=4000)))
    return name


def lose_a_file(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(ALL))
    (folder / name).unlink()
    return name


def add_a_file(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(["surplus.fits", "likelihood_x_cube.fits", "zz", *UNSAFE]))
    (folder / name).write_bytes(draw(st.binary(max_size=10)))
    return ascii(name) if name in UNSAFE else name


def add_a_folder(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(["inside", "likelihood_more"]))
    (folder / name).mkdir()
    return name


def rename(folder: Path, draw: Draw) -> str:
    name = draw(st.sampled_from(ALL))
    (folder / name).rename(folder / f"renamed_{name.lower()}")
    return name


def exchange_names(folder: Path, draw: Draw) -> str:
    one, other = draw(st.permutations(LISTED))[:2]
    (folder / one).rename(folder / "between")
    (folder / other).rename(folder / one)
    (folder / "between").rename(folder / other)
    return other


def link(folder: Path, draw: Draw) -> str:
    """The same bytes, by way of a link that leads out of the folder, or nowhere."""
    name = draw(st.sampled_from(ALL))
    outside = folder.parent / "outside"
    (folder / name).rename(outside)
    target = draw(st.sampled_from([outside, Path("../outside"), Path("nowhere"), Path(name)]))
    (folder / name).symlink_to(target)
    return name


def edit_and_resum(folder: Path, draw: Draw) -> str:
    """A FITS file changed in one value, with right CHECKSUM and DATASUM; perhaps one list too."""
    name = draw(st.sampled_from(FITS))
    with fits.open(folder / name, memmap=False) as hdus:
        image = hdus[1]
        flat = image.data.reshape(-1)
        flat[draw(st.integers(0, flat.size - 1))] = draw(st.integers(1000, 2000))
        for hdu in hdus:
            for card in ("CHECKSUM", "DATASUM"):
                hdu.header.remove(card, ignore_missing=True)
        data = to_bytes(hdus)
    (folder / name).write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the file is sound for every FITS reader
        fits.open(folder / name, checksum=True, memmap=False).close()
    lists = draw(st.sampled_from(["none", "sums", "manifest"]))
    if lists == "sums":
        write_sums(folder)
    if lists == "manifest":
        old = (folder / "sha256sums.txt").read_bytes()
        write_lists(folder)
        (folder / "sha256sums.txt").write_bytes(old)
    return name


def climb(folder: Path, draw: Draw) -> str:
    """An entry that leads out of the folder, in one list or in both."""
    name = draw(
        st.sampled_from(["../outside", "/etc/hostname", "a/../../outside", "..", "sub/x.fits"])
    )
    (folder.parent / "outside").write_bytes(b"x")
    document = json.loads((folder / "manifest.json").read_text())
    if draw(st.booleans()):
        row = draw(st.sampled_from(document["files"]))
        row["name"] = name
    else:
        row = {**document["files"][0], "name": name, "size": 1, "sha256": sha256(b"x")}
        document["files"].append(row)
    (folder / "manifest.json").write_text(json.dumps(document))
    write_sums(folder)
    if draw(st.booleans()):
        with (folder / "sha256sums.txt").open("a") as stream:
            stream.write(f"{sha256(b'x')}  {name}\n")
    return ascii(name)


CORRUPTIONS = [
    flip_a_bit,
    truncate,
    lose_an_extension,
    swap_blocks,
    swap_lines,
    append,
    lose_a_file,
    add_a_file,
    add_a_folder,
    rename,
    exchange_names,
    link,
    edit_and_resum,
    climb,
]


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda function: function.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_every_corruption_is_found_and_its_file_is_named(template, corrupt, data):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(template, Path(scratch) / "bundle"))
        name = corrupt(folder, data.draw)
        findings = ard.verify(folder, "full")
        assert names_it(findings, name), (name, findings)
        with pytest.raises(ard.IntegrityError, match="not intact"):
            ard.open(folder, verify="full")


FAST = [lose_a_file, add_a_file, add_a_folder, rename, link, climb, lose_an_extension]


@pytest.mark.parametrize("corrupt", FAST, ids=lambda function: function.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_the_fast_level_finds_what_needs_no_reading(template, corrupt, data):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(template, Path(scratch) / "bundle"))
        name = corrupt(folder, data.draw)
        assert names_it(ard.verify(folder, "fast"), name)


@pytest.mark.parametrize("level", ["none", "fast", "full"])
def test_an_intact_bundle_has_no_finding(template, level):
    assert ard.verify(template, level) == ()
    assert ard.verify(template, level, digest=bundle_digest(template)) == ()


def test_many_corruptions_are_all_reported(folder):
    (folder / "README.md").unlink()
    (folder / "surplus").write_text("x")
    os.truncate(folder / "likelihood_lines.ecsv", 10)
    path = folder / "likelihood_t001_cube.fits"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    findings = ard.verify(folder)
    assert {row.file for row in findings} == {
        "README.md",
        "surplus",
        "likelihood_lines.ecsv",
        "likelihood_t001_cube.fits",
    }
    assert findings == tuple(sorted(findings))
    assert all(row.to_dict()["problem"] in str(row) for row in findings)


def test_a_forged_bundle_is_found_by_its_digest_only(folder):
    # The two lists guard against accident; the published digest guards against a forger.
    published = bundle_digest(folder)
    (folder / "README.md").write_text("forged\n")
    write_lists(folder)
    assert ard.verify(folder) == ()
    findings = ard.verify(folder, "fast", digest=published.upper() + " ")
    assert [(row.file, row.problem) for row in findings] == [
        ("sha256sums.txt", "not the published bundle")
    ]
    assert published in findings[0].expected


def test_a_fits_file_that_was_damaged_before_it_was_listed_is_found(folder):
    path = folder / "likelihood_t001_cube.fits"
    data = bytearray(path.read_bytes())
    sci = next(span for span in walk(path) if span.name == "SCI")
    data[sci.data_start] ^= 1
    path.write_bytes(data)
    write_lists(folder)
    (finding,) = ard.verify(folder)
    assert (finding.file, finding.problem) == (
        path.name,
        "a checksum in the file does not fit its bytes",
    )


@pytest.mark.parametrize("level", ["fast", "full"])
def test_a_manifest_edited_by_hand_is_found_by_its_sum(folder, level):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"1.2.3"', '"1.2.4"'))
    assert [(row.file, row.problem) for row in ard.verify(folder, level)] == [
        ("manifest.json", "sha256 differs")
    ]


def test_a_link_is_called_a_link(folder):
    (folder / "README.md").rename(folder.parent / "README.md")
    (folder / "README.md").symlink_to("../README.md")
    problems = {row.problem for row in ard.verify(folder, "fast") if row.file == "README.md"}
    assert "is a symbolic link" in problems


def test_twins_in_case_are_found():
    (finding,) = case_twins(["readme.md", "README.md", "other"])
    assert finding.file == "readme.md"
    assert "README.md" in finding.found


def test_a_special_file_is_found(folder):
    os.mkfifo(folder / "pipe")
    assert [row.problem for row in ard.verify(folder)] == ["is a special file"]


# ---- zips: the lists are made to fit, so that only the inside can betray the corruption

ARCHIVE = "validation_figures.zip"
GOOD = {"a.png": b"picture", "a.ecsv": b"numbers"}


def zip_with(path: Path, *members: tuple[object, bytes], compression: int = 0) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns of duplicates
        for info, data in members:
            archive.writestr(info, data)


def own_list(members: dict[str, bytes]) -> tuple[str, bytes]:
    return "sha256sums.txt", format_sums({k: sha256(v) for k, v in members.items()}).encode()


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


ZIPS = {
    "climbing": ([*GOOD.items(), ("../up", b"x"), own_list({**GOOD})], ARCHIVE, "unsafe file name"),
    "absolute": ([*GOOD.items(), ("/up", b"x"), own_list(GOOD)], ARCHIVE, "unsafe file name"),
    "windows": ([*GOOD.items(), ("..\\up", b"x"), own_list(GOOD)], ARCHIVE, "unsafe file name"),
    "folder": ([*GOOD.items(), ("in/", b""), own_list(GOOD)], f"{ARCHIVE}!in/", "is a folder"),
    "nested": ([*GOOD.items(), ("in/x", b"x"), own_list(GOOD)], ARCHIVE, "unsafe file name"),
    "twice": (
        [*GOOD.items(), ("a.png", b"other"), own_list(GOOD)],
        f"{ARCHIVE}!a.png",
        "occurs twice",
    ),
    "link": (
        [
            ("a.ecsv", b"numbers"),
            (special("a.png", stat.S_IFLNK | 0o777), b"picture"),
            own_list(GOOD),
        ],
        f"{ARCHIVE}!a.png",
        "symbolic link",
    ),
    "missing": ([("a.png", b"picture"), own_list(GOOD)], f"{ARCHIVE}!a.ecsv", "missing member"),
    "unlisted": (
        [*GOOD.items(), ("b.png", b"x"), own_list(GOOD)],
        f"{ARCHIVE}!b.png",
        "unlisted member",
    ),
    "changed": (
        [("a.png", b"forgery"), ("a.ecsv", b"numbers"), own_list(GOOD)],
        f"{ARCHIVE}!a.png",
        "sha256 differs",
    ),
    "no list": ([*GOOD.items()], f"{ARCHIVE}!sha256sums.txt", "no list of its own"),
    "bad list": (
        [*GOOD.items(), ("sha256sums.txt", b"nonsense\n")],
        f"{ARCHIVE}!sha256sums.txt",
        "not a sum",
    ),
    "climbing list": (
        [*GOOD.items(), ("sha256sums.txt", f"{'0' * 64}  ../up\n".encode())],
        f"{ARCHIVE}!sha256sums.txt",
        "unsafe file name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ZIPS)
def test_a_bad_archive_is_found_though_the_lists_fit(folder, case):
    members, file, problem = ZIPS[case]
    zip_with(folder / ARCHIVE, *members)
    write_lists(folder)
    assert ard.verify(folder, "fast") == ()
    findings = ard.verify(folder)
    assert any(row.file == file and problem in row.problem for row in findings), findings


def test_a_compressed_archive_is_found(folder):
    # Stored members can be no zip bombs, and can be fetched by their byte range.
    zip_with(
        folder / ARCHIVE,
        ("a.png", b"0" * 10_000),
        own_list({"a.png": b"0" * 10_000}),
        compression=zipfile.ZIP_DEFLATED,
    )
    write_lists(folder)
    findings = ard.verify(folder)
    assert any("compressed" in row.problem and "a.png" in row.file for row in findings)


def test_an_encrypted_member_is_found(folder):
    write_zip(folder / ARCHIVE, GOOD)
    data = bytearray((folder / ARCHIVE).read_bytes())
    # Flags of the first member, in its local header and in the central directory.
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (folder / ARCHIVE).write_bytes(data)
    write_lists(folder)
    assert any("encrypted" in row.problem for row in ard.verify(folder))


def test_an_archive_whose_two_directories_disagree_is_found(folder):
    # zipfile reads a member by its local header, which here has another name.
    write_zip(folder / ARCHIVE, GOOD)
    data = (folder / ARCHIVE).read_bytes().replace(b"a.png", b"b.png", 1)
    (folder / ARCHIVE).write_bytes(data)
    write_lists(folder)
    findings = ard.verify(folder)
    assert any(
        row.file == f"{ARCHIVE}!a.png" and "cannot be read" in row.problem for row in findings
    )


def test_what_is_no_zip_is_found(folder):
    (folder / ARCHIVE).write_bytes(b"no zip at all")
    write_lists(folder)
    (finding,) = ard.verify(folder)
    assert (finding.file, finding.problem) == (ARCHIVE, "the file is not a readable zip")


# ---- the list of sums


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"\xff", "not a list"),
        (b"", "within a line"),
        (b"abc  x\n", "not a sum"),
        (b"0" * 64 + b" x\n", "not a sum"),
        (b"0" * 64 + b"  x", "within a line"),
        (b"0" * 64 + b"  x\n" + b"1" * 64 + b"  x\n", "listed twice"),
        (b"0" * 64 + b"  /x\n", "unsafe"),
        (b"0" * 64 + b"  x\r\n", "unsafe"),
        (b"0" * 64 + b"  y\n" + b"0" * 64 + b"  x\n", "not in order"),
        (b"0" * 64 + b"  x\n\n", "not a sum"),
    ],
)
def test_a_bad_line_is_a_finding(text, problem):
    _, findings = parse_sums(text, "list")
    assert any(problem in row.problem for row in findings), findings


def test_a_list_that_lists_itself_is_found(folder):
    path = folder / "sha256sums.txt"
    rows = dict(line.split("  ")[::-1] for line in path.read_text().splitlines())
    path.write_text(format_sums({**rows, path.name: "0" * 64}))
    assert any("lists itself" in row.problem for row in ard.verify(folder, "fast"))


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,20}", fullmatch=True), st.binary(), min_size=1
    )
)
def test_lists_round_trip(content):
    sums = {name: sha256(data) for name, data in content.items()}
    assert parse_sums(format_sums(sums).encode(), "list") == (sums, [])


@given(st.text(max_size=8))
def test_a_safe_name_stays_in_its_folder(name):
    # Oracle: pathlib and os agree that the joined path is a direct child.
    if is_safe_name(name):
        joined = Path("/somewhere") / name
        assert joined.parent == Path("/somewhere")
        assert os.path.normpath(joined) == str(joined)
        assert joined.name == name


def test_sha256sum_accepts_the_list(template):
    # Oracle: coreutils.
    subprocess.run(
        ["sha256sum", "--strict", "-c", "sha256sums.txt"], cwd=template, check=True, stdout=-3
    )


def test_digests_agree_with_coreutils(template):
    path = template / "likelihood_t001_cube.fits"
    found = file_digests(path)
    for program, digest in (("sha256sum", found.sha256), ("md5sum", found.md5)):
        shown = subprocess.run([program, path], capture_output=True, text=True, check=True)
        assert shown.stdout.split()[0] == digest
    assert found.size == path.stat().st_size


# ---- whatever the bytes are: findings, never an exception


def mutate(data: bytes, draw: Draw) -> bytes:
    """Change, cut, repeat or insert a few bytes, near the ends more often than elsewhere."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = st.integers(0, max(len(changed) - 1, 0))
        near = st.integers(0, min(120, max(len(changed) - 1, 0)))
        at = draw(st.one_of(place, near, near.map(lambda back: max(len(changed) - 1 - back, 0))))
        width = draw(st.integers(0, 8))
        changed[at : at + width] = draw(st.binary(min_size=0, max_size=8))
    return bytes(changed)


@pytest.mark.parametrize("name", [ARCHIVE, *FITS])
@settings(max_examples=150)
@given(data=st.data())
def test_no_content_makes_the_verification_raise(template, name, data):
    # The lists are made to fit, so that the inside is really looked at.
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(template, Path(scratch) / "bundle"))
        (folder / name).write_bytes(mutate((folder / name).read_bytes(), data.draw) or b"x")
        write_lists(folder)
        findings = ard.verify(folder, "full")
        assert {row.file.partition("!")[0] for row in findings} <= {name}


@settings(max_examples=300)
@given(data=st.data())
def test_no_list_makes_the_verification_raise(template, data):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(template, Path(scratch) / "bundle"))
        name = data.draw(st.sampled_from(["manifest.json", "sha256sums.txt"]))
        before = (folder / name).read_bytes()
        after = mutate(before, data.draw)
        (folder / name).write_bytes(after)
        assert bool(ard.verify(folder, "full")) is (after != before)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=300)
@given(data=st.data())
def test_no_value_in_a_manifest_makes_the_verification_raise(template, data):
    document = json.loads((template / "manifest.json").read_text())
    table = data.draw(st.sampled_from([document, document["files"][1]]))
    table[data.draw(st.sampled_from(sorted(table)))] = data.draw(json_values)
    _, findings = parse_manifest(document)
    assert all(row.file == "manifest.json" or row.file in KINDS for row in findings)


def test_a_header_that_no_reader_expects_is_a_finding(folder):
    # Found by the search above: astropy raises an error of its own for this NAXIS.
    path = folder / "likelihood_t001_cube.fits"
    data = bytearray(path.read_bytes())
    assert data[160:165] == b"NAXIS"
    data[170:178] = bytes(8)
    path.write_bytes(data)
    write_lists(folder)
    (finding,) = ard.verify(folder)
    assert finding.file == path.name
    assert "NAXIS" in finding.found
