"""How do the products of a run fit into a deposit?

A deposit takes 100 files and 50 GB. FITS files are loose, so that one HDU can be fetched by its
bytes. A folder travels as a stored zip, or as several where one would exceed 2 GB: what is broken
off is sent again as a whole. Other products are loose as long as there is room, and share one zip a
layer where there is not. The same products always give the same files.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ard import layout
from ard.bundle import human_size
from release.model import DEPOSIT, Limits, PlannedFile
from release.pack import archive_size, shards


@dataclass(frozen=True)
class Found:
    """A product of a run that has no place in the bundle yet.

    Attributes
    ----------
    layer, name : str
        Its layer, and the name of its file or folder there.
    members : mapping of str to Path
        The file by its name, or the files of the folder by theirs.
    sizes : mapping of str to int
        Bytes of each.
    is_folder : bool
        Whether it is a folder.
    title : str or None
        The name that a FITS product has in the bundle; None for any other.
    """

    layer: str
    name: str
    members: Mapping[str, Path]
    sizes: Mapping[str, int]
    is_folder: bool = False
    title: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(self.sizes.values())


def arrange(
    products: Iterable[Found],
    papers: Sequence[PlannedFile],
    *,
    comment: str = "",
    limits: Limits = DEPOSIT,
) -> tuple[tuple[PlannedFile, ...], tuple[str, ...]]:
    """Say which files hold the products, and what does not fit.

    Parameters
    ----------
    products : iterable of Found
        The products; their order does not matter.
    papers : sequence of PlannedFile
        The files about the whole bundle, which take room as well.
    comment : str
        Text that each zip bears.
    limits : Limits
        What the deposit takes.

    Returns
    -------
    files : tuple of PlannedFile
        In the order of layers and names, then the papers.
    problems : tuple of str
        One sentence each; empty where everything fits.
    """
    rules = _Rules(limits, comment)
    found = sorted(products, key=lambda product: (product.layer, product.name))
    problems = [text for product in found for text in rules.against(product)]
    if problems:
        return (), tuple(problems)
    files = [file for product in found if product.is_folder for file in rules.zips(product)]
    single = [product for product in found if not product.is_folder]
    small = [product for product in single if product.title is None and rules.is_small(product)]
    total = len(files) + len(single) + len(papers)
    packed = rules.layers_to_pack(small, total - limits.files)
    inside = {(p.layer, p.name): p for p in small if p.layer in packed}
    files += [rules.loose(p) for p in single if (p.layer, p.name) not in inside]
    for layer in packed:
        files += rules.shared([p for p in inside.values() if p.layer == layer], total)
    files.sort(key=lambda file: (layout.LAYERS.index(file.layer or ""), file.name))
    everything = (*files, *papers)
    return everything, tuple(rules.excess(everything))


@dataclass(frozen=True)
class _Rules:
    """What a deposit takes, and the text that each zip bears."""

    limits: Limits
    comment: str

    def against(self, product: Found) -> Iterator[str]:
        """Say what keeps a product from being put into a zip."""
        label = f"{product.layer}/{product.name}"
        if layout.SUMS_FILE in product.members:
            yield f"{label}: a zip keeps {layout.SUMS_FILE} for its own list; use another name"
        if layout.is_packed(product.name.partition(".")[0]):
            yield f"{label}: the name is kept for a zip of small products; use another one"
        for name, size in product.sizes.items():
            if product.is_folder and not self.fit({name: size}):
                yield (
                    f"{label}/{name} has {size} bytes, which do not fit into a zip of "
                    f"{self.limits.archive}: write the chain in blocks, each a smaller file"
                )

    def fit(self, sizes: Mapping[str, int]) -> bool:
        """Say whether files go into one zip."""
        return archive_size(sizes, self.comment) <= self.limits.archive

    def is_small(self, product: Found) -> bool:
        """Say whether a product may share a zip: who wants one of them fetches all."""
        return product.size <= self.limits.small and self.fit(product.sizes)

    def shards(self, sizes: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
        """Share files out over zips."""
        return shards(sizes, self.limits.archive, self.comment)

    def layers_to_pack(self, small: Iterable[Found], excess: int) -> tuple[str, ...]:
        """Choose the layers whose small products share a zip: as few as bring enough room."""
        sizes: dict[str, dict[str, int]] = {}
        for product in small:
            sizes.setdefault(product.layer, {}).update(product.sizes)
        saved = {layer: len(mine) - len(self.shards(mine)) for layer, mine in sizes.items()}
        packed = []
        for layer in sorted(saved, key=lambda layer: (-saved[layer], layout.LAYERS.index(layer))):
            if excess > 0 and saved[layer] > 0:
                packed.append(layer)
                excess -= saved[layer]
        return tuple(packed)

    def loose(self, product: Found) -> PlannedFile:
        """Plan a file for a product of one file."""
        plain = layout.plain_name(product.layer, product.name)
        if product.title is not None:
            why = "FITS files are loose, so that one HDU can be fetched by its bytes."
        elif self.is_small(product):
            why = "Small products are loose as long as the deposit has room for them."
        else:
            why = f"It is larger than {human_size(self.limits.small)}, and shares no zip."
        return PlannedFile(
            name=product.title or plain,
            layer=product.layer,
            product=Path(product.name).stem,
            sources=product.members,
            size=product.size,
            why=why,
        )

    def zips(self, product: Found) -> Iterator[PlannedFile]:
        """Plan one or more zips for a folder."""
        count = len(product.members)
        groups = self.shards(product.sizes)
        for number, names in enumerate(groups, start=1):
            why = f"A folder of {count} files travels as one stored zip."
            if len(groups) > 1:
                why = f"Part {number} of {len(groups)} of a folder of {count} files: no zip may "
                why += f"exceed {self._largest}."
            place = (product.layer, layout.shard(product.name, number if len(groups) > 1 else None))
            yield self._zip(place, product, names, why)

    def shared(self, products: Sequence[Found], total: int) -> Iterator[PlannedFile]:
        """Plan the zip, or the zips, that the small products of a layer share."""
        layer = products[0].layer
        members = {name: path for product in products for name, path in product.members.items()}
        sizes = {name: size for product in products for name, size in product.sizes.items()}
        everything = Found(layer, layout.PACKED, members, sizes, is_folder=True)
        groups = self.shards(sizes)
        why = f"{len(products)} small products of the layer share a zip, because the bundle would "
        why += f"have {total} files without such zips and a deposit takes {self.limits.files}."
        for number, names in enumerate(groups, start=1):
            place = (layer, layout.shard(layout.PACKED, number if len(groups) > 1 else None))
            yield self._zip(place, everything, names, why)

    def excess(self, files: Sequence[PlannedFile]) -> Iterator[str]:
        """Say by how much the deposit is too small, and where the files are."""
        if len(files) > self.limits.files:
            share = ", ".join(f"{name} {len(mine)}" for name, mine in _by_layer(files))
            yield (
                f"the bundle would have {len(files)} files, and a deposit takes "
                f"{self.limits.files} ({share}): put several maps into one FITS file, leave "
                "products out, or divide the release into several datasets"
            )
        size = sum(file.size or 0 for file in files)
        if size > self.limits.size:
            share = ", ".join(f"{name} {_total(mine)}" for name, mine in _by_layer(files))
            yield (
                f"the bundle would have {human_size(size)}, and a deposit takes "
                f"{human_size(self.limits.size)} ({share}): compress cubes without loss, leave "
                "products out, or divide the release into several datasets"
            )

    @property
    def _largest(self) -> str:
        return human_size(self.limits.archive)

    def _zip(
        self, place: tuple[str, str], found: Found, names: Sequence[str], why: str
    ) -> PlannedFile:
        layer, product = place
        return PlannedFile(
            name=layout.plain_name(layer, f"{product}.zip"),
            layer=layer,
            product=product,
            sources={name: found.members[name] for name in names},
            size=archive_size({name: found.sizes[name] for name in names}, self.comment),
            why=why,
        )


def _by_layer(files: Sequence[PlannedFile]) -> list[tuple[str, list[PlannedFile]]]:
    """Group files by layer, those with most files first; the papers under that name."""
    groups: dict[str, list[PlannedFile]] = {}
    for file in files:
        groups.setdefault(file.layer or "papers", []).append(file)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))


def _total(files: Sequence[PlannedFile]) -> str:
    return human_size(sum(file.size or 0 for file in files))
