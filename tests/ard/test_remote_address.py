"""Which texts name a record, and which archive is asked?

Oracles: the forms in which Zenodo itself prints its DOIs and addresses, and hostile variants.
"""

import pytest

import ard
from ard.remote import Address, is_reference, parse_address
from ard.remote.address import may_be_asked

PRODUCTION = Address("https://zenodo.org", "123", "10.5281/zenodo.123")
LOCAL = {"RBH1_ZENODO_URL": "http://127.0.0.1:8080/"}


@pytest.mark.parametrize(
    "text",
    [
        "10.5281/zenodo.123",
        " 10.5281/zenodo.123\n",
        "10.5281/ZENODO.123",
        "doi:10.5281/zenodo.123",
        "DOI: 10.5281/zenodo.123",
        "https://doi.org/10.5281/zenodo.123",
        "http://dx.doi.org/10.5281/zenodo.123",
        "doi:https://doi.org/10.5281/zenodo.123",
    ],
)
def test_a_doi_is_known_in_every_spelling(text):
    assert is_reference(text)
    assert parse_address(text, {}) == PRODUCTION


@pytest.mark.parametrize(
    "text",
    [
        "https://zenodo.org/records/123",
        "https://www.zenodo.org/record/123",
        "https://zenodo.org/records/123?preview=1&token=abc#files",
        "https://zenodo.org/records/123/files/manifest.json",
        "https://zenodo.org/api/records/123",
    ],
)
def test_the_page_of_a_record_is_known(text):
    address = parse_address(text, {})
    assert address == Address("https://zenodo.org", "123", None)
    assert str(address) == "https://zenodo.org/records/123"


def test_the_prefix_says_which_archive():
    assert parse_address("10.5072/zenodo.9", {}).base == "https://sandbox.zenodo.org"
    page = parse_address("https://sandbox.zenodo.org/records/9", {})
    assert page.base == "https://sandbox.zenodo.org"


@pytest.mark.parametrize(
    "text",
    [
        "10.5281/zenodo.9",
        "10.1234/zenodo.9",
        "https://zenodo.org/records/9",
        LOCAL["RBH1_ZENODO_URL"] + "records/9",
    ],
)
def test_the_environment_has_the_last_word(text):
    assert parse_address(text, LOCAL).base == "http://127.0.0.1:8080"


def test_hosts_have_folders_of_their_own():
    assert PRODUCTION.host == "zenodo.org"
    assert parse_address("10.5281/zenodo.9", LOCAL).host == "127.0.0.1_8080"
    odd = Address("https://host.example/../../etc", "9", None)
    assert "/" not in odd.host


@pytest.mark.parametrize(
    "text",
    [
        "10.5281/zenodo.",
        "10.5281/zenodo.12x",
        "10.5281/zenodo.../1",
        "10.5281/figshare.12",
        "doi:nothing",
        "https://zenodo.org/communities/rbh1",
        "https://zenodo.org.example/records/12",
        "https://user:secret@zenodo.org/records/12",
        "https://[zenodo.org/records/12",
        "https://example.org/records/12",
        "http://zenodo.org:99999/records/12",
        "https://doi.org/10.3847/2041-8213/acba86",
    ],
)
def test_other_references_are_refused(text):
    assert is_reference(text)
    with pytest.raises(ard.ArdError, match=r"names no record|no address"):
        parse_address(text, {})


def test_a_doi_of_an_unknown_archive_says_what_to_set():
    with pytest.raises(ard.NotFoundError, match="set RBH1_ZENODO_URL"):
        parse_address("10.1234/zenodo.9", {})


@pytest.mark.parametrize("text", ["bundle", "./10.5281/zenodo.9", "/data/b", "C:\\b", "", "doi"])
def test_paths_are_no_references(text):
    assert not is_reference(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://zenodo.org",
        "http://127.0.0.1.example",
        "http://10.0.0.1",
        "ftp://zenodo.org",
        "file:///etc",
        "zenodo.org",
        "https://",
        "https://user@zenodo.org",
        "https://zenodo.org/?token=1",
        "https://zenodo.org/#a",
        "http://127.0.0.1:port",
    ],
)
def test_an_archive_that_may_not_be_asked_is_refused(url):
    with pytest.raises(ard.ArdError, match=r"RBH1_ZENODO_URL is no address|this is no address"):
        parse_address("10.5281/zenodo.9", {"RBH1_ZENODO_URL": url})


@pytest.mark.parametrize(
    "url", ["https://a.example", "http://localhost:1/x", "http://127.3.2.1", "http://[::1]:8/"]
)
def test_encrypted_or_local_addresses_may_be_asked(url):
    assert may_be_asked(url)
