"""The report: complete, self-contained, honest about what is missing."""

import re
from html.parser import HTMLParser

import pytest
from imagery import geometry_document
from run_documents import (
    kinematics_recovery_document,
    noise_document,
    record,
    subtraction_document,
)
from shock_runs import made

from manifests import load_target
from pipeline.materialize import Config, run
from pipeline.report import Contents, render
from schemas import validate

RBH1 = load_target("rbh1")
CONTEXT = {
    "simulated": True, "toy_grid": False, "source": "twin", "items": ["t001"],
    "code_sha256": "a" * 64, "config_sha256": "b" * 64,
}  # fmt: skip


def run_document(**context) -> dict:
    rows = [
        {"path": "inference/t001_linemap.fits", "kind": "map", "stage": "linemaps",
         "schema": "linemap"},
        {"path": "validation/figures/t001_maps.png", "kind": "figure", "stage": "maps"},
        {"path": "inference/t001_chains-jump.nc", "kind": "chains", "stage": "fit"},
    ]  # fmt: skip
    products = {row["path"]: None for row in rows}
    result = run(
        products=products, rows=rows, target=RBH1, context=CONTEXT | context, config=Config()
    )
    assert result["products"] == products
    return result["run"]


def contents(**changes) -> Contents:
    cube = {
        "shape": [560, 53, 49], "wave_um": {"min": 0.97, "max": 1.35},
        "spaxels": {"usable": 1400, "total": 2597}, "masked_fraction": 0.46,
        "voxels": {"outliers_positive": 3, "outliers_negative": 4, "absurd_errors": 5},
        "noise_ratio": 1.875,
        "noise": {"correlation": {"wave_lag1": 0.2, "y_lag1": None, "x_lag1": 0.5}},
    }  # fmt: skip
    row = {
        "group": "halpha", "n_fitted": 1000, "n_detected": 300, "snr_detected": 8.0,
        "velocity_p05_kms": -590.0, "velocity_median_kms": -280.0, "velocity_p95_kms": None,
        "sigma_median_kms": 60.0, "chi2_dof_median": 1.1,
    }  # fmt: skip
    result = {"check": "physics.x", "product": "<b>p</b>", "status": "PASSED", "measured": 0.5,
              "limit": 1.0, "detail": "", "remedy": ""}  # fmt: skip
    given = {
        "run": run_document(),
        "qualities": {"t001": {"cube": cube, "maps": [row]}},
        "recoveries": {},
        "posteriors": {},
        "shocks": {},
        "noises": {},
        "wake": {},
        "figures": {"t001_spectrum.png": b"\x89PNG1", "t001_maps.png": b"\x89PNG2"},
        "checks": {"verdict": "PASSED", "counts": {"PASSED": 1}, "results": [result]},
        "tasks": [{"task": "ingest[t001]", "status": "done", "seconds": 1.5}],
        "manifest": {"files": [{"name": "x.fits", "kind": "cube", "size": 12_300_000}]},
        "digest": "c" * 64,
    }
    return Contents(**(given | changes))


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [v for k, v in attrs if k in ("src", "href") and v]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed():
    page = render(contents())
    links = Links()
    links.feed(page)
    assert links.open == []
    assert len(links.found) == 2
    assert all(link.startswith("data:image/png;base64,") for link in links.found)
    assert not re.search(r"https?://", page)
    assert "<b>p</b>" not in page
    assert "&lt;b&gt;p" in page


def test_the_page_says_what_was_measured_and_what_is_missing():
    page = render(contents())
    for text in ("RBH-1", "Simulated data", "-590", "12.3 MB", "c" * 64, "representative"):
        assert text in page
    assert page.index("t001_maps.png") < page.index("t001_spectrum.png")
    assert "no campaign has been exported" in page


def test_the_page_shows_what_is_about_the_run_as_a_whole():
    """Oracle: the documents; pictures of no single item stand outside the items."""
    figures = {"t001_maps.png": b"1", "dashboard.png": b"2", "wake.png": b"3"}
    wake = {
        "geometry": geometry_document(RBH1, record("geometry")),
        "subtraction": subtraction_document(),
    }
    page = render(contents(figures=figures, wake=wake, noises={"t001": noise_document({})}))
    assert "147.5 ± 0.05 deg" in page
    assert "62.7 kpc" in page
    assert "Nothing is taken off." in page
    assert "1.01 (Kronecker)" in page
    assert page.index('alt="dashboard"') < page.index('alt="wake"') < page.index("t001_maps.png")
    assert page.count("<img") == 3


@pytest.mark.parametrize("there", ["geometry", "subtraction"])
def test_a_run_without_images_or_without_exposures_has_a_page(there):
    """Oracle: what is there is shown, and nothing is asked of what is not."""
    documents = {
        "geometry": (geometry_document(RBH1, record("geometry")), "147.5 ± 0.05 deg"),
        "subtraction": (subtraction_document(), "Nothing is taken off."),
    }
    page = render(contents(wake={there: documents[there][0]}))
    for name, (_, text) in documents.items():
        assert (text in page) == (name == there)


def test_a_failed_check_is_shown_and_no_bundle_is_claimed():
    failed = {"check": "physics.y", "product": "p", "status": "FAILED", "measured": None,
              "limit": 1.0, "detail": "It is too large.", "remedy": "Make it smaller."}  # fmt: skip
    checks = {"verdict": "FAILED", "counts": {"PASSED": 0}, "results": [failed]}
    page = render(contents(checks=checks, manifest=None, digest=""))
    assert "It is too large." in page
    assert "Make it smaller." in page
    assert "No bundle was built" in page
    assert "Every check passed" not in page


def test_the_run_document_follows_its_schema_and_names_absent_layers():
    document = run_document()
    assert set(document["absent_layers"]) == {"likelihood", "representative"}
    # A fit may go, and the run is still what it was to be.
    assert document["stages"] == ["linemaps", "maps"]
    provenance = {
        "stage": "materialize", "code_version": "0.1.0", "code_sha256": "a" * 64,
        "config_sha256": "b" * 64, "seed": None, "simulated": True, "inputs": {}, "tools": {},
    }  # fmt: skip
    assert validate(document | {"provenance": provenance}, "run") == ()


def test_verdicts_on_shocks_are_said_with_the_models_they_rest_on():
    """Oracle: the document of the stage; a number that a verdict has not is a dash."""
    text = render(contents(shocks=made(None)["verdicts"]))
    assert "Shocks, from the lines of the apertures: 3 spectra. C1: 3 NOT EVALUATED" in text
    assert "closed form 1, toy_loglinear, a closed form that no shock obeys" in text
    assert text.count("<td>C3</td>") == 3
    assert "Shocks, from the lines" not in render(contents())


def test_the_model_error_of_posteriors_is_shown():
    text = render(contents(posteriors={"t001": kinematics_recovery_document({})}))
    (table,) = [part for part in text.split("<table>") if "posteriors and truth" in part]
    assert "<td>oiii5007</td><td>velocity</td>" in table
    assert "model error" in text
    assert "its error is reported, not judged" in text
    assert "posteriors and truth" not in render(contents())
