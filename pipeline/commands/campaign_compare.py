"""What are the galaxies of a campaign held against, and is any of it computed twice?

The best bow shock, the best disc and each injection are asked for once, and kept as soon as they
are known: hundreds of injections take hours, and whatever ends an export would end those.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from ard import io
from pipeline.falsify.campaign.rows import packed, unpacked
from pipeline.falsify.surface.exclusion import Calibration, Refined, Saturated
from pipeline.falsify.surface.export import Given
from pipeline.falsify.surface.survey import BOW, Reference

_PER_BOW: Final = 10  # galaxies that are injected for each bow shock

type Say = Callable[[str], None]
type Keep = Callable[[str, Callable[[], Any]], Any]


@dataclass(frozen=True)
class Asked:
    """What galaxies are compared with, and how many are kept.

    Attributes
    ----------
    bow_starts : int
        Of the search for the best bow shock; none: the best galaxy is the reference.
    injections : int
        Galaxies that are injected to calibrate T, and a tenth as many bow shocks, if the best one
        was searched; none: there is no verdict.
    disc : bool
        Whether the best disc is searched.
    n_best, n_spread : int
        See `pipeline.falsify.surface.survivors.Rule`.
    """

    bow_starts: int = 12
    injections: int = 0
    disc: bool = True
    n_best: int = 3
    n_spread: int = 5


class Kept:
    """Answers that take long, by their questions, in a file that is written after each.

    Parameters
    ----------
    path : path
        Of a JSON file; it need not be there. Its name says what else decides the answers.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers: dict[str, Any] = io.read_json(path) if path.is_file() else {}

    def __call__(self, question: str, ask: Callable[[], Any]) -> Any:
        """Give the answer that is kept, or ask, and keep what was said.

        Parameters
        ----------
        question : str
        ask : callable
            Gives what JSON can hold.
        """
        if question not in self._answers:
            self._answers[question] = ask()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            io.write_json(self._path, self._answers, overwrite=True)
        return self._answers[question]


def compare(likelihood: Any, asked: Asked, seed: int, keep: Keep, say: Say) -> Given:
    """Fit what galaxies are compared with to the voxels of a likelihood.

    Parameters
    ----------
    likelihood : DiscLikelihood
    asked : Asked
    seed : int
        Of starts and injections.
    keep : callable
        Gives what was found before, such as `Kept`.
    say : callable
        Told of progress.
    """
    searches = _Searches(likelihood, asked, seed, keep, say)
    reference = searches.reference() if asked.bow_starts else None
    if not (asked.disc or asked.injections):
        return Given(reference)
    saturated, refined = searches.disc()
    calibration = searches.calibration() if asked.injections else None
    return Given(reference, saturated, calibration, refined)


class _Searches:
    """What is asked of the voxels; what was found before is not prepared for."""

    def __init__(self, likelihood: Any, asked: Asked, seed: int, keep: Keep, say: Say) -> None:
        self._likelihood, self._asked, self._seed = likelihood, asked, seed
        self._keep, self._say = keep, say

    @cached_property
    def _bow(self) -> Any:
        from pipeline.falsify.cube.reference import best_scene

        starts = self._asked.bow_starts
        self._say(f"the best bow shock, from {starts} starts")
        return best_scene(self._likelihood, starts, self._seed)

    @cached_property
    def _judge(self) -> Any:
        from pipeline.falsify.cube.calibrate import Judge

        return Judge(self._likelihood)

    def reference(self) -> Reference:
        """Give the best bow shock."""
        starts = self._asked.bow_starts

        def ask() -> dict[str, Any]:
            best = self._bow
            return {
                "scene": best.scene,
                "log_likelihood": best.log_likelihood,
                "n_found": best.n_found,
            }

        found = self._keep(f"bow shock of {starts} starts", ask)
        words = f"best of {starts} searches, which {found['n_found']} of them found"
        return Reference(BOW, found["scene"], found["log_likelihood"], words)

    def disc(self) -> tuple[Saturated, Refined]:
        """Give the saturated scene, and the best disc."""

        def ask() -> dict[str, Any]:
            self._say("the saturated scene, and the best disc")
            judge = self._judge
            found = judge.statistic()
            disc = found.disc
            return {
                "chi2_saturated": float(found.chi2_saturated),
                "dof": float(self._likelihood.seen.noise.count - judge.saturated.n_free),
                "parameters": dict(disc.parameters),
                "log_likelihood": disc.evaluation.log_likelihood,
                "chi2": disc.evaluation.chi2,
                "converged": disc.evaluation.converged,
                "ends": [float(end) for end in disc.ends],
            }

        found = self._keep("disc", ask)
        refined = Refined(
            found["parameters"],
            found["log_likelihood"],
            found["chi2"],
            found["converged"],
            tuple(found["ends"]),
        )
        return Saturated(found["chi2_saturated"], found["dof"]), refined

    def calibration(self) -> Calibration:
        """Give T where a disc is the truth, and how often it rejects the best bow shock."""
        from pipeline.falsify.cube import calibrate

        count, seed = self._asked.injections, self._seed
        # All are injected as bright as the first, whatever a machine rounds otherwise.
        strength = self._keep("strength", lambda: float(self._judge.strength()))
        found = [self._injected(number, strength) for number in range(count)]
        values = np.array([one["t"] for one in found])
        converged = np.array([bool(one["converged"]) for one in found])
        tried = calibrate.Calibration(values, converged, seed, strength)
        words = f"{count} injected galaxies of seed {seed}"
        n_bow, n_rejected = 0, 0
        if self._asked.bow_starts:
            # Could the test have said otherwise? The best bow shock, with other noise.
            n_bow = -(-count // _PER_BOW)
            n_rejected = int(np.count_nonzero(self._bows(n_bow) > tried.threshold))
            words += f", and the best bow shock in {n_bow} draws of noise"
        low = np.where(converged, values, values.min())
        return Calibration(
            tried.threshold,
            calibrate.bound_of(low, tried.level),
            float(tried.level),
            count,
            n_bow,
            n_rejected,
            words,
        )

    def _injected(self, number: int, strength: float) -> dict[str, float]:
        """Give T of a disc that is injected, and whether its search converged."""

        def ask() -> dict[str, float | str]:
            tried = self._judge.calibrate(1, self._seed, strength, number)
            (t,), (converged,) = tried.values, tried.converged
            self._say(f"galaxy {number + 1}/{self._asked.injections} is injected: T = {t:.1f}")
            return packed({"t": t, "converged": converged})

        return unpacked(self._keep(f"injected disc {number}", ask))

    def _bows(self, count: int) -> Any:
        """Give T of the best bow shock in draws of noise, shape (count,)."""

        def ask() -> dict[str, float | str]:
            self._say(f"the best bow shock is injected {count} times")
            values = self._judge.others(self._bow.shown, count, self._seed)
            return packed({str(number): t for number, t in enumerate(values)})

        question = f"{count} injected bow shocks of {self._asked.bow_starts} starts"
        found = unpacked(self._keep(question, ask))
        return np.array([found[str(number)] for number in range(count)])
