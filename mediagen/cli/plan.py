"""mediagen plan: what a model needs, before it is loaded."""

from typing import Annotated

import typer

from .options import read_size
from .terminal import tell


def plan(
    model: Annotated[str, typer.Argument(help="A shipped model, a folder, or a repository (owner/name).")],
    size: Annotated[str | None, typer.Option(help="Pixels a side, or WIDTHxHEIGHT. Default: the model's.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long, of what has a length.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "bfloat16",
    revision: Annotated[str | None, typer.Option(help="Commit, branch or tag of a repository.")] = None,
    memory: Annotated[float | None, typer.Option(help="Gigabytes to plan for, instead of this machine's.")] = None,
) -> None:
    """Say what a model needs before it is loaded: parameters, memory in each dtype, what to offload or tile."""
    from ..planning import memory as here
    from ..planning import plan as made

    if memory is not None and not 0 < memory < float("inf"):
        raise ValueError(f"memory must be gigabytes above 0, not {memory}")
    there = here() if memory is None else {"a device": round(memory * 1e9)}
    for line in made(model, size=read_size(size), seconds=seconds, dtype=dtype, revision=revision).lines(there):
        tell(line)
