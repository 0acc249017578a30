"""``rbh1-release fetch``: get a published bundle, some of its files, or one part of a file."""

from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from ard.bundle import Bundle, human_size
from ard.errors import ArdError, IntegrityError
from ard.opening import open as open_bundle
from ard.remote import is_reference
from release.commands.bars import Bars
from release.commands.common import (
    COULD_NOT_RUN,
    FAILED,
    PATH,
    json_option,
    log_console,
    print_json,
    stop,
)
from release.counting import count
from release.fetch import Fetched, Order, carry_out, order_all, order_files, order_part

_WHAT: Final = "say what to fetch: --product NAME (once or more), or --all; --dry-run shows a list"


@click.command("fetch")
@click.argument("doi", callback=lambda _context, _option, value: _reference(value))
@click.option(
    "--product",
    "products",
    multiple=True,
    metavar="NAME",
    help="A product or document, or a kind of which there is one (cube).",
)
@click.option("--hdu", metavar="NAME", help="Only this HDU of the product, by name or number.")
@click.option("--member", metavar="NAME", help="Only this member of the product, a zip.")
@click.option("--all", "everything", is_flag=True, help="The whole bundle, into a new folder.")
@click.option(
    "--out",
    type=PATH,
    metavar="DIR",
    help="Folder to write to; the current one, for --all a new one named after the DOI.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be fetched, and stop.")
@json_option
def fetch_command(
    *,
    doi: str,
    products: tuple[str, ...],
    hdu: str | None,
    member: str | None,
    everything: bool,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Get a published bundle by its DOI, or as little of it as is needed."""
    part = _part(products, hdu, member, everything)
    if not (products or everything or dry_run):
        raise click.UsageError(_WHAT)
    log = log_console()
    try:
        with Bars(log) as bars:
            bundle = open_bundle(doi, progress=bars)
            order = _order(bundle, products, part, out)
            if dry_run:
                fetched = None
            else:
                _say_cost(log, order)
                bars.expect(order.cost)
                fetched = carry_out(order)
    except IntegrityError as error:
        stop(log, error, FAILED)
    except (ArdError, OSError) as error:
        stop(log, error, COULD_NOT_RUN)
    _show(order, fetched, as_json)


def _reference(value: str) -> str:
    if not is_reference(value):
        raise click.BadParameter(f"{value!r} is not a DOI or the address of a record")
    return value


def _part(
    products: tuple[str, ...], hdu: str | None, member: str | None, everything: bool
) -> str | None:
    """Find out which part is meant, and refuse what contradicts itself."""
    if everything and (products or hdu or member):
        raise click.UsageError("--all goes without --product, --hdu and --member")
    if hdu and member:
        raise click.UsageError("give --hdu or --member, not both")
    part = hdu or member
    if part and len(products) != 1:
        raise click.UsageError("--hdu and --member go with one --product")
    return part


def _order(bundle: Bundle, products: tuple[str, ...], part: str | None, out: Path | None) -> Order:
    if not products:
        return order_all(bundle, out)
    if part is not None:
        return order_part(bundle, products[0], part, out or Path())
    return order_files(bundle, products, out or Path())


def _say_cost(log: Console, order: Order) -> None:
    here = order.size - order.cost
    text = f"{count(len(order.items), 'file')}, {human_size(order.cost)} to fetch"
    if here:
        text += f", {human_size(here)} in the cache"
    log.print(text, soft_wrap=True)


def _show(order: Order, fetched: Fetched | None, as_json: bool) -> None:
    if as_json:
        document = order.to_dict()
        if fetched is not None:
            document["detours"] = list(fetched.detours)
        print_json(document)
    elif fetched is not None:
        for path in fetched.paths:
            click.echo(path)
    else:
        _show_order(order)


def _show_order(order: Order) -> None:
    bundle = order.bundle
    title = f"{bundle.doi}: {count(len(order.items), 'file')}, {human_size(order.cost)} to fetch"
    table = Table("file", "kind", "size", "to fetch", title=title)
    for item in order.items:
        sizes = human_size(item.size), human_size(item.cost)
        table.add_row(item.name, item.file.kind, *sizes)
    Console(highlight=False, markup=False).print(table)
