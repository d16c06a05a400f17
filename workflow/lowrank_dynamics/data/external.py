"""What a run downloads, by name: fetched once, checked, and kept in a folder, or else a note there
on why it is unavailable.

A run continues without what is unavailable, so the folder always exists. This module imports
torch only to fetch.
"""

import shutil
from pathlib import Path

from lowrank_dynamics.errors import UserError

NAMES = ("vgg16", "cifar10")
CONTENT = "content.safetensors"
MISSING = "missing.txt"


def fetch(name: str, folder: Path, *, allow_unverified: bool) -> None:
    """Fetch what is called `name` to `folder`, or write a note there on why it is unavailable.

    `allow_unverified` accepts CIFAR-10 that cannot be checked. Raises UserError if there is no such
    name, and for a folder that has other files.
    """
    from lowrank_dynamics.data import cifar10, vgg16
    from lowrank_dynamics.storage.tensors import write_tensors

    if name not in NAMES:
        raise UserError(f"there is no {name!r} to fetch; choose one of {', '.join(NAMES)}")
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.name not in (CONTENT, MISSING):
            raise UserError(
                f"{folder} has other files ({path.name}); name a folder that is new or empty"
            )
    (folder / CONTENT).unlink(missing_ok=True)
    (folder / MISSING).unlink(missing_ok=True)
    try:
        if name == "vgg16":
            tensors, origin = vgg16.fetch()
        else:
            tensors, origin = cifar10.fetch(allow_unverified=allow_unverified)
    except UserError as error:
        (folder / MISSING).write_text(f"{error}\n", encoding="utf-8")
    else:
        write_tensors(tensors, origin, folder / CONTENT)


def missing(folder: Path) -> str:
    """Return why the content of `folder` is unavailable; empty if it is available."""
    note = folder / MISSING
    if not note.exists():
        return ""
    return note.read_text(encoding="utf-8").strip()


def content(folder: Path) -> Path:
    """Return the file in `folder`. Raises UserError, with the reason, if there is none."""
    reason = missing(folder)
    if reason:
        raise UserError(reason)
    file = folder / CONTENT
    if not file.is_file():
        raise UserError(f"{folder} has no {CONTENT}; run the workflow again, or `fetch`")
    return file


def forget_missing(parent: Path) -> None:
    """Remove the folders in `parent` whose content is unavailable, so that it is tried again."""
    for note in parent.glob(f"*/{MISSING}"):
        shutil.rmtree(note.parent)
