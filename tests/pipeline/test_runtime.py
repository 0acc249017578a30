"""Is JAX set up as asked, and is compiled code found again by the next process?

Oracle: what JAX itself counts (its monitoring events) and the files in the cache folder, each in a
fresh process, because settings of JAX are those of a process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ard.errors import ArdError
from pipeline import runtime

ROOT = Path(runtime.__file__).resolve().parent.parent

COMPILE = """
import json, sys
from pathlib import Path
import jax
from pipeline import runtime

counts = {}
def listen(event, **about):
    name = event.rpartition("/")[2]
    counts[name] = counts.get(name, 0) + 1
jax.monitoring.register_event_listener(listen)
folder = Path(sys.argv[1])
if "moved" in sys.argv:
    runtime.start(cache=folder.with_name("before"))
if len(sys.argv) > 2:  # something is compiled before the folder is known
    jax.jit(lambda x: x - 1.0)(1.0)
counts.clear()
jnp = runtime.start(cache=folder)
value = jax.jit(lambda x: jnp.sum(jnp.sort(x) ** 2))(jnp.arange(8.0))
print(json.dumps({"value": float(value), "hits": counts.get("cache_hits", 0),
                  "misses": counts.get("cache_misses", 0)}))
"""

SETTINGS = """
import json, sys
from pathlib import Path
from pipeline import runtime

seen = []
for precision, cache in (("float32", None), ("float64", Path(sys.argv[1]))):
    jnp = runtime.start(precision, cache)
    import jax
    seen.append({
        "dtype": str(jnp.zeros(1).dtype),
        "matmul": jax.config.jax_default_matmul_precision,
        "folder": jax.config.jax_compilation_cache_dir,
        "threshold": jax.config.jax_persistent_cache_min_compile_time_secs,
    })
print(json.dumps(seen))
"""


def fresh(script: str, *arguments: object, **variables: str) -> object:
    """What a process of its own prints; the caller's settings of the cache are not passed on."""
    unset = (runtime.CACHE, runtime.CACHE_THRESHOLD)
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=kept | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def kept_in(folder: Path) -> set[str]:
    """The entries of the cache, without the files that note when each was last used."""
    return {path.name for path in folder.iterdir() if not path.name.endswith("-atime")}


@pytest.mark.parametrize("early", [(), ("early",), ("moved",)], ids=["first", "early", "moved"])
def test_the_next_process_compiles_nothing_anew(tmp_path, early):
    folder = tmp_path / "compiled" / "code"
    everything = {runtime.CACHE_THRESHOLD: "0"}
    first = fresh(COMPILE, folder, *early, **everything)
    files = kept_in(folder)
    assert first["value"] == 140.0  # 0 + 1 + 4 + ... + 49
    assert first["misses"] >= 1
    assert files
    second = fresh(COMPILE, folder, *early, **everything)
    assert second == {"value": 140.0, "hits": first["misses"], "misses": 0}
    assert kept_in(folder) == files


def test_what_the_environment_says_of_the_cache_wins(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    fresh(COMPILE, other, **{runtime.CACHE: str(own), runtime.CACHE_THRESHOLD: "0"})
    assert kept_in(own)
    assert not other.exists()
    seen = fresh(SETTINGS, other, **{runtime.CACHE: str(own), runtime.CACHE_THRESHOLD: "7"})
    assert [row["folder"] for row in seen] == [str(own)] * 2
    assert [row["threshold"] for row in seen] == [7.0] * 2


def test_precision_products_and_cache_are_set(tmp_path):
    single, double = fresh(SETTINGS, tmp_path / "code")
    assert single == {"dtype": "float32", "matmul": "highest", "folder": None, "threshold": 0.5}
    folder = str(tmp_path / "code")
    assert double == {"dtype": "float64", "matmul": "highest", "folder": folder, "threshold": 0.5}


def test_an_unknown_precision_is_refused():
    with pytest.raises(ArdError, match="there is no such precision"):
        runtime.start("float16")


def test_without_jax_the_line_to_type_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)  # what Python does for a module that is missing
    with pytest.raises(ArdError, match="pip install 'rbh1-ard"):
        runtime.start()
