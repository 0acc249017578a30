"""Does a TOML manifest hold exactly the fields it should, each of the right type?"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.errors import ManifestError

# How well a value is known, as in the study's table of published values.
EVIDENCE = ("primary", "data", "computed", "choice", "secondary")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a manifest file.

    Raises
    ------
    ManifestError
        If there is no such file or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(
            "the manifest does not exist",
            file=path,
            expected="a TOML file",
            action="check the name",
        ) from error
    except (OSError, ValueError) as error:
        raise ManifestError(
            "the manifest cannot be read as TOML",
            file=path,
            expected="a TOML file in UTF-8",
            found=str(error),
            action="correct the file at the place named",
        ) from error


@dataclass(frozen=True)
class Section:
    """One table of a manifest, read field by field with errors that name file and field.

    Attributes
    ----------
    data : mapping
        The table.
    where : str
        Its name, for messages.
    file : Path
        The manifest.
    """

    data: Mapping[str, Any]
    where: str
    file: Path

    def error(self, problem: str, expected: object, found: object) -> ManifestError:
        """Make the error that says what is wrong in this table."""
        return ManifestError(
            f"{self.where}: {problem}",
            file=self.file,
            expected=expected,
            found=found,
            action="correct the manifest",
        )

    def only(self, *fields: str) -> None:
        """Refuse any field that is not named here."""
        unknown = sorted(set(self.data) - set(fields))
        if unknown:
            raise self.error("unknown field", ", ".join(fields), ", ".join(unknown))

    def text(self, name: str) -> str:
        """Give a text that is not empty."""
        value = self.data.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"'{name}' must be a text", "a text", repr(value))
        return value

    def text_or_none(self, name: str) -> str | None:
        """Give a text, or None where the field is absent."""
        return self.text(name) if name in self.data else None

    def number(self, name: str) -> float:
        """Give a finite number."""
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"'{name}' must be a number", "a finite number", repr(value))
        if not math.isfinite(value):
            raise self.error(f"'{name}' must be finite", "a finite number", repr(value))
        return float(value)

    def number_or_none(self, name: str) -> float | None:
        """Give a finite number, or None where the field is absent."""
        return self.number(name) if name in self.data else None

    def count(self, name: str) -> int:
        """Give a positive whole number."""
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(f"'{name}' must be a positive whole number", "1 or more", repr(value))
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Give a text that is one of the choices."""
        value = self.text(name)
        if value not in choices:
            raise self.error(f"'{name}' is not known", " or ".join(choices), value)
        return value

    def flag(self, name: str) -> bool:
        """Give a boolean."""
        value = self.data.get(name)
        if not isinstance(value, bool):
            raise self.error(f"'{name}' must be true or false", "a boolean", repr(value))
        return value

    def table(self, name: str) -> "Section":
        """Give a table inside this one."""
        value = self.data.get(name)
        where = name if not self.where else f"{self.where}.{name}"
        if not isinstance(value, dict):
            raise self.error(f"the table '{name}' is missing", f"[{where}]", repr(value))
        return Section(value, where, self.file)

    def tables(self, name: str) -> tuple["Section", ...]:
        """Give the rows of an array of tables, empty where it is absent."""
        value = self.data.get(name, [])
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise self.error(f"'{name}' must be a list of tables", f"[[{name}]]", repr(value))
        return tuple(Section(row, f"{name}[{i}]", self.file) for i, row in enumerate(value))
