"""What every command shares: lines, bars, and places to write that are checked before the work begins."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer


def tell(line: str, *, aside: bool = False) -> None:
    """A line on standard output or, aside, on standard error."""
    typer.echo(line, err=aside)


def open_model(name: str, modality: str, dtype: str | None = None, variant: str | None = None) -> Any:
    """A shipped model, a folder or a published checkpoint. dtype: None for what its family loads for a command.
    ValueError if it makes something else."""
    from .. import _cached, _commanded

    how = dict(_commanded(name)) if dtype is None else {"dtype": dtype}
    return _cached(name, modality, **how, **({} if variant is None else {"variant": variant}))


def check_writable(file: Path, check_suffix: Callable[[Path], Any]) -> None:
    """Refuse an output that cannot be written before any work is done."""
    check_suffix(file)
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"cannot write {file}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK) or file.is_dir():
        raise ValueError(f"cannot write {file}: no permission, or it is a folder")


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {folder}: {error.strerror}") from error


def watched(events: Iterator[Any], title: str) -> tuple:
    """Draw the events of a job as a bar; its media."""
    with progress_bar() as bar:
        task = bar.add_task(title[:40], total=None)
        for event in events:
            if event.stage == "step":
                bar.update(task, completed=event.step, total=event.total)
    return event.results


def save_all(media: tuple, out: Path, seed: int) -> None:
    """One file, or numbered ones; each is told with what makes it again."""
    for number, one in enumerate(media):
        file = out if len(media) == 1 else out.with_stem(f"{out.stem}-{number + 1:02d}")
        one.save(file)
        tell(f"{file}  seed {seed}" + (f" sample {number}" if len(media) > 1 else ""))


@contextmanager
def progress_bar() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar
