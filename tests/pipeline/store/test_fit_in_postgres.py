"""Does `rbh1 fit` give the same products whether its chains are in PostgreSQL or in a file?

Oracle: the same fit with the embedded database, which nothing stopped.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from precision import x64
from small_fit import ITEM, write_fit_run

import pipeline
from pipeline.store.durable import open_store

pytest.importorskip("blackjax", reason="needs the extra study")
pytest.importorskip("h5netcdf", reason="needs the extra study")

SOURCE = str(Path(pipeline.__file__).parent.parent)
DRAWS, CHAINS = 60, 4
OPTIONS = ("--draws", DRAWS, "--most", DRAWS, "--warmup", 60, "--chains", CHAINS)
SECONDS = 600.0
VARIABLE = "RBH1_DATABASE_URL"


def fit(root, url=None):
    """Start a fit; without a url the chains go into a file of the run folder."""
    command = [sys.executable, "-m", "pipeline", "fit", str(root), "--item", ITEM]
    command += ["--model", "jump", *map(str, OPTIONS)]
    environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}
    environment.pop(VARIABLE, None)
    environment |= {VARIABLE: url} if url else {}
    with (root.parent / "log").open("w") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def finish(process, root):
    code = process.wait(SECONDS)
    assert code == 1, (root.parent / "log").read_text()  # so few draws do not pass the gate


def products(root):
    found = {p.relative_to(root): p.read_bytes() for p in (root / "products").rglob("*chain*")}
    assert len(found) == 5
    return found


def blocks_in(url):
    """Count the blocks of draws in the server's own table; 0 before there is one."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('chain_blocks') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT count(*) FROM chain_blocks WHERE phase = 'sample'")
        return cursor.fetchone()[0]


@pytest.mark.slow
@pytest.mark.postgres
def test_a_fit_killed_over_postgres_gives_the_bytes_of_one_in_a_file(tmp_path, postgres_url):
    with x64(True):
        first = write_fit_run(tmp_path / "file" / "run")
    other = shutil.copytree(first, tmp_path / "server" / "run")
    finish(fit(first), first)
    # The maxima are found once, by either: what differs is where the chains are.
    shutil.copytree(first / ".rbh1/fits", other / ".rbh1/fits")

    process, until = fit(other, postgres_url), time.monotonic() + SECONDS
    while blocks_in(postgres_url) < 1:
        assert process.poll() is None, (other.parent / "log").read_text()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = blocks_in(postgres_url)
    assert not list((other / "products").rglob("*chain*"))
    finish(fit(other, postgres_url), other)
    assert "warmup" not in (other.parent / "log").read_text()

    assert products(other) == products(first)
    assert not (other / ".rbh1/chains.db").exists()
    assert (first / ".rbh1/chains.db").exists()
    assert before < blocks_in(postgres_url)
    with open_store(postgres_url, folder=tmp_path) as store:
        (name,) = store.runs()
        assert [store.n_draw(name, chain) for chain in range(CHAINS)] == [DRAWS] * CHAINS
