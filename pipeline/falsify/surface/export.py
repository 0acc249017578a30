"""How does a campaign end among the products of its run, so that it is judged with the others?

Table, surface, galaxies that are kept and figures are written below work/ with their provenance,
and put among the products at once. A campaign that is not complete can be looked at in this way;
the judge says that it is not, and no release is made of it.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import ard
from ard import io, layout
from ard.cube import Cube
from ard.errors import ArdError
from ard.fileio import atomic_write_bytes
from ard.provenance import Provenance
from manifests.acceptance import Acceptance, load_acceptance
from manifests.target import load_target
from pipeline import fit_inputs, fitted, folder
from pipeline.code import code_sha256, tool_versions
from pipeline.falsify.surface import exclusion, report, survivors
from pipeline.falsify.surface.report import Campaign, Judged
from pipeline.falsify.surface.survey import Evaluations, Reference, Settings, Surface, survey
from pipeline.falsify.surface.survivors import Kept, Rendered, Renderer, Rule
from pipeline.falsify.surface.table import write_evaluations
from pipeline.figures import campaign as drawing
from pipeline.fit_inputs import Inputs, inputs_of
from pipeline.reduce.apertures.covariance import read_given_noise
from pipeline.values import sha256_of

# The code that decides a number of the campaign, or of what is said of it.
_CODE: Final = (*fit_inputs.CODE, "pipeline/falsify")
_LABEL: Final = re.compile(r"[a-z0-9]{1,4}")
# Of the cube's keywords, those of the observation: products of a dataset are named by them.
_OBSERVATION: Final = (
    *("TELESCOP", "INSTRUME", "GRATING", "FILTER", "CHANNEL", "BAND", "TARGNAME"),
    *("TIMESYS", "DATE-BEG", "DATE-END", "XPOSURE", "EFFEXPTM", "EXPTIME", "PROGRAM", "PROPOSID"),
)

# For a fit, or another campaign, that puts its products there.
_WAIT_S: Final = 60.0

type Say = Callable[[str], None]


@dataclass(frozen=True)
class Given:
    """What other fits of the same voxels say, as far as it is known.

    Attributes
    ----------
    reference : Reference, optional
        The best bow shock, or the saturated scene.
    saturated : Saturated, optional
    calibration : Calibration, optional
    refined : Refined, optional
    """

    reference: Reference | None = None
    saturated: exclusion.Saturated | None = None
    calibration: exclusion.Calibration | None = None
    refined: exclusion.Refined | None = None


@dataclass(frozen=True)
class How:
    """How a campaign is exported.

    Attributes
    ----------
    settings : Settings
        Of the surface.
    rule : Rule
        Which galaxies are kept.
    units : mapping of str to str
        Of parameters, facts and nuisances whose name does not say it.
    """

    settings: Settings = field(default_factory=Settings)
    rule: Rule = field(default_factory=Rule)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes
    ----------
    sentence : str
    document : mapping
        The surface document.
    paths : mapping of str to path
        The products, by name below products/.
    """

    sentence: str
    document: Mapping[str, Any]
    paths: Mapping[str, Path]


def label_of(campaign: str) -> str:
    """Give the word for a campaign in file names: its name, if that is short, or of its digest."""
    if _LABEL.fullmatch(campaign):
        return campaign
    return hashlib.sha256(campaign.encode()).hexdigest()[:4]


