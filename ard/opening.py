"""Where is a bundle, and is it whole?

A text is the path of a folder, or names a published record; a folder of that name wins.
"""

import os
from pathlib import Path

from ard.bundle import Bundle
from ard.integrity import Level
from ard.remote import is_reference, open_record
from ard.source import LocalSource, Source, Watcher


def open(
    bundle: str | os.PathLike[str],
    verify: Level = "fast",
    *,
    cache: str | os.PathLike[str] | None = None,
    offline: bool = False,
    progress: Watcher | None = None,
) -> Bundle:
    """Open a bundle: is it whole, and what does it hold?

    Parameters
    ----------
    bundle : path-like or str
        The folder of the bundle, or its DOI: ``10.5281/zenodo.N``, also after ``doi:`` or
        ``https://doi.org/``, or the address of the record's page. The DOI of the dataset in all
        versions opens the latest. Where there is a folder of that name, it is the folder.
    verify : {"fast", "full", "none"}
        ``fast`` looks at names, presence, sizes and the agreement of both lists, and of the lists
        with the archive's own; ``full`` reads every byte as well, which fetches every file;
        ``none`` reads the manifest only.
    cache : path-like, optional
        Where to keep what is fetched, if not in RBH1_CACHE_DIR or the platform's usual place.
    offline : bool
        Open a DOI from what was fetched before, and ask nobody.
    progress : callable, optional
        Told how far each file has come, as an `ard.source.Progress`.

    Returns
    -------
    Bundle
        Of one that is opened by DOI, each file is fetched when it is asked for.

    Raises
    ------
    NotFoundError
        If there is no such folder or record, or the record was withdrawn.
    IntegrityError
        If anything is wrong; it lists every finding.
    RemoteError
        If the archive cannot be reached, or gives an answer that cannot be used.
    """
    source = open_source(bundle, cache=cache, offline=offline, progress=progress)
    findings = source.verify(verify)
    if findings:
        raise source.not_intact(findings)
    return Bundle(source, source.manifest())


def open_source(
    bundle: str | os.PathLike[str],
    *,
    cache: str | os.PathLike[str] | None = None,
    offline: bool = False,
    progress: Watcher | None = None,
) -> Source:
    """Find out where a bundle is, without judging it; parameters and errors as `open`."""
    if isinstance(bundle, str) and is_reference(bundle) and not Path(bundle).exists():
        return open_record(bundle, cache=cache, offline=offline, watch=progress)
    return LocalSource(Path(bundle))
