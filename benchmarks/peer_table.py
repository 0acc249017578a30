"""How are the times and errors of all codes shown, and which targets are met?"""

import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

NAMES = ("code", "setting", "lines, channels", "ms", "times ours", "error", "MB")


@dataclass
class Row:
    """One line of the table."""

    code: str
    setting: str
    lines: int | str = "-"
    channels: int | str = "-"
    times: np.ndarray = field(default_factory=lambda: np.empty(0))
    error: float = np.nan
    scratch_mb: float = np.nan
    note: str = ""

    @property
    def ms(self) -> float:
        """The shortest time, ms."""
        return 1e3 * float(self.times.min()) if self.times.size else np.nan


def processor() -> str:
    """Give the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.M)
    return model[1] if model else platform.processor() or platform.machine()


def number(value: float, form: str) -> str:
    """Write a number, or a dash where there is none."""
    return format(value, form) if np.isfinite(value) else "-"


def table(rows: list[Row]) -> str:
    """Write all rows as a table in Markdown, and what makes each error below it."""
    ours = next(row.ms for row in rows if row.code == "ours" and row.setting.endswith("cube"))
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    cells = [NAMES, ("---",) * len(NAMES)]
    for row in rows:
        median = 1e3 * float(np.median(row.times)) if row.times.size else np.nan
        mark = f" ({notes.index(row.note) + 1})" if row.note else ""
        cells.append((
            row.code, row.setting, f"{row.lines}, {row.channels}",
            f"{number(row.ms, '.1f')} / {number(median, '.1f')}", number(row.ms / ours, ".1f"),
            number(row.error, ".1e") + mark, number(row.scratch_mb, ".1f"),
        ))  # fmt: skip
    lines = "".join("| " + " | ".join(line) + " |\n" for line in cells)
    explained = "".join(f"{n}. {note}\n" for n, note in enumerate(notes, 1))
    return (
        f"{lines}\nms: the shortest time of a cube, and the median. Times ours: of the shortest, "
        "to our first cube. Error: the largest, of the peak; and what makes it:\n\n"
        f"{explained}\nMB: scratch memory by the compiler's account. Only ours gives gradients.\n"
    )


def targets(rows: list[Row]) -> str:
    """Say of every target whether it is met; ratios are to our cube of 8 lines."""
    ours = {
        tuple(row.setting.split(", ")[-1].split(" depths: ")): row
        for row in rows
        if row.code == "ours" and row.lines == 8
    }
    cube, gradient = ours["32", "cube"], ours["32", "value and gradient"]
    said = [
        verdict("8-line cube", cube.ms, 15.0, "ms"),
        verdict("8-line value and gradient", gradient.ms, 50.0, "ms"),
        verdict("scratch of a cube", cube.scratch_mb, 10.0, "MB"),
        verdict("scratch of a value and gradient", gradient.scratch_mb, 10.0, "MB"),
    ]
    for row in rows:
        for start, setting, least in (("KinMS", "1e+05", 4.0), ("KinMS", "5e+05", 10.0),
                                      ("DysmalPy", "oversampling 2", 100.0)):  # fmt: skip
            if row.code == start and row.setting.startswith(setting):
                said.append(faster(row, cube, least))
                said += [
                    f"with {depths} depths, {faster(row, fewer, least)}"
                    for (depths, kind), fewer in ours.items()
                    if kind == "cube" and fewer is not cube
                ]
    return "".join(f"- {line}\n" for line in said)


def verdict(what: str, value: float, limit: float, unit: str) -> str:
    """Compare a value with a limit from above."""
    return f"{'met' if value <= limit else 'NOT MET'}: {what} {value:.1f} {unit} (<= {limit:g})"


def faster(row: Row, cube: Row, least: float) -> str:
    """Compare times and errors of another code with ours."""
    ratio, exact = row.ms / cube.ms, cube.error <= row.error
    name = f"{row.code}, {row.setting}, {row.lines} line{'s' * (row.lines != 1)}"
    if not np.isfinite(ratio) or not np.isfinite(row.error):
        return f"not measured: {name}"
    word = "met" if ratio >= least and exact else "NOT MET"
    errors = f"error {cube.error:.1e} against {row.error:.1e}"
    return f"{word}: {name}: {ratio:.1f} times as fast (>= {least:g}); {errors}"


def header(threads: int, loads: list[float]) -> str:
    """Say on which machine, how busy, with what."""
    import jax

    versions = f"Python {platform.python_version()}, JAX {jax.__version__}"
    busy = ", ".join(f"{load:.1f}" for load in loads)
    return (
        f"{processor()}, {os.cpu_count()} cores, {threads} used by each code; {versions}; "
        f"load average before, between and after the codes: {busy}\n\n"
    )