def export_campaign(
    evaluations: Evaluations,
    campaign: Campaign,
    root: Path,
    item: str,
    *,
    render: Renderer,
    given: Given | None = None,
    how: How | None = None,
    say: Say = lambda _: None,
) -> Exported:
    """Write the products of a campaign, and put them among those of its run.

    Parameters
    ----------
    evaluations : Evaluations
        What the ledger of the campaign holds.
    campaign : Campaign
    root : path
        The run folder.
    item : str
        The cube that the campaign was held against.
    render : callable
        Gives a model and its evaluation as `Rendered`.
    given : Given, optional
    how : How, optional
    say : callable
        Told of progress.

    Raises
    ------
    ArdError
        If the folder holds no finished run, nothing was evaluated or rejected, or files of another
        campaign lie under the same names.
    """
    told, chosen = given or Given(), how or How()
    inputs = inputs_of(root, item)
    acceptance = load_acceptance()
    surface = survey(evaluations, campaign.n_model, told.reference, acceptance, chosen.settings,
                     drawn=campaign.drawn)  # fmt: skip
    cube = ard.read_cube(inputs.cube)
    work = _Work(inputs, label_of(campaign.name), cube, _provenance(inputs, campaign, told, chosen,
                                                                    cube.simulated))  # fmt: skip
    work.require_own(campaign.name)
    files = work.files
    write_evaluations(files["evaluations"], evaluations, campaign=campaign.name,
                      n_model=campaign.n_model, units=chosen.units, meta=work.meta,
                      provenance=work.provenance)  # fmt: skip
    kept = survivors.choose(evaluations, surface, chosen.rule)
    say(f"{len(kept)} galaxies are kept of {len(evaluations)}")
    made = _render(work, evaluations, kept, render, say)
    document = _document(work, campaign, evaluations, surface, acceptance, told=told, how=chosen,
                         kept=list(zip(kept, made, strict=True)))  # fmt: skip
    io.write_json(files["surface"], document, overwrite=True)
    for name, drawn in (
        ("profiles", drawing.profiles(surface=document)),
        ("pairs", drawing.pairs(surface=document)),
        ("filters", drawing.filters(surface=document)),
    ):
        work.write_figure(name, drawn)
    return Exported(document["sentence"], document, _collect(root, item, work))


class _Work:
    """The files of a campaign below work/."""

    def __init__(self, inputs: Inputs, label: str, cube: Cube, provenance: Provenance) -> None:
        self.inputs, self.label, self.cube, self.provenance = inputs, label, cube, provenance
        self.place = inputs.root / layout.CAMPAIGNS_DIR
        self.place.mkdir(parents=True, exist_ok=True)
        named = layout.campaign_files(inputs.item, label)
        self.files = {key: self.place / name for key, name in named.items()}
        self.made: set[Path] = set(self.files.values())
        self.meta = {key: cube.meta[key] for key in _OBSERVATION if key in cube.meta}

    def require_own(self, campaign: str) -> None:
        """Refuse files of another campaign; take away galaxies that an earlier export kept.

        Raises
        ------
        ArdError
            If there are any.
        """
        if self.files["surface"].is_file():
            found = io.read_json(self.files["surface"])["campaign"]["name"]
            if found != campaign:
                raise ArdError(
                    "two campaigns would have files of the same names",
                    file=self.files["surface"],
                    expected=f"files of {campaign}",
                    found=f"files of {found}",
                    action="give one of them another name",
                )
        for product in (layout.DISC_CUBE, layout.DISC_RESIDUAL, layout.DISC_MAP):
            stem = layout.product_stem(self.inputs.item, product, self.label)
            for path in self.place.glob(f"{stem}-[0-9][0-9].fits"):
                path.unlink()

    def of_table(self) -> Provenance:
        """Give the record of what is made from the table besides."""
        path = self.files["evaluations"]
        more = {path.relative_to(self.inputs.root).as_posix(): io.sha256_file(path)}
        record = {**self.provenance.to_dict(), "inputs": {**self.provenance.inputs, **more}}
        return Provenance.from_dict(record)

    def write_figure(self, name: str, drawn: Mapping[str, Any]) -> None:
        """Write a figure, and the data behind it; neither where there is nothing to show."""
        if not len(drawn["data"]):
            self.leave_out(name)
            return
        atomic_write_bytes(self.files[name], drawn["figure"], overwrite=True)
        data = ard.Table(drawn["data"].data, drawn["data"].meta, self.of_table())
        io.write(self.files[f"{name}_data"], data, overwrite=True)

    def leave_out(self, name: str) -> None:
        """Take away a figure that an earlier export made."""
        for key in (name, f"{name}_data"):
            self.files[key].unlink(missing_ok=True)
            self.made.discard(self.files[key])


