"""Does the doctor find what is wrong, and keep secrets?

Oracle: environments and folders made for the purpose.
"""

from pathlib import Path

import pytest

import pipeline
from pipeline import doctor
from pipeline.devices import Answer, Device
from pipeline.doctor import shadow_in, shown
from pipeline.findings import BAD, GOOD, NOTE

OURS = Path(pipeline.__file__).resolve().parent.parent


def examine(environment, folder):
    """What the doctor finds where JAX computes on the CPU; test_devices.py asks JAX itself."""
    return doctor.examine(environment, folder, lambda _: Answer(1.0, "0", (Device("cpu", "cpu"),)))


def finding(found, name):
    return next(f for f in found if f.name == name)


def test_no_token_and_no_password_is_ever_shown(tmp_path):
    secrets = {
        "ZENODO_TOKEN": "tok-1234567890",
        "MAST_API_TOKEN": "mast-secret",
        "RBH1_DATABASE_URL": "postgresql://me:pass-word@host/db",
        "RBH1_BROKER_URL": "redis://host/0?password=broker-word&x=1",
    }
    found = examine(secrets, tmp_path)
    text = repr([f.to_dict() for f in found])
    for word in ("1234567890", "mast-secret", "pass-word", "broker-word"):
        assert word not in text
    assert finding(found, "ZENODO_TOKEN").value == "set (14 characters, not shown)"
    assert finding(found, "RBH1_DATABASE_URL").value == "postgresql://me:***@host/db"
    assert finding(found, "RBH1_BROKER_URL").value == "redis://host/0?password=***&x=1"


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://me:se@cr et/x@host/db",
        "postgresql://host/db?user=me&sslpassword=se@cr et/x",
        "host=here password='se@cr et/x' user=me",
        "postgresql://me:x@host/db?password=se@cr et/x",
    ],
)
def test_a_password_that_is_no_proper_part_of_an_address_is_not_shown_either(value):
    # Of the unquoted blank no rule can tell where the password ends; its first part says most.
    assert "se@cr" not in shown("RBH1_DATABASE_URL", value)


def test_every_variable_says_where_its_value_comes_from(tmp_path):
    found = examine({"RBH1_DATA_DIR": "/data"}, tmp_path)
    assert finding(found, "RBH1_DATA_DIR").value == "/data"
    assert finding(found, "RBH1_DATA_DIR").origin.startswith("environment")
    assert finding(found, "RBH1_REPO_DIR").origin.startswith("default")
    assert finding(found, "RBH1_REPO_DIR").value == "(the current directory)"


def test_a_value_without_secret_is_shown_as_it_is():
    assert shown("RBH1_DATABASE_URL", "sqlite:///a.db") == "sqlite:///a.db"
    assert shown("ZENODO_TOKEN", "") == "set, but empty"


@pytest.mark.parametrize("name", ["checks", "pipeline", "release", "schemas", "manifests", "ard"])
def test_the_import_names_are_ours_here(tmp_path, name):
    found = finding([f for f in examine({}, tmp_path) if f.section == "import names"], name)
    assert found.status != BAD


def test_a_file_that_shadows_a_package_is_found(tmp_path):
    assert shadow_in(tmp_path, "checks", OURS) is None
    (tmp_path / "checks.py").write_text("")
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "part.py").write_text("")
    (tmp_path / "schemas").mkdir()  # a folder without Python files shadows nothing
    assert shadow_in(tmp_path, "checks", OURS) == tmp_path / "checks.py"
    assert shadow_in(tmp_path, "release", OURS) == tmp_path / "release"
    assert shadow_in(tmp_path, "schemas", OURS) is None
    assert shadow_in(OURS, "checks", OURS) is None
    found = finding([f for f in examine({}, tmp_path) if f.section == "import names"], "checks")
    assert (found.status, found.origin) == (NOTE, str(tmp_path / "checks.py"))


def test_a_package_of_that_name_from_elsewhere_is_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_origin", lambda name: tmp_path if name == "checks" else OURS)
    found = finding([f for f in examine({}, tmp_path) if f.section == "import names"], "checks")
    assert found.status == BAD
    assert found.action


def test_a_missing_library_of_the_study_comes_with_its_line(tmp_path, monkeypatch):
    requirements = ["numpy>=2.1", 'rich>=13; extra == "study"', 'nothere>=1; extra == "study"',
                    'nothere>=1; extra == "cuda"', 'alsonot; extra == "mdb"']  # fmt: skip
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: requirements)
    found = examine({}, tmp_path)
    assert finding(found, "numpy").status == GOOD
    assert finding(found, "nothere").status == BAD
    assert finding(found, "nothere").action == "pip install 'rbh1-ard[study]'"
    assert finding(found, "alsonot").status == NOTE
    assert finding(found, "alsonot").action == "pip install 'rbh1-ard[mdb]'"


def test_an_old_python_is_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 0))
    assert finding(examine({}, tmp_path), "python").status == BAD


def test_what_jax_says_is_among_the_findings(tmp_path):
    found = [f for f in examine({}, tmp_path) if f.section == "devices"]
    assert [f.name for f in found] == ["JAX", "GPU"]
    assert found[0].value == "computes on CPU"


def test_jax_is_not_asked_where_it_is_not_installed(tmp_path, monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "jax" else version(name))
    found = examine({}, tmp_path)
    assert not [f for f in found if f.section == "devices"]
    assert finding(found, "jax").status == BAD


def test_a_variable_that_jax_cannot_use_says_so_in_its_row(tmp_path):
    found = finding(examine({"XLA_CLIENT_MEM_FRACTION": "75"}, tmp_path), "XLA_CLIENT_MEM_FRACTION")
    assert (found.value, found.status) == ("75", BAD)
    assert "above 0" in found.action
