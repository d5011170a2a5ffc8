"""The command line: parses, calls the public face, draws progress. Anything wrong is one line and exit code 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Images, music and video from one API; small models ship inside and run offline.",
)
data_app = typer.Typer(no_args_is_help=True, help="Build the data that the shipped models train on.")
app.add_typer(data_app, name="data")

Prompt = Annotated[str, typer.Argument(help="What to make. (word:1.3) weighs a word.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="File to write: .png, .jpg or .webp. With -n, numbered.")]
Size = Annotated[str | None, typer.Option(help="Pixels a side, or WIDTHxHEIGHT.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same picture. Default: a new one, told.")]
Steps = Annotated[int | None, typer.Option(help="Solver steps.")]
Guidance = Annotated[float | None, typer.Option(help="How strongly the prompt is followed; 1 is no guidance.")]
Method = Annotated[str | None, typer.Option(help="Guidance method: cfg, apg, cfg_zero, cfg_pp ...")]
Solver = Annotated[str | None, typer.Option(help="euler, heun, dpmpp_2m, unipc, lcm ...")]
Negative = Annotated[str | None, typer.Option(help="What to lead away from.")]
Eta = Annotated[float | None, typer.Option(help="Noise added at each step, 0 to 1.")]
Count = Annotated[int, typer.Option("-n", help="How many pictures, in one batch.")]
Model = Annotated[str, typer.Option(help="A shipped model, or a folder.")]


@app.command()
def image(
    prompt: Prompt,
    out: Out = Path("image.png"),
    size: Size = None,
    steps: Steps = None,
    seed: Seed = None,
    guidance: Guidance = None,
    method: Method = None,
    solver: Solver = None,
    negative: Negative = None,
    eta: Eta = None,
    n: Count = 1,
    model: Model = "mini-image",
    start: Annotated[str | None, typer.Option("--from", help="A picture to vary (with --strength) or inpaint.")] = None,
    mask: Annotated[str | None, typer.Option(help="With --from: white is made anew, black stays.")] = None,
    strength: Annotated[float | None, typer.Option(help="With --from: 0 keeps the picture, 1 nothing of it.")] = None,
    loop: Annotated[bool, typer.Option(help="Make a tile that repeats without a seam.")] = False,
    window: Annotated[str | None, typer.Option(help="Overlapping windows of a large picture: 128 or 128x128.")] = None,
) -> None:
    """Make a picture from text (or from a picture and text)."""
    if mask and not start:
        raise ValueError("--mask needs --from, the picture that it covers")
    check_writable(out)
    asked: dict[str, Any] = {"steps": steps, "seed": seed, "guidance": guidance, "method": method, "solver": solver}
    asked |= {"negative": negative, "eta": eta, "loop": (-1, -2) if loop else None, "start": start, "mask": mask}
    asked["window"] = read_size(window)
    if start:
        asked["strength"] = strength if strength is not None else (1.0 if mask else 0.6)
    elif strength is not None:
        raise ValueError("--strength needs --from, the picture to vary")
    pipeline = open_model(model)
    job = pipeline.job(prompt, size=read_size(size), n=n, **asked)
    for number, picture in enumerate(watched(pipeline.stream(job), prompt)):
        file = out if n == 1 else out.with_stem(f"{out.stem}-{number + 1:02d}")
        picture.save(file)
        tell(f"{file}  seed {job.requests[0].seed}" + (f" sample {number}" if n > 1 else ""))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("mediagen-demo"),
    seed: Seed = 0,
) -> None:
    """Make pictures with the shipped model, offline: single ones, a variation, an inpainting and a contact sheet."""
    from .demo import run

    make_folder(out)
    for file, event in run(out, seed or 0):
        if event is None:
            tell(str(file))
    tell(f"open {out / 'sheet.png'} to see them together")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, such as configs/quick.yaml.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; a run that is there is resumed.")] = None,
    steps: Annotated[int | None, typer.Option(help="Another number of steps than the recipe's.")] = None,
) -> None:
    """Train what a recipe says; run it again to resume."""
    import dataclasses

    from .metrics import reader_training
    from .training import recipes, run_audio_autoencoder

    kinds = {**recipes.KINDS, **run_audio_autoencoder.KINDS, "reader": reader_training.ReaderRecipe}
    asked = recipes.read(recipe, kinds)
    if steps is not None:
        if steps < 1:
            raise ValueError(f"steps must be 1 or more, not {steps}")
        asked = dataclasses.replace(asked, schedule=dataclasses.replace(asked.schedule, steps=steps))
    folder = out or Path("runs") / recipe.stem
    make_folder(folder)
    rooms = {reader_training.ReaderRecipe: reader_training.run} | dict.fromkeys(
        run_audio_autoencoder.KINDS.values(), run_audio_autoencoder.run
    )
    draw_training(rooms.get(type(asked), recipes.run)(asked, folder))
    tell(str(folder))


@data_app.command("build")
def data_build(
    kind: Annotated[str, typer.Argument(help="What to build: scenes (pictures) or grooves (music).")] = "scenes",
    world: Annotated[str | None, typer.Option(help="Of scenes: small, whole, or a YAML file.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; a build that is there is finished.")] = None,
    size: Annotated[int, typer.Option(help="Pixels a side, of scenes.")] = 128,
    count: Annotated[int | None, typer.Option(help="How many to train on: 40000 scenes, 4000 grooves.")] = None,
    heldout: Annotated[int | None, typer.Option(help="How many of held-out combinations: 2000, 400.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives others.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
) -> None:
    """Fetch the sources and build captioned scenes or music; resumes, and gives the same bytes every time."""
    if kind not in ("scenes", "grooves"):
        raise ValueError(f"unknown data set {kind!r}; known: scenes, grooves")
    from rich.progress import Progress

    folder = out or Path("data") / (f"scenes-{Path(world or 'small').stem}" if kind == "scenes" else "grooves")
    given = {"train": count, "heldout": heldout}
    options = {k: v for k, v in given.items() if v is not None} | {"seed": seed, "workers": workers}
    with Progress(transient=True) as bar:
        bars: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = bar.add_task(stage, total=total or None)
            bar.update(bars[stage], completed=done)

        if kind == "scenes":
            from .data.build import build

            build(world or "small", folder, size=size, progress=progress, **options)
        else:
            from .data.grooves.build import build_grooves

            build_grooves(world or "grooves", folder, progress=progress, **options)
    tell(str(folder))


@app.command()
def models() -> None:
    """List the shipped models and what each can do."""
    from .capabilities import describe

    for line in describe():
        tell(line)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A picture made by mediagen.")]) -> None:
    """Print the request that a file carries."""
    from rich import print_json

    from .replaying import request_of

    print_json(request_of(file).to_json(), sort_keys=False)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A picture made by mediagen.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write the picture made again.")] = None,
) -> None:
    """Make a file again from its own metadata, and say whether the pixels are equal."""
    from . import replay as run

    if out is not None:
        check_writable(out)
    result = run(file)
    if out is not None:
        result.image.save(out)
    if not result.same_model:
        tell(f"the model is another one than the file's ({result.request.model_hash})")
    if not result.equal:
        tell(f"not equal: pixels differ by up to {result.difference} of 255")
        raise typer.Exit(1)
    lossy = f" (the file's own differ by up to {result.difference}: lossy compression, or an edit)"
    tell("equal: every pixel is the same" + (lossy if result.difference else ""))


@app.command()
def bench(what: Annotated[str, typer.Argument(help="image, loop, orders, quality or pixel-latent.")] = "image") -> None:
    """Measure: image (wall times, memory), loop (against diffusers), orders (of the solvers), quality, pixel-latent."""
    from importlib import import_module

    rooms = ("image", "loop", "orders", "pixel_latent", "quality")
    if what.replace("-", "_") not in rooms:
        raise ValueError(f"unknown bench {what!r}; known: {', '.join(rooms)}")
    tell(import_module(f"mediagen.bench.{what.replace('-', '_')}").table())


def main() -> None:
    """The entry point: every error that a user can cause is one line on standard error and exit code 2."""
    try:
        app(standalone_mode=False)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if not is_expected(error):
            raise
        print(f"mediagen: {' '.join(told(error).split())}", file=sys.stderr)
        sys.exit(2)


def told(error: Exception) -> str:
    """The error in words; a badly spelled option's value is named, which the parser's own message leaves out."""
    if not hasattr(error, "format_message"):
        return str(error) or type(error).__name__
    options = getattr(getattr(error, "param", None), "opts", ())
    values = [repr(b) for a, b in pairwise(sys.argv) if a in options]
    return f"{error.format_message()} {f'(got {values[-1]})' if values else ''}"


def is_expected(error: Exception) -> bool:
    """What a user can cause: bad values, unreadable or unwritable files, a missing optional library, bad usage."""
    return isinstance(error, (ValueError, OSError, ImportError, MemoryError)) or hasattr(error, "format_message")


def open_model(name: str) -> Any:
    from . import load

    return load(name)


def read_size(text: str | None) -> int | tuple[int, int] | None:
    """ "128" -> 128, "192x128" -> (192, 128)."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isascii() and p.isdigit() for p in parts):
        raise ValueError(f"size is {text!r}; it must be pixels such as 128, or WIDTHxHEIGHT such as 192x128")
    return int(text) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def check_writable(file: Path) -> None:
    """Refuse an output that cannot be written before any work is done."""
    import os

    from .modalities.image import check_suffix

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
    """Draw the events of a job as a bar; its pictures."""
    with progress_bar() as bar:
        task = bar.add_task(title[:40], total=None)
        for event in events:
            if event.stage == "step":
                bar.update(task, completed=event.step, total=event.total)
    return event.images


def draw_training(steps: Iterator[Any]) -> None:
    with progress_bar() as bar:
        task = bar.add_task("training", total=None)
        for step in steps:
            losses = "  ".join(f"{k.split('/')[-1]} {v:.3f}" for k, v in list(step.losses.items())[:3])
            bar.update(task, completed=step.step, total=step.steps, description=losses)


@contextmanager
def progress_bar() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar


def tell(line: str) -> None:
    typer.echo(line)
