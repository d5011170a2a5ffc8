"""Options in groups are parsed as if each were a parameter of its command, and name what a job can be asked for."""

from dataclasses import dataclass, fields
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from mediagen.cli import options
from mediagen.generators import diffusion


@dataclass(frozen=True, kw_only=True)
class Shade:
    colour: Annotated[str, typer.Argument()]
    deep: Annotated[int, typer.Option("--deep", "-d")] = 3
    often: Annotated[list[str] | None, typer.Option("--also")] = None


@dataclass(frozen=True, kw_only=True)
class Deeper(Shade):
    deep: Annotated[int, typer.Option("--deep", "-d")] = 9
    plain: bool = False


def run(group: type, *arguments: str) -> tuple[int, list[object]]:
    """(exit code, what the command was given)."""
    seen: list[object] = []

    @options.spread
    def command(*, shade: group, n: Annotated[int, typer.Option("-n")] = 1) -> None:
        """Says so."""
        seen.extend([shade, n])

    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments).exit_code, seen


def test_a_group_is_its_options() -> None:
    assert run(Shade, "red") == (0, [Shade(colour="red"), 1])
    told = ("red", "-d", "5", "--also", "a", "--also", "b", "-n", "2")
    assert run(Shade, *told) == (0, [Shade(colour="red", deep=5, often=["a", "b"]), 2])
    assert run(Deeper, "red", "--plain") == (0, [Deeper(colour="red", plain=True), 1])
    assert run(Shade) == (2, []) and run(Shade, "red", "--plain") == (2, []) and run(Shade, "red", "-d", "x") == (2, [])


def test_two_groups_with_one_name_are_a_mistake() -> None:
    def command(*, one: Shade, other: Deeper) -> None: ...

    with pytest.raises(ValueError, match="duplicate parameter name: 'colour'"):
        options.spread(command)


def test_the_walk_is_that_of_a_job() -> None:
    known = {one.name for one in fields(diffusion.Walk)} | {"seed", "negative"}
    assert {one.name for one in fields(options.Walk)} <= known
