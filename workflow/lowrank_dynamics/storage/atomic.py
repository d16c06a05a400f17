"""Writing files completely or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UMASK = os.umask(0)
os.umask(UMASK)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path next to `path` to write to, and replace `path` with that file once it is
    complete.

    If interrupted, what was at `path` stays as it was, and nothing is left next to it. Creates the
    folder. Raises OSError, naming `path`, if the machine refuses, for instance because the disk is
    full.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with suppress(OSError):  # some file systems have no modes
            partial.chmod(0o666 & ~UMASK)  # not every library that writes here honors the umask
        partial.replace(path)
    except OSError as error:
        raise OSError(
            error.errno or 0, error.strerror or str(error), error.filename or str(path)
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
