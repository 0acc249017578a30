"""Does every product get a place in a deposit, always the same one, and within its limits?

Oracles: the limits counted on what is planned, for many synthetic runs; the size of zips that are
really written; sparse files of many GB, of which next to nothing may be read.
"""

import json
import os
import re
import zipfile
from functools import partial
from pathlib import Path

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from small_run import TARGET, FakeJudge
from small_run import write_record as write_run_record

import ard
from ard import layout
from ard.sums import is_safe_name
from release.arrange import Found, arrange
from release.build import build
from release.model import DEPOSIT, Limits, PlannedFile, RefusedError
from release.pack import archive_size, shards, write_archive
from release.plan import RENDERED, make_plan

TIGHT = Limits(files=12, size=20_000, archive=2_000)
PAPERS = (PlannedFile("README.md", None, None), PlannedFile("manifest.json", None, None))
LARGEST = 1_500  # fits into a zip of TIGHT with its name and list


def folder(layer: str, name: str, sizes: list[int]) -> Found:
    named = {f"part-{number:02d}.bin": size for number, size in enumerate(sizes)}
    place = Path(layer, name)
    return Found(layer, name, {key: place / key for key in named}, named, is_folder=True)


def single(layer: str, name: str, size: int) -> Found:
    title = f"hlsp_{layer}-{name}" if name.endswith(".fits") else None
    return Found(layer, name, {name: Path(layer, name)}, {name: size}, title=title)


@st.composite
def products(draw) -> list[Found]:
    found = []
    for number in range(draw(st.integers(1, 18))):
        layer = draw(st.sampled_from(layout.LAYERS))
        kind = draw(st.sampled_from(["folder", "fits", "json", "json"]))
        if kind == "folder":
            sizes = draw(st.lists(st.integers(1, LARGEST), min_size=1, max_size=8))
            found.append(folder(layer, f"chains{number}", sizes))
        else:
            found.append(single(layer, f"p{number}.{kind}", draw(st.integers(1, 3_000))))
    return found


def count(files, **attributes: object) -> int:
    return sum(
        all(getattr(file, key) == value for key, value in attributes.items()) for file in files
    )


def fewest_files(found: list[Found]) -> int:
    """The number of files with every layer packed that gains by it, counted anew."""
    total = len(PAPERS)
    for layer in layout.LAYERS:
        mine = [product for product in found if product.layer == layer]
        total += sum(len(shards(p.sizes, TIGHT.archive)) for p in mine if p.is_folder)
        total += sum(p.title is not None for p in mine)
        small = {
            n: size for p in mine if not p.is_folder and not p.title for n, size in p.sizes.items()
        }
        large = {n: size for n, size in small.items() if archive_size({n: size}) > TIGHT.archive}
        small = {n: size for n, size in small.items() if n not in large}
        total += len(large) + min(len(small), len(shards(small, TIGHT.archive)))
    return total


@given(found=products())
def test_every_product_has_one_place_within_the_limits(found):
    files, problems = arrange(found, PAPERS, limits=TIGHT)
    placed = [path for file in files for path in file.sources.values()]
    assert sorted(placed) == sorted(path for product in found for path in product.members.values())
    assert len({file.name for file in files}) == len(files)
    assert len({(file.layer, file.product) for file in files if file.layer}) == len(files) - 2
    assert all(is_safe_name(file.name) for file in files)
    assert files[-2:] == PAPERS
    for file in files[:-2]:
        assert file.why.endswith(".")
        assert file.why.count(". ") == 0
        if file.name.endswith(".zip"):
            sizes = {name: size_of(found, path) for name, path in file.sources.items()}
            assert file.size == archive_size(sizes) <= TIGHT.archive
        else:
            assert len(file.sources) == 1
    too_many = len(files) > TIGHT.files
    too_much = sum(file.size or 0 for file in files) > TIGHT.size
    assert len(problems) == too_many + too_much
    assert too_many is (fewest_files(found) > TIGHT.files)


def size_of(found: list[Found], path: Path) -> int:
    return next(p.sizes[path.name] for p in found if path in p.members.values())