def _render(
    work: _Work, evaluations: Evaluations, kept: tuple[Kept, ...], render: Renderer, say: Say
) -> list[dict[str, str]]:
    """Write cubes and maps of the galaxies that are kept, and a figure of the best; give names."""
    names = []
    for rank, one in enumerate(kept, 1):
        rendered = render(*survivors.row_of(evaluations, one.number))
        model, residual = survivors.cubes_of(rendered, work.cube, work.of_table())
        named = layout.kept_files(work.inputs.item, work.label, rank)
        motion = survivors.map_of(rendered, work.of_table())
        for key, product in (("cube", model), ("residual", residual), ("map", motion)):
            io.write(work.place / named[key], product, overwrite=True)
            work.made.add(work.place / named[key])
        names.append(named)
        say(f"galaxy {rank}/{len(kept)}: model {one.number}, {one.why}")
        if rank == 1:
            work.write_figure("best", _drawn(work, rendered, one.number))
    if not kept:
        work.leave_out("best")
    return names


def _drawn(work: _Work, rendered: Rendered, number: int) -> dict[str, Any]:
    from pipeline.figures import residuals as left_figure  # JAX is asked for only here

    inputs, target = work.inputs, load_target(work.inputs.target)
    left = survivors.residuals_of(rendered, work.cube, read_given_noise(inputs.noise), target)
    title = f"{inputs.item}: best galaxy of the campaign, model {number}"
    if not left.lines:
        raise ArdError(
            "the best galaxy has no light about any line",
            expected=f"a line of {target.name} in the channels that are looked at",
            found=f"{left.wave[0]:.4f} to {left.wave[-1]:.4f} um",
            action="see whether the renderer and the run are of the same target",
        )
    return left_figure.run(
        residuals=left, title=title, target=target, simulated=work.provenance.simulated
    )


def _document(
    work: _Work,
    campaign: Campaign,
    evaluations: Evaluations,
    surface: Surface,
    acceptance: Acceptance,
    *,
    told: Given,
    how: How,
    kept: list[tuple[Kept, dict[str, str]]],
) -> dict[str, Any]:
    field = _field(work, campaign)
    found = exclusion.judge(
        surface, evaluations, acceptance, saturated=told.saturated, calibration=told.calibration,
        refined=told.refined, field=field,
    )  # fmt: skip
    judged = Judged(found, told.saturated, told.calibration, told.refined, field)
    return {
        "schema": "surface",
        "item": work.inputs.item,
        "simulated": work.provenance.simulated,
        "campaign": {**asdict(campaign), "label": work.label},
        **report.document_of(evaluations, surface, judged, acceptance, how.units),
        "kept": report.kept_of(evaluations, surface, how.rule, kept),
        "provenance": work.of_table().to_dict(),
    }


def _field(work: _Work, campaign: Campaign) -> exclusion.Field:
    """Say which part of the line of light the galaxies of a campaign were held against."""
    from pipeline.falsify.cube import placing  # JAX is asked for only here
    from pipeline.falsify.cube.likelihood import Settings as Likelihood
    from pipeline.infer.cutout import Cut, cutout

    target, cut = load_target(work.inputs.target), Cut(**campaign.settings.get("cut", {}))
    noise = read_given_noise(work.inputs.noise)
    seen = cutout(work.cube, noise, target, Likelihood().groups, cut)
    return exclusion.Field(*placing.field_kpc(seen, placing.host_arcsec(target)))


def _provenance(
    inputs: Inputs, campaign: Campaign, told: Given, how: How, simulated: bool
) -> Provenance:
    said = {"campaign": campaign.settings_sha256, "given": asdict(told), "how": asdict(how)}
    return Provenance(
        fitted.CAMPAIGN_STAGE,
        ard.__version__,
        code_sha256(_CODE),
        sha256_of(said),
        campaign.seed,
        simulated,
        inputs.digests,
        dict(tool_versions()),
    )


def _collect(root: Path, item: str, work: _Work) -> dict[str, Path]:
    state = root / layout.STATE_DIR
    with folder.locked(root, _WAIT_S):
        folder.clear_results(root)
        found = {n: p for n, p in fitted.products_of(root, (item,)).items() if p in work.made}
        fitted.forget(root, state / folder.PLAN_FILE)
        fitted.collect(root, found, state / folder.PLAN_FILE)
    return {name: root / layout.PRODUCTS_DIR / name for name in found}
