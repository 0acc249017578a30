"""Is the page of a bundle whole in one file, complete, and readable by everybody?

Oracles: the standard library's HTML parser; the contrast formula of WCAG 2.2 (success criterion
1.4.3, level AA); the manifest of the same bundle.
"""

import dataclasses
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from papers import DEPOSIT, FIRST, SECOND, full_dataset, make_release
from small_run import WAIVER, FakeJudge, result, write_run

import ard
from release.build import build
from release.pages import page_problems
from release.render.landing import check_families, render_landing, structured_data
from release.render.readme import ten_lines

CSS = Path(__file__).resolve().parents[2] / "release" / "templates" / "landing.css.j2"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """Elements with their attributes, and whether each is closed in its order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def values(self, tag: str, attribute: str) -> list[str]:
        found = [given.get(attribute) for name, given in self.elements if tag in ("*", name)]
        return [value for value in found if value]


@pytest.fixture(scope="module")
def bundle(run_template, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "bundle"
    return build(run_template, out, DEPOSIT, judge=FakeJudge()).folder


@pytest.fixture(scope="module")
def page(bundle):
    return Outline((bundle / "index.html").read_text())


@pytest.fixture(scope="module")
def rich(run_template):
    judge = FakeJudge([result(), result("physics.map_chi2", "FAILED", waived=WAIVER)])
    return make_release(
        run_template,
        dataset=full_dataset(),
        reservation=SECOND,
        changes=("The cube t001 is new.",),
        report=judge.to_dict(),
    )


# ---- whole in one file


def test_the_page_fetches_nothing_and_its_data_can_be_read(bundle):
    text = (bundle / "index.html").read_text()
    assert page_problems(text) == ()
    # Should something slip in one day, the page itself forbids the browser to fetch it.
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("</head>", '<script src="https://x.org/a.js"></script></head>', "fetches https://x.org/a"),
        ("</head>", '<link rel="stylesheet" href="a.css"></head>', "fetches a.css"),
        ("</main>", '<img src="a.png"></main>', "fetches a.png"),
        ("</style>", "a { background: url(a.png) }</style>", r"fetches url\(a.png\)"),
        ("</style>", "@import 'a.css';</style>", "fetches @import"),
        ('"@type": "Dataset"', '"@type": "Thing"', "about no Dataset"),
        ('"@type": "Dataset"', '"@type" "Dataset"', "are no JSON"),
        ("<title>", "<title></title><b>", "no title"),
    ],
)
def test_a_page_with_a_fault_is_found(bundle, old, new, problem):
    text = (bundle / "index.html").read_text()
    assert old in text
    assert re.search(problem, "; ".join(page_problems(text.replace(old, new, 1))))


# ---- complete


def test_the_page_names_every_file_with_its_sum(bundle, page):
    links = set(page.values("a", "href"))
    late = {"index.html", "ro-crate-metadata.json"}  # written after it, or itself
    for entry in ard.open(bundle).manifest.entries:
        if entry.name != "index.html":
            assert entry.name in links
        if entry.name not in late:
            assert entry.sha256 in page.text
    assert {"manifest.json", "sha256sums.txt"} <= links


def test_the_page_says_what_a_visitor_looks_for(page):
    for text in (
        FIRST.doi, FIRST.concept_doi, "1.2.3", "2026-02-03", "CC-BY-4.0", "SIMULATED DATA.",
        "Absent: no synthetic cubes are made yet", "7 x 6 x 5 (wave, y, x), MJy/sr",
        "The rbh1-ard authors (2026). [SIMULATED] Analysis-ready", "How to cite",
    ):  # fmt: skip
        assert text in page.text


def test_the_ten_lines_of_the_page_are_those_of_the_readme(bundle, page, run_template):
    readme = (bundle / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    assert len(code.splitlines()) == 10
    assert code in page.text
    assert ten_lines(make_release(run_template)).splitlines()[0] == code.splitlines()[0]


def test_changes_waivers_and_people_have_their_place(rich):
    html = render_landing(rich, ())
    outline = Outline(html)
    assert "Changes since 10.5072/zenodo.144" in outline.text
    assert "The cube t001 is new." in outline.text
    assert "Accepted by A. Tester until 2999-12-31, because: a known feature" in outline.text
    assert "https://orcid.org/0000-0002-1825-0097" in outline.values("a", "href")
    assert check_families(rich) == {"format": (1, 0), "physics": (0, 1)}
    assert page_problems(html) == ()


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_data_are_marked_beside_each_product(tmp_path, simulated):
    html = render_landing(make_release(write_run(tmp_path / "run", simulated=simulated)), ())
    assert html.count('class="mark"') == (4 if simulated else 0)
    assert ("SIMULATED" in html) is simulated


def test_structured_data_say_what_the_dataset_is(rich):
    document = structured_data(rich)
    assert document["@id"] == f"https://doi.org/{SECOND.doi}"
    assert document["identifier"] == document["@id"]
    assert SECOND.concept_doi not in json.dumps(document)
    assert document["creator"][0]["@id"] == "https://orcid.org/0000-0002-1825-0097"
    assert "https://arxiv.org/abs/2512.04166" in document["citation"]
    cube = next(row for row in document["distribution"] if "cube" in row["name"])
    assert cube["contentUrl"] == f"https://archive.example.org/records/188/files/{cube['name']}"
    bare = structured_data(dataclasses.replace(rich, reservation=None, date=None))
    assert not {"@id", "identifier", "url", "distribution", "datePublished"} & set(bare)
    assert json.dumps(bare)


# ---- readable by everybody


def test_elements_are_closed_in_their_order_and_named_once(page):
    assert page.open == []
    ids = page.values("*", "id")
    assert len(ids) == len(set(ids))
    anchors = {href[1:] for href in page.values("a", "href") if href.startswith("#")}
    assert anchors <= set(ids)
    assert {name for ids in page.values("*", "aria-labelledby") for name in ids.split()} <= set(ids)


def test_headings_follow_one_another_and_landmarks_are_there(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    tags = [tag for tag, _ in page.elements]
    assert [tags.count(tag) for tag in ("main", "nav", "header", "footer")] == [1, 1, 1, 1]
    assert page.values("html", "lang") == ["en"]
    assert "caption" in tags
    assert set(page.values("th", "scope")) == {"col", "row"}
    assert page.values("a", "href")[0] == "#main"  # the link that skips what is the same above


def colours() -> list[dict[str, str]]:
    """The palettes of the style sheet: light, and dark where it differs."""
    css = CSS.read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    return [light, {**light, **dark}]


def luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", colours(), ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ("ink", "paper"), ("ink", "card"), ("ink", "code"), ("soft", "paper"), ("soft", "card"),
        ("link", "paper"), ("link", "card"), ("warn-ink", "warn-paper"), ("night-ink", "night"),
        ("night-soft", "night"), ("night-link", "night"),
    ],
)  # fmt: skip
def test_texts_stand_out_from_what_they_stand_on(palette, ink, paper):
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast(palette[ink], palette[paper]) >= 4.5