@given(found=products(), data=st.data())
def test_the_order_of_products_does_not_matter(found, data):
    shuffled = data.draw(st.permutations(found))
    assert arrange(found, PAPERS, limits=TIGHT) == arrange(shuffled, PAPERS, limits=TIGHT)


@given(found=products())
def test_small_products_share_a_zip_only_where_there_is_no_room(found):
    files, _ = arrange(found, PAPERS, limits=TIGHT)
    packed = {file.layer for file in files if layout.is_packed(str(file.product))}
    loose = sum(len(shards(p.sizes, TIGHT.archive)) if p.is_folder else 1 for p in found)
    assert bool(packed) <= (loose + len(PAPERS) > TIGHT.files)
    # None is packed in vain: with one layer less, there would be too many.
    for layer in packed:
        mine = [f for f in files if f.layer == layer and layout.is_packed(str(f.product))]
        assert len(files) - len(mine) + sum(len(f.sources) for f in mine) > TIGHT.files


def test_the_layer_that_saves_most_is_packed_first():
    found = [single("validation", f"v{n}.json", 10) for n in range(6)]
    found += [single("likelihood", f"l{n}.json", 10) for n in range(5)]
    files, problems = arrange(found, PAPERS, limits=TIGHT)
    assert problems == ()
    (zipped,) = [file for file in files if file.name.endswith(".zip")]
    assert (zipped.name, zipped.product) == ("validation_packed.zip", "packed")
    assert list(zipped.sources) == [f"v{n}.json" for n in range(6)]
    assert "6 small products of the layer share a zip" in zipped.why
    assert "13 files without such zips and a deposit takes 12" in zipped.why
    assert count(files, layer="likelihood") == 5


def test_a_folder_is_cut_into_zips_in_the_order_of_names():
    files, problems = arrange([folder("inference", "chains", [700] * 5)], (), limits=TIGHT)
    assert problems == ()
    assert [(file.name, file.product) for file in files] == [
        (f"inference_chains-{number:03d}.zip", f"chains-{number:03d}") for number in (1, 2, 3)
    ]
    assert [list(file.sources) for file in files] == [
        ["part-00.bin", "part-01.bin"],
        ["part-02.bin", "part-03.bin"],
        ["part-04.bin"],
    ]
    assert files[0].why.startswith("Part 1 of 3 of a folder of 5 files: no zip may exceed")


def test_what_does_not_fit_is_refused_with_what_to_do():
    many = [single("inference", f"p{n}.fits", 10) for n in range(13)]
    many += [single("likelihood", "cube.fits", 10)]
    _, (problem,) = arrange(many, PAPERS, limits=TIGHT)
    assert "would have 16 files, and a deposit takes 12" in problem
    assert "(inference 13, papers 2, likelihood 1)" in problem
    assert "leave products out, or divide the release" in problem
    _, (problem,) = arrange([single("inference", "p.fits", 20_001)], PAPERS, limits=TIGHT)
    assert (
        "would have 20.0 kB, and a deposit takes 20.0 kB (papers 0 B, inference 20.0 kB)" in problem
    )
    files, (problem,) = arrange([folder("inference", "chains", [10, 1_990])], (), limits=TIGHT)
    assert files == ()
    assert problem == (
        "inference/chains/part-01.bin has 1990 bytes, which do not fit into a zip of 2000: "
        "write the chain in blocks, each a smaller file"
    )


@pytest.mark.parametrize(
    ("product", "problem"),
    [
        (folder("inference", "packed", [1]), "the name is kept for a zip of small products"),
        (single("inference", "packed.json", 1), "the name is kept for a zip of small products"),
        (single("inference", "sha256sums.txt", 1), "a zip keeps sha256sums.txt for its own list"),
    ],
)
def test_names_that_the_bundle_needs_are_kept(product, problem):
    _, (found,) = arrange([product], PAPERS, limits=TIGHT)
    assert problem in found


# ---- zips as they are written


