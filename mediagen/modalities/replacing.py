"""Files and folders that are whole or not there: written beside their place, then renamed into it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write into: it takes the place of `path` when all went well and is removed when
    not. ValueError if that cannot be done."""
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}-", suffix=".partial")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same of a folder. ValueError if something lies at `path` already, other than an empty folder."""
    temporary = None
    try:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise ValueError(f"cannot write the folder {path}: something is there already; name a new or an empty one")
        temporary = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=f".{path.name}-", suffix=".partial"))
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
