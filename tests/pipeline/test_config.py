"""Are settings typed, refused where they are wrong, and digested independently of spelling?

Oracle: the declared types themselves, and hand-written expectations.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ard.errors import ArdError
from pipeline.config import make_config
from pipeline.values import build, coerce, plain, sha256_of


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclass(frozen=True)
class Inner:
    width: float = 1.0


@dataclass(frozen=True)
class Sample:
    """One field of each type that a stage may use."""

    count: int = 1
    width: float = 1.0
    name: str = "x"
    flag: bool = False
    limits: tuple[float, float] = (0.0, 1.0)
    lines: tuple[str, ...] = ()
    choice: Literal["a", "b"] = "a"
    maybe: float | None = None
    mode: Mode = Mode.FAST
    inner: Inner = Inner()
    table: Mapping[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", 3, 3),
        ("width", 3, 3.0),
        ("flag", True, True),
        ("limits", [1, 2.5], (1.0, 2.5)),
        ("lines", ["a", "b"], ("a", "b")),
        ("choice", "b", "b"),
        ("maybe", 2, 2.0),
        ("mode", "slow", Mode.SLOW),
        ("inner", {"width": 2}, Inner(2.0)),
        ("table", {"a": 1}, {"a": 1.0}),
    ],
)
def test_values_that_fit_are_taken(key, value, expected):
    found = getattr(build(Sample, {key: value}, "sample"), key)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", 1.0),
        ("count", True),
        ("count", "1"),
        ("width", "1"),
        ("width", True),
        ("width", float("nan")),
        ("width", float("inf")),
        ("name", 1),
        ("flag", 1),
        ("flag", "true"),
        ("limits", [1.0]),
        ("limits", [1.0, 2.0, 3.0]),
        ("limits", 1.0),
        ("lines", "abc"),
        ("lines", [1]),
        ("choice", "c"),
        ("maybe", "none"),
        ("mode", "medium"),
        ("inner", 3),
        ("table", {"a": "b"}),
    ],
)
def test_values_of_another_type_are_refused(key, value):
    with pytest.raises(ArdError, match="has the wrong type") as error:
        build(Sample, {key: value}, "sample", "settings.toml")
    assert f"sample.{key}" in error.value.problem
    assert error.value.file == "settings.toml"


def test_an_unknown_key_is_named_with_its_neighbours():
    with pytest.raises(ArdError, match=r"unknown key of \[sample\] 'widht'") as error:
        build(Sample, {"widht": 1.0}, "sample")
    assert error.value.expected == "one of: width"
    with pytest.raises(ArdError, match=r"unknown key of \[sample.inner\] 'wide'"):
        build(Sample, {"inner": {"wide": 1.0}}, "sample")


def test_a_class_that_refuses_its_values_says_so():
    @dataclass(frozen=True)
    class Strict:
        n: int = 1

        def __post_init__(self) -> None:
            if self.n < 0:
                raise ValueError("n must not be negative")

    with pytest.raises(ArdError, match=r"\[strict\] is not acceptable") as error:
        build(Strict, {"n": -1}, "strict")
    assert error.value.found == "n must not be negative"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@given(JSON)
def test_the_digest_does_not_depend_on_the_order_of_keys(value: Any):
    def backwards(v: Any) -> Any:
        if isinstance(v, dict):
            return {k: backwards(v[k]) for k in reversed(list(v))}
        return [backwards(x) for x in v] if isinstance(v, list) else v

    assert sha256_of(value) == sha256_of(backwards(value))
    assert coerce(value, Any, "any") == value


def test_the_digest_depends_on_every_field():
    digests = {sha256_of(Sample())}
    changes: dict[str, Any] = {
        "count": 2, "width": 2.0, "name": "y", "flag": True, "limits": (0.0, 2.0),
        "lines": ("a",), "choice": "b", "maybe": 1.0, "mode": Mode.SLOW, "inner": Inner(2.0),
        "table": {"a": 1.0},
    }  # fmt: skip
    assert set(changes) == set(Sample.__dataclass_fields__)
    for name, value in changes.items():
        digests.add(sha256_of(Sample(**{name: value})))
    assert len(digests) == 1 + len(changes)


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(ArdError, match="value that JSON cannot"):
        sha256_of({"x": float("nan")})
    with pytest.raises(ArdError, match="value that JSON cannot"):
        sha256_of({"x": object()})


def test_the_plain_form_is_json():
    document = plain(Sample(mode=Mode.SLOW))
    assert document["mode"] == "slow"
    assert document["inner"] == {"width": 1.0}
    assert document["limits"] == [0.0, 1.0]


def test_file_and_settings_combine_with_the_settings_last(toy_run, tmp_path: Path):
    file = tmp_path / "settings.toml"
    file.write_text('[double]\nfactor = 3\nsleep = 0.5\n[show]\ntitle = "from file"\n')
    config = make_config(
        file,
        ["double.factor=4", "show.title=from the line", 'make.names=["p", "q"]'],
        toy_run.stages,
        base={"double": {"factor": 9.0, "fail_on": 8}},
    )
    assert config["double"].factor == 4.0
    assert config["double"].sleep == 0.5
    assert config["double"].fail_on == 8
    assert config["show"].title == "from the line"
    assert config["make"].names == ("p", "q")
    assert config.sha256 != make_config(stages=toy_run.stages).sha256


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[doubel]\nfactor = 1", "unknown table 'doubel'"),
        ("factor = 1", "unknown table 'factor'"),
        ("double = 1", "unknown key outside of a table 'double'"),
        ("[double]\nfactr = 1", r"unknown key of \[double\] 'factr'"),
        ('[double]\nfactor = "1"', "'double.factor' has the wrong type"),
        ("[double\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(toy_run, tmp_path: Path, text, problem):
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(ArdError, match=problem) as error:
        make_config(file, (), toy_run.stages)
    assert error.value.file == str(file)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("double.factor", "cannot be understood"),
        ("factor=1", "cannot be understood"),
        ("doubel.factor=1", "unknown stage 'doubel'"),
        ("double.factr=1", r"unknown key of \[double\] 'factr'"),
        ("double.factor=abc", "'double.factor' has the wrong type"),
    ],
)
def test_a_wrong_setting_is_refused(toy_run, text, problem):
    with pytest.raises(ArdError, match=problem):
        make_config(None, [text], toy_run.stages)


def test_a_missing_file_is_named(toy_run, tmp_path: Path):
    with pytest.raises(ArdError, match="configuration file does not exist"):
        make_config(tmp_path / "no.toml", (), toy_run.stages)