@given(
    contents=st.dictionaries(
        st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,20}", fullmatch=True).filter(
            lambda name: name != layout.SUMS_FILE
        ),
        st.binary(max_size=300),
        min_size=1,
        max_size=6,
    ),
    comment=st.sampled_from(["", "[SIMULATED] simulated data, not observed"]),
)
def test_the_size_of_a_zip_is_known_before_it_is_written(contents, comment, tmp_path_factory):
    place = tmp_path_factory.mktemp("zip")
    for name, data in contents.items():
        (place / name).write_bytes(data)
    path = place / "out.ZIP"
    write_archive(path, {name: place / name for name in contents}, comment)
    sizes = {name: len(data) for name, data in contents.items()}
    assert path.stat().st_size == archive_size(sizes, comment)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [*sorted(contents), layout.SUMS_FILE]


@given(sizes=st.lists(st.integers(0, LARGEST), min_size=1, max_size=30))
def test_shards_are_as_full_as_the_order_of_names_allows(sizes):
    named = {f"part-{number:02d}.bin": size for number, size in enumerate(sizes)}
    groups = shards(named, TIGHT.archive)
    assert [name for group in groups for name in group] == sorted(named)
    for group, following in zip(groups, (*groups[1:], ()), strict=True):
        assert archive_size({name: named[name] for name in group}) <= TIGHT.archive
        more = [*group, *following[:1]]
        assert not following or archive_size({n: named[n] for n in more}) > TIGHT.archive


# ---- runs with files of many GB, none of which is read


def sparse(path: Path, size: int, head: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head)
    os.truncate(path, size)


def header_bytes() -> bytes:
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 0, "TELESCOP": "JWST"})
    header.update({"INSTRUME": "NIRSPEC", "GRATING": "G140M", "FILTER": "F100LP"})
    return header.tostring().encode()


def write_record(run: Path) -> Path:
    products = run / "products"
    paths = sorted(path for path in products.rglob("*") if path.is_file())
    layers = {path.relative_to(products).parts[0] for path in paths}
    record = {
        "schema": "run",
        "target": TARGET,
        "simulated": True,
        "toy_grid": False,
        "code_version": "0.1.0",
        "products": [{"path": path.relative_to(products).as_posix()} for path in paths],
        "absent_layers": {name: "not made" for name in layout.LAYERS if name not in layers},
    }
    (products / "run.json").write_text(json.dumps(record))
    return run


def read_bytes() -> int:
    """How much this process has read so far, from any file."""
    facts = Path("/proc/self/io").read_text().split()
    return int(facts[facts.index("rchar:") + 1])


@pytest.mark.skipif(
    not Path("/proc/self/io").is_file(), reason="this system does not count what is read"
)
def test_gigabytes_are_planned_without_being_read(tmp_path):
    products = tmp_path / "products"
    for item in ("t001", "t002"):
        sparse(products / f"likelihood/{item}_cube.fits", 11 * 10**9, header_bytes())
    for number in range(7):
        sparse(products / f"inference/t001_chains/block-{number:02d}.nc", 900_000_000)
    for number in range(90):
        sparse(products / f"validation/s{number:03d}_quality.json", 20_000)
    sparse(products / "validation/rejections.nc", 3 * 10**9)
    write_record(tmp_path)
    before = read_bytes()
    plan = make_plan(tmp_path)
    assert read_bytes() - before < 2_000_000
    names = {file.name: file for file in plan.files}
    assert [name for name in names if name.endswith(".zip")] == [
        *(f"inference_t001_chains-{number:03d}.zip" for number in (1, 2, 3, 4)),
        "validation_packed.zip",
    ]
    assert all(file.size <= DEPOSIT.archive for file in plan.files if file.name.endswith(".zip"))
    assert len(names["validation_packed.zip"].sources) == 90
    assert "larger than 16.0 MB" in names["validation_rejections.nc"].why
    assert len(plan.files) <= DEPOSIT.files
    assert 31.3e9 < plan.size < 31.4e9


