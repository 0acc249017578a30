"""May a bundle be written there, and how does it get its name without ever being half there?

The new bundle is written beside the final name. It then changes places with what is there, in one
step where the system has one, and both are on the disk before and after it.
"""

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ard import layout
from ard.errors import ArdError, IntegrityError
from ard.integrity import read_manifest
from ard.sums import quote

_PART: Final = ".part"
_OLD: Final = ".old"
# Bytes of the random part of a name.
_RANDOM: Final = 4
# linux/fcntl.h and linux/fs.h: relative to the working folder, and to change places.
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
# An older kernel, or a file system that cannot do it.
_CANNOT: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})


def require_place(run: Path, out: Path, *, overwrite: bool) -> None:
    """Refuse a place that holds anything but a bundle that may go, or that touches the run.

    Parameters
    ----------
    run : Path
        The run folder.
    out : Path
        Where the bundle is to be.
    overwrite : bool
        Whether a bundle that is there may go.

    Raises
    ------
    ArdError
        Says what is there.
    """
    if out.is_symlink() or out.exists():
        if not overwrite:
            raise ArdError(
                "there is something at the place for the bundle",
                file=out,
                expected="a name that is free",
                found="a folder" if out.is_dir() else "a file",
                action="choose another name, or give --overwrite if it is a bundle",
            )
        _require_disposable(out)
    here, there = out.resolve(), run.resolve()
    if there.is_relative_to(here) or here.is_relative_to(there / layout.PRODUCTS_DIR):
        raise ArdError(
            "the bundle cannot be written over the run or among its products",
            file=out,
            expected="a place that neither holds the run nor lies among its products",
            found=f"the run is {run}",
            action="choose another place",
        )


def _require_disposable(out: Path) -> None:
    """Refuse to lose anything but a bundle: what is not listed in it was put there by somebody."""
    if out.is_symlink() or not out.is_dir():
        raise ArdError("only a bundle can be overwritten", file=out, found="no folder")
    try:
        manifest = read_manifest(out)
    except IntegrityError as error:
        raise ArdError(
            "only a bundle can be overwritten, and this folder is none",
            file=out,
            expected=f"a folder with a sound {layout.MANIFEST_FILE}",
            found=error.problem,
            action="choose another name",
        ) from error
    listed = {entry.name for entry in manifest.entries}
    listed |= {layout.MANIFEST_FILE, layout.SUMS_FILE}
    foreign = sorted(
        path.name
        for path in out.iterdir()
        if path.name not in listed or path.is_symlink() or not path.is_file()
    )
    if foreign:
        raise ArdError(
            "the folder holds more than a bundle, which overwriting would delete",
            file=out,
            expected=f"the files that its {layout.MANIFEST_FILE} lists, and no others",
            found=", ".join(map(quote, foreign)),
            action="move these elsewhere, or choose another name",
        )


def leftovers(out: Path) -> tuple[Path, ...]:
    """List what builds of this bundle left beside it when they were killed, sorted by name.

    A build that is at work has such a folder as well.
    """
    if not out.parent.is_dir():
        return ()
    ours = (path for path in out.parent.iterdir() if _is_ours(path.name, out.name))
    return tuple(sorted(ours))


def _is_ours(name: str, bundle: str) -> bool:
    start = f".{bundle}."
    middle, dot, end = name.removeprefix(start).partition(".")
    random = len(middle) == 2 * _RANDOM and set(middle) <= set("0123456789abcdef")
    return name.startswith(start) and random and dot + end in (_PART, _OLD)


@contextlib.contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Lend a new folder beside the final one, and leave none behind.

    Parameters
    ----------
    out : Path
        The final name.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.{secrets.token_hex(_RANDOM)}{_PART}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def give_name(folder: Path, out: Path) -> None:
    """Move a finished folder to its name; a bundle there goes only when the new one is in place.

    Parameters
    ----------
    folder : Path
        From `beside`; the bytes of its files are on the disk.
    out : Path
        The final name.

    Raises
    ------
    ArdError
        If something was put into the old bundle since it was looked at.
    OSError
        If it could not be moved; what was there is there still.
    """
    sync_folder(folder)
    if not (out.exists() or out.is_symlink()):
        folder.rename(out)
        sync_folder(out.parent)
        return
    _require_disposable(out)
    old = folder if _exchange(folder, out) else _replace(folder, out)
    sync_folder(out.parent)
    shutil.rmtree(old)


def _exchange(folder: Path, out: Path) -> bool:
    """Let two folders change places in one step; False where this cannot be done here."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = [os.fsencode(path) for path in (folder, out)]
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(out))


def _replace(folder: Path, out: Path) -> Path:
    """Do the same in two steps; give the name that the old folder has afterwards."""
    old = folder.with_suffix(_OLD)
    try:
        out.rename(old)
        folder.rename(out)
    except BaseException:
        # Whatever ends it, Ctrl-C as well, must not end between the two.
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    return old


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: without it a crash can lose them."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
