"""Does a value that a user typed fit the type that a configuration declares?

Also: what is the canonical JSON form of a configuration, whose digest decides about reruns?
"""

import dataclasses
import difflib
import enum
import hashlib
import json
import math
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ard.errors import ArdError


def unknown_name(what: str, found: str, known: Iterable[str], file: object = None) -> ArdError:
    """Make the error for a name that does not exist, with the nearest names that do."""
    known = sorted(known)
    near = difflib.get_close_matches(found, known, n=3) or known
    return ArdError(
        f"unknown {what} '{found}'",
        file=None if file is None else str(file),
        expected="one of: " + ", ".join(near) if near else f"no {what} at all",
        found=found,
        action="correct the name" if near else "remove it",
    )


def build(cls: type, values: Mapping[str, Any], where: str, file: object = None) -> Any:
    """Make a configuration dataclass from plain values; every key and type is checked.

    Parameters
    ----------
    cls : type
        A dataclass whose fields all have defaults or are given.
    values : mapping
        Plain values, as TOML gives them.
    where : str
        The dotted name of the table, for messages.
    file : path-like, optional
        The file they come from, for messages.

    Raises
    ------
    ArdError
        If a key is unknown or a value has another type than the field.
    """
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    given = {}
    for key, value in values.items():
        if key not in names:
            raise unknown_name(f"key of [{where}]", key, names, file)
        given[key] = coerce(value, hints[key], f"{where}.{key}", file)
    return _construct(cls, given, where, file)


def _construct(cls: type, given: Mapping[str, Any], where: str, file: object) -> Any:
    try:
        return cls(**given)
    except (TypeError, ValueError) as error:
        raise ArdError(
            f"the configuration [{where}] is not acceptable",
            file=None if file is None else str(file),
            expected=f"values that fit {cls.__name__}",
            found=str(error),
            action="correct the values",
        ) from error


def coerce(value: Any, hint: Any, where: str, file: object = None) -> Any:
    """Give a plain value the declared type, or say that it does not fit.

    An integer fits a float; a list fits a tuple; nothing else is converted silently.

    Raises
    ------
    ArdError
        If it does not fit.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return build(hint, value, where, file)
    if origin in (Union, types.UnionType):
        return _one_of(value, hint, where, file)
    if origin is Literal:
        if any(value == option and type(value) is type(option) for option in arguments):
            return value
        raise _misfit(value, " or ".join(map(repr, arguments)), where, file)
    if origin is tuple and isinstance(value, list | tuple):
        return _tuple(value, arguments, where, file)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {k: coerce(v, arguments[1], f"{where}.{k}", file) for k, v in value.items()}
    return _scalar(value, hint, where, file)


def _one_of(value: Any, hint: Any, where: str, file: object) -> Any:
    options = get_args(hint)
    for option in options:
        try:
            return coerce(value, option, where, file)
        except ArdError:
            continue
    names = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise _misfit(value, names, where, file)


def _tuple(value: Any, arguments: tuple[Any, ...], where: str, file: object) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        hints: Iterable[Any] = [arguments[0]] * len(value)
    elif len(arguments) == len(value):
        hints = arguments
    else:
        raise _misfit(value, f"{len(arguments)} values", where, file)
    return tuple(
        coerce(v, h, f"{where}[{i}]", file)
        for i, (v, h) in enumerate(zip(value, hints, strict=True))
    )


def _scalar(value: Any, hint: Any, where: str, file: object) -> Any:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        if value in [member.value for member in hint]:
            return hint(value)
        raise _misfit(value, " or ".join(repr(m.value) for m in hint), where, file)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise _misfit(value, "a finite number", where, file)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise _misfit(value, getattr(hint, "__name__", str(hint)), where, file)


def _misfit(value: Any, expected: str, where: str, file: object) -> ArdError:
    return ArdError(
        f"the value of '{where}' has the wrong type",
        file=None if file is None else str(file),
        expected=expected,
        found=f"{value!r} ({type(value).__name__})",
        action="correct the value",
    )


def plain(value: Any) -> Any:
    """Give the JSON form of a configuration value: dataclasses as objects, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(v) for v in value)
    if isinstance(value, Path):
        return value.as_posix()
    return value


def sha256_of(value: Any) -> str:
    """Digest the canonical JSON form of a configuration.

    Raises
    ------
    ArdError
        If it holds a value that has no JSON form.
    """
    try:
        text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArdError(
            "a configuration holds a value that JSON cannot",
            expected="finite numbers, texts, booleans, null and lists or tables of them",
            found=str(error),
            action="change the type of the field in the stage's Config",
        ) from error
    return hashlib.sha256(text.encode()).hexdigest()
