"""Does the token come from where it may, go where it may, and show itself nowhere?

Oracle: the rules written out, and every text that anything of ours can be made to show.
"""

import json
import pickle
import sys
import types

import pytest

from release.deposit.errors import DepositError, TokenError
from release.deposit.target import is_loopback, is_production, is_rehearsal, parse_target
from release.deposit.token import Token, find_token, require_token

SECRET = "s3cret-token-of-somebody"
SANDBOX = "https://sandbox.zenodo.org"


@pytest.fixture
def keyring(monkeypatch):
    """A keyring with one password, and none in the environment."""
    stored = {("rbh1-ard", "sandbox.zenodo.org"): SECRET}
    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})
    module = types.ModuleType("keyring")
    module.errors = errors
    module.get_password = lambda service, user: stored.get((service, user))
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    monkeypatch.delenv("ZENODO_TOKEN", raising=False)
    return module


def test_a_token_shows_itself_to_nobody_but_the_header():
    token = Token(f" {SECRET}\n")
    assert token.reveal() == SECRET
    assert SECRET not in f"{token} {token!r} {[token]} {token.__slots__}"
    assert token.scrub(f"Bearer {SECRET}, {SECRET}") == "Bearer [token], [token]"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(token)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "with a blank in it",
        "line\nbreak-in-it",
        "ü" * 9,
        'a"quote-in-it',
        "a\\slash-in-it",
    ],
)
def test_what_cannot_be_a_token_is_refused_and_not_shown(text):
    with pytest.raises(TokenError, match="cannot be one") as caught:
        Token(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("secret", [SECRET, "a/b+c.d~e_f-g==", "0123456789"])
def test_a_token_is_found_in_json_however_it_is_written(secret):
    """JSON may write a slash as it is, or with another one before it."""
    token, text = Token(secret), json.dumps({"message": f"bad {secret}"})
    for written in (text, text.replace("/", r"\/")):
        assert json.loads(token.scrub(written)) == {"message": "bad [token]"}


def test_the_variable_goes_to_zenodo_and_to_this_machine(keyring):
    variable = {"ZENODO_TOKEN": "from-the-variable"}
    for target in (SANDBOX, "https://zenodo.org", "http://127.0.0.1:5000"):
        found = find_token(target, typed=False, environment=variable)
        assert found is not None
        assert found.reveal() == "from-the-variable"


def test_the_variable_goes_elsewhere_only_if_the_address_was_typed(keyring):
    """A release.json of somebody else must not fetch the token to his own machine."""
    variable = {"ZENODO_TOKEN": "from-the-variable"}
    assert find_token("https://archive.example", typed=False, environment=variable) is None
    found = find_token("https://archive.example", typed=True, environment=variable)
    assert found is not None


def test_the_keyring_is_asked_for_this_host_only(keyring):
    found = find_token(SANDBOX, typed=False, environment={})
    assert found is not None
    assert found.reveal() == SECRET
    assert find_token("https://zenodo.org", typed=False, environment={}) is None
    with pytest.raises(TokenError, match=r"no token for zenodo\.org"):
        require_token("https://zenodo.org", typed=False)


def test_a_machine_without_keyring_has_no_token(keyring, monkeypatch):
    def refuse(service, user):
        raise keyring.errors.KeyringError("no backend")

    monkeypatch.setattr(keyring, "get_password", refuse)
    assert find_token(SANDBOX, typed=True, environment={}) is None
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert find_token(SANDBOX, typed=True, environment={}) is None


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("sandbox", SANDBOX),
        ("zenodo", "https://zenodo.org"),
        ("https://zenodo.org/", "https://zenodo.org"),
        ("https://Zenodo.ORG", "https://zenodo.org"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("https://zenodo.org.", "https://zenodo.org"),
        ("https://zenodo.org:443", "https://zenodo.org"),
        ("https://Zenodo.org.:443/", "https://zenodo.org"),
        ("https://sandbox.zenodo.org.", SANDBOX),
        ("https://archive.example:8443", "https://archive.example:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://" + "a" * 63 + ".example", "https://" + "a" * 63 + ".example"),
    ],
)
def test_targets(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "", "sandbox.zenodo.org", "ftp://zenodo.org", "https://", "https://zenodo.org/api",
        "https://zenodo.org?x=1", "https://zenodo.org#x", "https://zenodo.org:port",
        "https://zen odo.org", "https://zenodo.org\\@evil.example", "https://[zenodo",
        "https://a..b", "https://.example", "https://zenodo.org..", "https://.",
        "https://" + "a" * 64 + ".example", "https://" + "a." * 127 + "example",
        "https://zenodo.org:0", "https://a%2eb", "https://a,b",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(DepositError, match="no address of an archive"):
        parse_target(text)


def test_a_secret_in_an_address_is_refused_and_not_shown():
    with pytest.raises(DepositError, match="no address of an archive") as caught:
        parse_target(f"https://user:{SECRET}@zenodo.org")
    assert SECRET not in str(caught.value)


def test_plain_http_is_for_this_machine_only():
    with pytest.raises(DepositError, match="without encryption"):
        parse_target("http://sandbox.zenodo.org")


def test_which_archives_are_for_practice():
    for target in (SANDBOX, "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"):
        assert is_rehearsal(target)
        assert not is_production(target)
    assert not is_rehearsal("https://archive.example")
    for target in ("https://zenodo.org", "https://www.zenodo.org", "https://zenodo.org:443"):
        assert is_production(target)
        assert not is_rehearsal(target)
    for target in ("https://zenodo.org.", "https://www.zenodo.org."):
        assert is_production(target), "the dot of the root changes no name"
    assert not is_production("https://notzenodo.org")
    assert not is_loopback("https://127.example")
