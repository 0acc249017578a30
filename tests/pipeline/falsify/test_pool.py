"""Are answers of several processes those of one, and is a dead process replaced?

Oracle: the same function, called here.
"""

import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from pipeline.falsify.campaign.pool import Pool


def square_or_die(number: int) -> int:
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_several_processes_say_what_one_says_and_survive_a_death():
    pool = Pool(2)
    expected = [n * n for n in range(7)]
    assert Pool(1).map(square_or_die, range(7)) == expected
    try:
        assert pool.map(square_or_die, range(7)) == expected
        with pytest.raises(BrokenProcessPool):
            pool.map(square_or_die, [3, -1, 5])
        assert pool.map(square_or_die, [3]) == [9]
    finally:
        pool.close()
    pool.close()
