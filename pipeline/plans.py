"""What is a run about: a simulated observation, a file of the user, or the archive's files?

A plan says which cubes there are, where their files are and which kinematic groups they can show,
before anything is computed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

import ard
from ard import layout
from ard.cube import Cube, FloatArray
from ard.errors import ArdError, NotFoundError
from manifests import Target
from manifests.acceptance import ACCEPTANCE_FILE
from manifests.filters import FILTERS_FILE
from manifests.shocks import SHOCKS_FILE
from manifests.target import TARGETS_DIR, load_target
from pipeline import fitted, shockgrids
from pipeline.code import code_sha256
from pipeline.config import RunConfig, make_config
from pipeline.graph import Files, Plan
from pipeline.stages import ARCHIVE, CUBE, STAGES, TWIN, Stage

TWIN_TARGET: Final = "rbh1"


def stages_for(source: str) -> tuple[Stage, ...]:
    """Give the stages of a kind of plan, in order."""
    return tuple(stage for stage in STAGES if source in stage.sources)


def twin_plan(
    root: Path,
    config_file: Path | None = None,
    settings: Iterable[str] = (),
    base: Mapping[str, Mapping[str, Any]] | None = None,
) -> Plan:
    """Plan a run on a simulated observation.

    Parameters
    ----------
    root : path
        The run folder.
    config_file : path, optional
        TOML settings.
    settings : iterable of str
        ``stage.key=value``.
    base : mapping, optional
        Values below file and settings: what ``rbh1 demo`` was asked for.

    Raises
    ------
    ArdError
        If a setting is unknown or impossible.
    """
    from pipeline.simulate import geometry, headers, hst, twin

    config = make_config(config_file, settings, stages_for(TWIN), base)
    simulate = config["simulate"]
    files = {name: root / name for name in twin.file_names(simulate)}
    archive = {name.partition("/")[2]: path for name, path in files.items()}
    cubes = {p.item: archive[headers.ITEM_STEM.format(item=p.item)] for p in geometry.POINTINGS}
    exposures = {name: archive[name] for name in (f"{e.name}_s3d.fits" for e in geometry.EXPOSURES)}
    names = [hst.NAME.format(band=band.name.lower()) for band in hst.BANDS]
    images = {name: archive[name] for name in names}
    edges = _edges(geometry.window(simulate.size).wave)
    inputs: dict[str, Files] = {
        "target": TARGETS_DIR / f"{TWIN_TARGET}.toml",
        "exposures": exposures,
        "images": images,
        "truth": files[f"{layout.TRUTH_DIR}/{twin.MAPS}"],
        "noiseless": files[f"{layout.TRUTH_DIR}/{twin.NOISELESS}"],
    }
    groups = _groups(edges, load_target(TWIN_TARGET))
    return _plan(root, TWIN, cubes, inputs, groups, config, simulated=True)


def cube_plan(
    root: Path,
    cube: Path,
    target: Path | str,
    config_file: Path | None = None,
    settings: Iterable[str] = (),
    *,
    x1d: Path | None = None,
) -> Plan:
    """Plan a run on one JWST s3d file.

    Parameters
    ----------
    root : path
        The run folder.
    cube : path
        The file.
    target : path or str
        The target's TOML file, or the name of a target that comes with the study.
    config_file, settings
        As for `twin_plan`.
    x1d : path, optional
        The archive's own spectrum of the cube, to compare ours with.

    Raises
    ------
    ArdError
        If the file is no s3d cube, shows no line of the target, or comes from an instrument whose
        line-spread function is not known.
    """
    cube = cube.resolve()
    config = make_config(config_file, settings, stages_for(CUBE))
    file = _target_file(target)
    declared = load_target(file)
    observed = _read_cube(cube)
    _require_lsf(observed, cube, config)
    groups = _groups(observed.wave_edges, declared)
    if not groups:
        raise ArdError(
            "the cube shows no line of the target",
            file=cube,
            expected=f"one of the lines {', '.join(line.name for line in declared.lines)} "
            f"at redshift {declared.redshift:g}",
            found="a wavelength range without them",
            action="check the redshift and the lines in the target's file",
        )
    inputs: dict[str, Files] = {"target": file}
    spectra = {} if x1d is None else {declared.item: _existing(x1d)}
    return _plan(root, CUBE, {declared.item: cube}, inputs, groups, config, x1d=spectra)


def archive_plan(
    root: Path,
    store: Path,
    lock: Path | None = None,
    selection: str | None = None,
    config_file: Path | None = None,
    settings: Iterable[str] = (),
) -> Plan:
    """Plan a run on the cubes that `rbh1 acquire` put into a store.

    Parameters
    ----------
    root : path
        The run folder.
    store : path
        The store.
    lock : path, optional
        The lock that the store was filled from; the study's own by default.
    selection : str, optional
        Its selection, a name or a TOML file; by default the one that the lock names.
    config_file, settings
        As for `twin_plan`.

    Raises
    ------
    ArdError
        If the store lacks a cube of the lock, or holds damaged ones.
    """
    from pipeline.acquire.supply import cubes_of

    config = make_config(config_file, settings, stages_for(ARCHIVE))
    supply = cubes_of(store, lock, selection)
    declared = load_target(supply.target)
    groups: set[str] = set()
    for path in supply.cubes.values():
        observed = _read_cube(path)
        _require_lsf(observed, path, config)
        groups.update(_groups(observed.wave_edges, declared))
    inputs: dict[str, Files] = {
        "target": _target_file(supply.target),
        "exposures": supply.exposures,
        "archive": supply.files,
        "lock": supply.lock,
    }
    if supply.images:
        inputs["images"] = supply.images
    ordered = tuple(group.name for group in declared.groups if group.name in groups)
    return _plan(
        *(root, ARCHIVE, supply.cubes, inputs, ordered, config),
        simulated=supply.simulated,
        x1d=supply.spectra,
    )


def _plan(
    root: Path,
    source: str,
    cubes: Mapping[str, Path],
    inputs: Mapping[str, Files],
    groups: tuple[str, ...],
    config: RunConfig,
    *,
    simulated: bool = False,
    x1d: Mapping[str, Path] | None = None,
) -> Plan:
    code = tuple(entry for stage in stages_for(source) for entry in stage.code)
    fits = fitted.products_of(root, tuple(cubes))
    more: dict[str, Files] = {fitted.INPUT: fits} if fits else {}
    models = shockgrids.choose(config["shocks"].grid, root, simulated=simulated)
    config, given = _with_models(config, models)
    return Plan(
        root=root,
        source=source,
        items=tuple(cubes),
        inputs={
            **inputs,
            **{"filters": FILTERS_FILE, "acceptance": ACCEPTANCE_FILE, "shocks": SHOCKS_FILE},
            **more,
            **given,
        },
        item_inputs={"cube": cubes} | ({"x1d": x1d} if x1d else {}),
        parts={"groups": groups},
        context={
            "source": source,
            "items": list(cubes),
            "simulated": simulated,
            "toy_grid": models is not None and models.synthetic,
            "code_version": ard.__version__,
            "code_sha256": code_sha256(code),
            "config_sha256": config.sha256,
        },
        config=config,
    )


def _with_models(
    config: RunConfig, models: shockgrids.Chosen | None
) -> tuple[RunConfig, dict[str, Files]]:
    """Give the files about shocks, and settings in which their names stand for their paths."""
    settings = config["shocks"]
    given: dict[str, Files] = {} if models is None else {"shockgrid": models.files}
    if settings.geometry:
        given["shockgeometry"] = _existing(
            Path(settings.geometry), "table of the geometry", "an ECSV table", "shocks.geometry"
        )
    name = "" if models is None else models.name
    plain = replace(settings, grid=name, geometry=Path(settings.geometry).name)
    return RunConfig({**config.stages, "shocks": plain}), given


def _target_file(target: Path | str) -> Path:
    path = Path(target)
    if path.suffix != ".toml":
        load_target(str(target))  # says which names there are
        path = TARGETS_DIR / f"{target}.toml"
    return path.resolve()


def _existing(
    path: Path,
    what: str = "spectrum",
    expected: str = "a JWST x1d FITS file",
    given: str = "--x1d",
) -> Path:
    if not path.is_file():
        raise NotFoundError(
            f"the {what} does not exist",
            file=path,
            expected=expected,
            found="a folder" if path.is_dir() else "no such file",
            action=f"check the path given with {given}",
        )
    return path.resolve()


def _groups(edges: FloatArray, target: Target) -> tuple[str, ...]:
    from pipeline.linemaps.spaxels import covered_groups

    return covered_groups(edges, target)


def _edges(wave: FloatArray) -> FloatArray:
    middle = 0.5 * (wave[1:] + wave[:-1])
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])


def _read_cube(path: Path) -> Cube:
    if not path.is_file():
        raise NotFoundError(
            "the cube does not exist",
            file=path,
            expected="a JWST s3d FITS file",
            found="a folder" if path.is_dir() else "no such file",
            action="check the path given with --cube",
        )
    try:
        return ard.read_cube(path)
    except ArdError as error:
        # The reader knows the name of the file only, or the one in its header.
        raise type(error)(
            error.problem,
            file=path,
            expected=error.expected,
            found=error.found,
            action=error.action,
        ) from error


def _require_lsf(cube: Cube, path: Path, config: RunConfig) -> None:
    # The stage that needs it would say so too, but only after minutes of computing.
    from pipeline.reduce.instruments import lsf_for

    known = config["linemaps"].resolving_power is not None or cube.lsf is not None
    if known or lsf_for(cube.meta, cube.wave) is not None:
        return
    keys = [key for key in ("INSTRUME", "GRATING", "CHANNEL", "BAND") if key in cube.meta]
    raise ArdError(
        "the line-spread function of this cube is not known",
        file=path,
        expected="an extension LSF, or an instrument that the study declares",
        found=", ".join(f"{key} {cube.meta[key]}" for key in keys) or "no instrument keywords",
        action="give the resolving power: --set linemaps.resolving_power=1000",
    )
