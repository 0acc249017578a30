"""Are the schemas themselves sound, do they accept good products and refuse bad ones?"""

import copy
import re
import subprocess
import sys

import jsonschema
import pytest
from runs import make_run

import schemas
from ard import io
from ard.describe import describe
from ard.maps import Flag
from schemas import tables

PRODUCTS = {
    "likelihood/t001_cube.fits": "cube",
    "inference/t001_linemap.fits": "linemap",
    "likelihood/lines.ecsv": "table",
    "validation/figures/t001_velocity.png": "figure",
}
DOCUMENTS = {
    "inference/geometry.json": "geometry",
    "validation/t001_quality.json": "quality",
    "validation/t001_recovery.json": "recovery",
    "validation/t001_combination.json": "combination",
    "validation/subtraction.json": "subtraction",
    "run.json": "run",
}


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory):
    return make_run(tmp_path_factory.mktemp("run")) / "products"


@pytest.mark.parametrize("name", schemas.names())
def test_schema_is_a_valid_schema(name):
    jsonschema.Draft202012Validator.check_schema(schemas.load(name))


def test_no_reference_is_left():
    assert "$ref" not in repr([schemas.load(name) for name in schemas.names()])


def leaves(node, where=""):
    for key, child in node.get("properties", {}).items():
        yield f"{where}.{key}", child
        yield from leaves(child, f"{where}.{key}")
        for option in child.get("anyOf", ()):
            yield from leaves(option, f"{where}.{key}")
        if isinstance(child.get("items"), dict):
            yield from leaves(child["items"], f"{where}.{key}[]")


@pytest.mark.parametrize("name", schemas.names())
def test_every_field_has_a_title_and_a_description(name):
    """A data dictionary is made from them."""
    bare = [w for w, n in leaves(schemas.load(name)) if not (n.get("title") and n["description"])]
    assert bare == []


@pytest.mark.parametrize("name", [*schemas.names(), *tables.names()])
def test_every_schema_gives_a_data_dictionary(name):
    rows = schemas.fields(name)
    assert rows
    assert all(row.title and row.description for row in rows)


def test_the_dictionary_says_of_each_column_whether_its_numbers_may_be_missing():
    for name in tables.names():
        columns = tables.model(name).to_schema().columns
        said = {row.name for row in tables.fields(name) if "NaN" in row.description}
        assert said == {str(key) for key, column in columns.items() if column.nullable}, name
    assert len(said) > 3


@pytest.mark.parametrize("name", schemas.names())
def test_numbers_have_units(name):
    """A number without a unit is a trap; counts, fractions and codes carry the unit 1."""
    exempt = (".shape", "[].shape", ".seed", ".rows")
    bare = [
        where
        for where, node in leaves(schemas.load(name))
        if node.get("type") in ("number", ["number", "null"])
        and "unit" not in node
        and not where.endswith(exempt)
    ]
    assert bare == []


@pytest.mark.parametrize(("path", "name"), PRODUCTS.items())
def test_description_of_a_good_product_is_accepted(path, name, products):
    assert schemas.validate(describe(products / path), name) == ()


@pytest.mark.parametrize(("path", "name"), DOCUMENTS.items())
def test_good_document_is_accepted(path, name, products):
    assert schemas.validate(io.read_json(products / path), name) == ()


@pytest.mark.parametrize(("path", "name"), DOCUMENTS.items())
def test_missing_and_invented_fields_are_refused(path, name, products):
    """Every required field is needed, and no field is accepted that the schema does not know."""
    good = io.read_json(products / path)
    for key in schemas.load(name)["required"]:
        problems = schemas.validate({k: v for k, v in good.items() if k != key}, name)
        assert any(f"'{key}' is a required property" in p.problem for p in problems)
    problems = schemas.validate(good | {"invented": 1}, name)
    assert [p.where for p in problems] == ["."]
    assert "invented" in problems[0].problem


@pytest.mark.parametrize("extension", ["SCI", "ERR", "DQ", "WMAP", "ASDF"])
def test_cube_without_an_extension_is_refused(extension, products):
    facts = describe(products / "likelihood" / "t001_cube.fits")
    facts["hdus"] = [hdu for hdu in facts["hdus"] if hdu["name"] != extension]
    assert [p.where for p in schemas.validate(facts, "cube")] == ["hdus"]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("unit",), "Jy"),
        (("wave", "unit"), "nm"),
        (("telescope",), "HST"),
        (("masked_fraction",), 1.5),
        (("shape",), [3, 4]),
        (("wcs", "ctype"), ["DEC--TAN", "RA---TAN"]),
        (("provenance", "code_sha256"), "short"),
        (("format", "gzip"), True),
        (("kind",), "map"),
    ],
)
def test_wrong_value_in_a_cube_is_refused_at_its_place(keys, value, products):
    facts = copy.deepcopy(describe(products / "likelihood" / "t001_cube.fits"))
    inner = facts
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    problems = schemas.validate(facts, "cube")
    assert problems
    assert all(problem.where.startswith(keys[0]) for problem in problems)


@pytest.mark.parametrize("layer", ["velocity", "sigma_err", "snr", "n_used"])
def test_line_map_without_a_layer_or_with_another_unit_is_refused(layer, products):
    facts = describe(products / "inference" / "t001_linemap.fits")
    without = [row for row in facts["layers"] if row["name"] != layer]
    assert schemas.validate(facts | {"layers": without}, "linemap")
    other = [row | {"unit": "m"} if row["name"] == layer else row for row in facts["layers"]]
    assert schemas.validate(facts | {"layers": other}, "linemap")


def test_flux_layers_have_the_unit_of_surface_brightness(products):
    facts = describe(products / "inference" / "t001_linemap.fits")
    facts["layers"][-1]["unit"] = "Jy"
    assert facts["layers"][-1]["name"].startswith("flux_")
    assert schemas.validate(facts, "linemap")


def test_unknown_schema():
    with pytest.raises(schemas.SchemaError, match="there is no schema 'invented'"):
        schemas.load("invented")
    with pytest.raises(schemas.SchemaError, match="there is no schema 'common'"):
        schemas.validate({}, "common")


def test_loading_twice_gives_independent_copies():
    schemas.load("cube")["properties"].clear()
    assert schemas.load("cube")["properties"]


def test_problem_reads_as_a_sentence():
    assert str(schemas.Problem("a.b", "is wrong")) == "a.b: is wrong"


def test_importing_schemas_imports_neither_jsonschema_nor_pandera():
    code = (
        "import sys, schemas, schemas.tables; schemas.load('cube')\n"
        "print(sorted({'jsonschema', 'pandera', 'pandas', 'numpy', 'ard'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_dictionary_names_every_flag_of_a_spaxel():
    """Whoever has numpy alone learns from it what the bits mean."""
    (flag,) = (row for row in schemas.fields("kinematics") if row.name == "flag")
    named = {int(number) for number in re.findall(r"(?:of|,) (\d+) ", flag.description)}
    assert named == {int(bit) for bit in Flag}
