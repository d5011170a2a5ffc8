"""Options that commands share, in groups: a command whose parameter is a group has all of its options, by `spread`."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from .terminal import open_model

Prompt = Annotated[str, typer.Argument(help="What to make. (word:1.3) weighs a word.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same result. Default: a new one, told.")]
Count = Annotated[int, typer.Option("-n", help="How many, in one batch.")]
Model = Annotated[str, typer.Option(help="A shipped model, a folder, a repository or a .safetensors file.")]
Window = Annotated[float | None, typer.Option(help="Seconds of the windows that what is longer is made in.")]

KEEPING = ("mask", "between", "left", "right", "alone")  # edits that leave a part of a clip as it is


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command as it is parsed: each parameter that is a group (a dataclass) in the form of the group's options."""
    told = inspect.signature(command).parameters.values()
    groups = {one.name: one.annotation for one in told if is_dataclass(one.annotation)}
    options = [option for one in told for option in (_options(groups[one.name]) if one.name in groups else [one])]

    @wraps(command)
    def parsed(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{one.name: given.pop(one.name) for one in fields(group)})
        command(**given)

    by_name = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
    vars(parsed)["__signature__"] = inspect.Signature(by_name)  # what Typer reads
    parsed.__annotations__ = {option.name: option.annotation for option in options}
    return parsed


def _options(group: Any) -> Iterator[inspect.Parameter]:
    """One for each field; a field without a default must be given."""
    for one in fields(group):
        default = inspect.Parameter.empty if one.default is MISSING else one.default
        yield inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=one.type)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How noise is walked to data: the fields are those of a job."""

    steps: Annotated[int | None, typer.Option(help="Solver steps.")] = None
    seed: Seed = None
    guidance: Annotated[float | None, typer.Option(help="How strongly the prompt is followed; 1 is no guidance.")] = (
        None
    )
    guidance_2: Annotated[
        float | None,
        typer.Option("--guidance-2", help="The guidance of a model's second network, or below --boundary."),
    ] = None
    boundary: Annotated[
        float | None, typer.Option(help="The time in 0 .. 1 below which --guidance-2 acts. Default: the model's own.")
    ] = None
    method: Annotated[str | None, typer.Option(help="Guidance method: cfg, apg, cfg_zero, cfg_pp ...")] = None
    solver: Annotated[str | None, typer.Option(help="euler, heun, dpmpp_2m, unipc, lcm ...")] = None
    negative: Annotated[str | None, typer.Option(help="What to lead away from.")] = None
    eta: Annotated[float | None, typer.Option(help="Noise added at each step, 0 to 1.")] = None


@dataclass(frozen=True, kw_only=True)
class Load:
    """Which model, and which files of it as what."""

    model: Model
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16, float16; of published checkpoints auto, if unsaid.")
    ] = None
    variant: Annotated[
        str | None, typer.Option(help="Of a published checkpoint: which of its weight files, such as fp16.")
    ] = None

    def open(self, modality: str) -> Any:
        return open_model(self.model, modality, self.dtype, self.variant)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A prompt, and those that follow it in time."""

    prompt: Prompt
    then: Annotated[
        list[str] | None, typer.Option("--then", help="From a second on: '20 drums enter'. Repeat for more.")
    ] = None

    def read(self) -> Any:
        """[(0, prompt), (second, prompt), ...]; the prompt itself if nothing follows."""
        return [(0.0, self.prompt), *map(read_then, self.then)] if self.then else self.prompt


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What is made of a clip, of sound or of video."""

    strength: Annotated[float | None, typer.Option(help="With --from: 0 keeps the clip, 1 nothing of it.")] = None
    start: Annotated[float | None, typer.Option(help="With --from and --end: made anew from this second on.")] = None
    end: Annotated[float | None, typer.Option(help="With --from: up to this second; the rest is kept.")] = None
    left: Annotated[float | None, typer.Option(help="With --from: seconds to put before the clip.")] = None
    right: Annotated[float | None, typer.Option(help="With --from: seconds to put after the clip.")] = None

    def changed(self, source: str | None, **more: Any) -> dict[str, Any]:
        """What is asked of the clip `source`, which all of these options need. more: what a medium has beside them."""
        given = {name: getattr(self, name) for name in ("strength", "start", "end", "left", "right")}
        needing = [name for name, value in (given | more).items() if value is not None]
        if source is None and needing:
            raise ValueError(f"--{needing[0]} needs --from, the clip that it is of")
        if (self.start is None) != (self.end is None):
            raise ValueError("--start and --end go together: the seconds between them are made anew")
        between = None if self.start is None else (self.start, self.end)
        asked = {"start": source, "between": between, "left": self.left, "right": self.right} | more
        kept = any(asked.get(name) is not None for name in KEEPING)
        return asked | ({} if source is None else {"strength": strength_of(self.strength, kept)})


def strength_of(given: float | None, kept: bool) -> float:
    """Where it is not said: as much as the API's own for what is varied, all for what is made beside what is kept."""
    return given if given is not None else 1.0 if kept else 0.6


def read_then(text: str) -> tuple[float, str]:
    """ "20 drums enter" -> (20.0, "drums enter")."""
    second, _, prompt = text.partition(" ")
    try:
        return float(second.rstrip(":s")), prompt.strip()
    except ValueError:
        raise ValueError(f"--then is {text!r}; it must be a second and a prompt, such as '20 drums enter'") from None


def read_size(text: str | None) -> int | tuple[int, int] | None:
    """ "128" -> 128, "192x128" -> (192, 128)."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isascii() and p.isdigit() for p in parts):
        raise ValueError(f"size is {text!r}; it must be pixels such as 128, or WIDTHxHEIGHT such as 192x128")
    return int(text) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
