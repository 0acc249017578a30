"""Does every benchmark still start?

Oracle: its own --help; of the fit of whole cubes, that scipy finds the same velocities.
"""

import json

import pytest
from loading import BENCHMARKS, load

NAMES = sorted(path.name for path in BENCHMARKS.glob("bench_*.py"))


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """Benchmarks import what lies beside them, as a script does."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_there_are_benchmarks():
    assert len(NAMES) > 8


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_measures(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as done:
        load(BENCHMARKS / name).main()
    assert done.value.code == 0
    assert "--help" in capsys.readouterr().out


def test_lines_of_a_cube_are_those_of_single_spaxels(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench_linemaps.py", "--spaxels", "30", "--sample", "4"])
    load(BENCHMARKS / "bench_linemaps.py").main()
    report = json.loads(capsys.readouterr().out)
    assert (report["spaxels"], report["lines"], report["failed"]) == (30, 8, 0)
    assert report["same_velocity_in_sample"] == "4 of 4"
