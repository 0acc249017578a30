"""What can be typed after `rbh1 acquire cutout`?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.acquire.situation import FILE, Situation, common
from pipeline.guard import guarded

if TYPE_CHECKING:
    from pipeline.acquire.cutouts.plan import CutoutRequest


def _numbers(
    _ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """Read numbers with a separator between them, as many as the metavar has words."""
    if value is None:
        return None
    example = str(param.metavar)
    separator = ":" if ":" in example else ","
    try:
        numbers = tuple(float(part) for part in value.split(separator))
    except ValueError:
        numbers = ()
    if len(numbers) != len(example.split(separator)):
        raise click.BadParameter(f"{value!r} is not like {example}")
    return numbers


@click.command("cutout")
@click.argument("name")
@common
@click.option("--out", type=FILE, required=True, help="The FITS file to write.")
@click.option("--extension", "extensions", multiple=True, metavar="NAME[,VERSION]",
              help="Images to cut (default: SCI).")  # fmt: skip
@click.option("--table", "tables", multiple=True, metavar="NAME[,VERSION]",
              help="Tables to take whole.")  # fmt: skip
@click.option("--centre", metavar="RA,DEC", callback=_numbers,
              help="Centre, deg ICRS (default: the target).")  # fmt: skip
@click.option("--size", "size_arcsec", type=click.FloatRange(0, min_open=True), default=10.0,
              show_default=True, help="Length of the sides, arcsec.")  # fmt: skip
@click.option("--box", metavar="X0,X1,Y0,Y1", callback=_numbers,
              help="Pixels from 0, ends not included, instead of centre and size.")  # fmt: skip
@click.option("--wave", "wave_um", metavar="FROM:TO", callback=_numbers,
              help="Wavelengths of a cube, um.")  # fmt: skip
@click.option("--limit", "limit_mb", type=click.FloatRange(0, min_open=True), default=512.0,
              show_default=True, help="The most that may come, MB.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the file --out.")
@click.option("--dry-run", is_flag=True, help="Say what it would take; read headers only.")
@guarded
def cutout_command(*, name: str, out: Path, dry_run: bool, overwrite: bool, **options: Any) -> None:
    """Get a part of the archive's file NAME without the rest, by byte ranges.

    A cut-out cannot be held against a checksum of the whole file, and says so in its header.
    """
    from pipeline.acquire.cutouts import show
    from pipeline.acquire.cutouts.cutout import carry_out
    from pipeline.acquire.cutouts.plan import plan_cutout
    from pipeline.acquire.http import ArchiveSession
    from pipeline.acquire.transfer import Wanted

    scene = Situation.of(options)
    file = scene.locked(name)
    if scene.offline:
        raise click.UsageError("a cut-out comes from the archive: it cannot be had --offline")
    if out.exists() and not (overwrite or dry_run):
        raise click.UsageError(f"there is a file {out}: name another, or give --overwrite")
    request = _cutout_request(scene, options)
    with ArchiveSession(scene.network) as session:
        wanted = Wanted(file.uri, file.name, file.size)
        plan = plan_cutout(session, wanted, request, scene.waiter)
        if dry_run:
            show.plan(plan, options["as_json"])
            return
        cutout = carry_out(plan)
    cutout.write(out, overwrite=overwrite)
    show.result(cutout, out, options["as_json"])


def _cutout_request(scene: Situation, options: dict[str, Any]) -> "CutoutRequest":
    from manifests.target import load_target
    from pipeline.acquire.cutouts.boxes import PixelBox, SkyBox
    from pipeline.acquire.cutouts.plan import CutoutRequest

    place: SkyBox | PixelBox
    if options["box"] is not None:
        if options["centre"] is not None:
            raise click.UsageError("--box goes without --centre")
        x0, x1, y0, y1 = map(int, options["box"])
        place = PixelBox(x0, x1, y0, y1)
    else:
        anchor = load_target(scene.selection.target).anchor
        ra, dec = options["centre"] or (anchor.ra_deg, anchor.dec_deg)
        place = SkyBox(ra, dec, options["size_arcsec"])
    return CutoutRequest(
        place,
        options["extensions"] or ("SCI",),
        options["wave_um"],
        options["tables"],
        int(options["limit_mb"] * 1e6),
    )