@pytest.mark.parametrize(
    ("sizes", "reasons"),
    [
        (
            {"inference/t001_chains/one.nc": 2_000_000_000},
            ["one.nc has 2000000000 bytes", "write the chain in blocks"],
        ),
        (
            {f"likelihood/t{number:03d}_cube.fits": 10**10 for number in range(6)},
            ["would have 60.0 GB, and a deposit takes 50.0 GB", "likelihood 60.0 GB"],
        ),
        (
            {f"inference/t{number:03d}_linemap.fits": 10_000 for number in range(101)},
            [f"would have {101 + len(RENDERED)} files, and a deposit takes 100", "inference 101"],
        ),
    ],
    ids=["member", "bytes", "files"],
)
def test_a_run_that_no_deposit_takes_is_refused(tmp_path, sizes, reasons):
    for name, size in sizes.items():
        head = header_bytes() if name.endswith(".fits") else b""
        sparse(tmp_path / "run" / "products" / name, size, head)
    with pytest.raises(RefusedError) as refused:
        build(write_record(tmp_path / "run"), tmp_path / "b")
    (reason,) = refused.value.reasons
    assert all(text in reason for text in reasons)
    assert not (tmp_path / "b").exists()


def test_what_shares_a_zip_is_in_the_papers_as_if_it_did_not(run_folder, tmp_path, monkeypatch):
    lines = run_folder / "products/likelihood/lines.ecsv"
    (lines.parent / "more.ecsv").write_bytes(lines.read_bytes())
    write_run_record(run_folder)
    loose = build(run_folder, tmp_path / "loose", judge=FakeJudge()).folder
    scarce = partial(arrange, limits=Limits(files=len(RENDERED) + 5))
    monkeypatch.setattr("release.plan.arrange", scarce)
    tight = build(run_folder, tmp_path / "tight", judge=FakeJudge()).folder
    assert [path.name for path in tight.glob("*_packed.zip")] != []
    dictionary = (tight / "data-dictionary.md").read_text()
    for heading in re.findall(r"^### (\S+)$", (loose / "data-dictionary.md").read_text(), re.M):
        last = heading.partition("_")[2] or heading
        assert heading in dictionary or f"!{last}" in dictionary, heading
    whole, packed = (
        {
            row["@id"]: row
            for row in json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
            if row["@type"] == "CreateAction"
        }
        for folder in (loose, tight)
    )
    assert packed.keys() == whole.keys()
    there = {path.name for path in tight.iterdir()}
    for action in packed.values():
        results = action["result"]
        named = results if isinstance(results, list) else [results]
        assert {row["@id"] for row in named} <= there
    answers = [(folder / "DATASHEET.md").read_text() for folder in (loose, tight)]
    for question in ("Which software did it?", "What went in?"):
        first, second = (text.partition(question)[2].split("**")[1:2] for text in answers)
        assert first == second


def test_a_product_without_a_name_is_refused(tmp_path):
    place = tmp_path / "products/likelihood"
    bare = fits.Header({"SIMPLE": True, "BITPIX": 8, "NAXIS": 0, "TELESCOP": "GEMINI"})
    sparse(place / "t001_cube.fits", 2880, bare.tostring().encode())
    sparse(place / "t002_cube.fits", 2880, b"no FITS at all")
    with pytest.raises(RefusedError) as refused:
        make_plan(write_record(tmp_path))
    first, second = refused.value.reasons
    assert "likelihood/t001_cube.fits: its primary header does not say the instrument" in first
    assert "optical element" in first
    assert "run again" in first
    assert "likelihood/t002_cube.fits: this is not a FITS file" in second


def test_two_products_of_one_name_are_refused(tmp_path):
    for name in ("t001_map-o_iii.fits", "t001_map-o.iii.fits"):
        sparse(tmp_path / "products/inference" / name, 2880, header_bytes())
    with pytest.raises(RefusedError, match=r"would both be called hlsp_.*_inference-map-o-iii"):
        make_plan(write_record(tmp_path))


def test_a_version_without_a_number_is_told_before_anything_is_read(tmp_path):
    sparse(tmp_path / "products/likelihood/t001_cube.fits", 2880, header_bytes())
    with pytest.raises(ard.FormatError, match="no major number"):
        make_plan(write_record(tmp_path), "next")
