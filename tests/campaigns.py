"""A campaign whose likelihood is a Gaussian over the unit cube, and what is said of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ard import layout
from manifests import load_acceptance
from pipeline.falsify.surface import exclusion, report, survivors
from pipeline.falsify.surface.exclusion import Calibration, Field, Refined, Saturated
from pipeline.falsify.surface.report import Campaign, Judged
from pipeline.falsify.surface.survey import BOW, Evaluations, Reference, Settings, survey
from pipeline.falsify.surface.survivors import Rule

SHA = "cd" * 32
AXES = ("r_d_kpc", "gas_fraction", "vmax_kms")
CENTRE, WIDTH = np.array([0.5, 0.45, 0.55]), np.array([0.08, 0.1, 0.09])
BEST = 1000.0  # ln L at the peak
CHI2 = 5000.0  # there


def gaussian(n: int, seed: int = 3, *, rejected: bool = True, unconverged: int = 2) -> Evaluations:
    """Give models drawn over the unit cube; what two filters reject has no likelihood.

    The last parameter of `AXES` is a fact, known of all models but those that `fast` rejects. All
    have light in `FIELD`.
    """
    rng = np.random.default_rng(seed)
    places = rng.random((n, 3))
    z = (places - CENTRE) / WIDTH
    log_likelihood = BEST - 0.5 * np.square(z).sum(axis=1)
    fast, thick = places[:, 2] > 0.9, places[:, 0] > 0.85
    reasons = [
        tuple(name for name, bad in (("fast", f), ("thick", t)) if bad and rejected)
        for f, t in zip(fast, thick, strict=True)
    ]
    out = np.array([bool(row) for row in reasons])
    vmax = np.where(fast & rejected, np.nan, places[:, 2])
    converged = ~out
    # Far from the peak, and still not excluded by that.
    far = np.flatnonzero(converged & (np.abs(z[:, 0]) > 4.0))[:unconverged]
    converged[far] = False
    found = np.where(out, np.nan, log_likelihood)
    parameters = {
        "r_d_kpc": places[:, 0],
        "gas_fraction": places[:, 1],
        "r_max_kpc": rng.uniform(18.0, 28.0, n),
        "centre_kpc": rng.uniform(36.0, 44.0, n),
    }
    return Evaluations(
        np.arange(n),
        parameters,
        tuple(reasons),
        {"vmax_kms": vmax},
        found,
        np.where(out, np.nan, CHI2 - 2.0 * (log_likelihood - BEST)),
        {"v_sys_kms": np.where(out, np.nan, places[:, 0])},
        converged,
    )


REFERENCE = Reference(BOW, "bow", BEST + 3.0, "a test")
CALIBRATION = Calibration(12.0, 11.0, 0.95, 200, 50, 45, "a test")
SATURATED = Saturated(CHI2 - 100.0, 4900)
REFINED = Refined(
    {"r_max_kpc": 20.0, "v_max_kms": 110.0},
    BEST,
    CHI2,
    True,
    (BEST - 9.0, BEST - 9.01, BEST - 40.0),
)
FIELD = Field(53.0, 66.0)
SETTINGS = Settings(n_bin=5, n_bin_pair=3, axes=AXES)
RULE = Rule(2, 2)
LABEL = "toy"
OF_A_TABLE = {"kind": "table", "disc_kind": "razor"}  # settings of a campaign


def campaign_of(evaluations: Evaluations, **more: Any) -> Campaign:
    """Give the campaign that these are the models of."""
    settings: Mapping[str, Any] = {"kind": "random", "disc_kind": "razor"}
    given = {"name": "toy", "n_model": len(evaluations), "seed": 3, "settings": settings,
             "settings_sha256": SHA}  # fmt: skip
    return Campaign(**{**given, **more})


def document_of(
    evaluations: Evaluations,
    *,
    reference: Reference | None = REFERENCE,
    saturated: Saturated | None = SATURATED,
    calibration: Calibration | None = CALIBRATION,
    refined: Refined | None = REFINED,
    field: Field | None = FIELD,
    rule: Rule = RULE,
    **more: Any,
) -> dict[str, Any]:
    """Give the surface document of a campaign, without a record of what made it."""
    acceptance, campaign = load_acceptance(), campaign_of(evaluations, **more)
    surface = survey(evaluations, campaign.n_model, reference, acceptance, SETTINGS,
                     drawn=campaign.drawn)  # fmt: skip
    found = exclusion.judge(surface, evaluations, acceptance, saturated=saturated,
                            calibration=calibration, refined=refined,
                            field=field)  # fmt: skip
    judged = Judged(found, saturated, calibration, refined, field)
    kept = [(one, layout.kept_files("t001", LABEL, rank)) for rank, one in
            enumerate(survivors.choose(evaluations, surface, rule), 1)]  # fmt: skip
    return {
        "schema": "surface",
        "item": "t001",
        "simulated": True,
        "campaign": {**asdict(campaign), "label": LABEL},
        **report.document_of(evaluations, surface, judged, acceptance, {}),
        "kept": report.kept_of(evaluations, surface, rule, kept),
        "provenance": None,
    }
