"""mediagen train and mediagen data."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .terminal import make_folder, progress_bar, tell

data_app = typer.Typer(no_args_is_help=True, help="Build the data that the shipped models train on.")


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, such as configs/quick.yaml.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; a run that is there is resumed.")] = None,
    steps: Annotated[int | None, typer.Option(help="Another number of steps than the recipe's.")] = None,
) -> None:
    """Train what a recipe says; run it again to resume."""
    from ..training import recipes

    known = rooms()
    asked = recipes.read(recipe, {name: kind for name, (kind, _) in known.items()})
    if steps is not None:
        if steps < 1:
            raise ValueError(f"steps must be 1 or more, not {steps}")
        asked = dataclasses.replace(asked, schedule=dataclasses.replace(asked.schedule, steps=steps))
    folder = out or Path("runs") / recipe.stem
    make_folder(folder)
    draw_training(dict(known.values())[type(asked)](asked, folder))
    tell(str(folder))


def rooms() -> Mapping[str, tuple[Any, Callable[..., Iterator[Any]]]]:
    """Kind of recipe -> (the recipe's class, what trains it)."""
    from .. import control_training
    from ..metrics import motion_reader_training, music_reader_training, reader_training
    from ..training import recipes, run_audio_autoencoder, run_control, run_lora, run_video_autoencoder

    found = {
        "reader": (reader_training.ReaderRecipe, reader_training.run),
        "music-reader": (music_reader_training.MusicReaderRecipe, music_reader_training.run),
        "motion-reader": (motion_reader_training.MotionReaderRecipe, motion_reader_training.run),
    }
    own = ((recipes, recipes.run), (run_control, control_training.run))
    others = (run_audio_autoencoder, run_video_autoencoder, run_lora)
    for room, run in (*own, *((room, room.run) for room in others)):
        found |= {name: (kind, run) for name, kind in room.KINDS.items()}
    return found


@data_app.command("build")
def data_build(
    kind: Annotated[
        str, typer.Argument(help="What to build: scenes (pictures), grooves (music) or motion (clips).")
    ] = "scenes",
    world: Annotated[
        str | None, typer.Option(help="small, whole (scenes, motion), grooves (music), or a YAML file.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; a build that is there is finished.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels a side: 128 for scenes, 64 for clips.")] = None,
    count: Annotated[
        int | None, typer.Option(help="How many to train on: 40000 scenes, 4000 grooves, 20000 clips.")
    ] = None,
    heldout: Annotated[int | None, typer.Option(help="How many of held-out combinations: 2000, 400, 1000.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives others.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
) -> None:
    """Fetch the sources and build captioned scenes, music or clips; resumes, and gives the same bytes every time."""
    if kind not in ("scenes", "grooves", "motion"):
        raise ValueError(f"unknown data set {kind!r}; known: scenes, grooves, motion")
    from rich.progress import Progress

    world = world or {"scenes": "small", "grooves": "grooves", "motion": "small"}[kind]
    name = Path(world).stem
    folder = out or Path("data") / (name if name == kind else f"{kind}-{name}")
    given = {"train": count, "heldout": heldout}
    options = {k: v for k, v in given.items() if v is not None} | {"seed": seed, "workers": workers}
    with Progress(transient=True) as bar:
        bars: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = bar.add_task(stage, total=total or None)
            bar.update(bars[stage], completed=done)

        if kind == "scenes":
            from ..data.build import build

            build(world, folder, size=size or 128, progress=progress, **options)
        elif kind == "motion":
            from ..data.motion.build import build_motion
            from ..data.motion.reading import load_motion

            moving = load_motion(world)
            moving = dataclasses.replace(moving, size=size) if size else moving
            build_motion(moving, folder, progress=progress, **options)
        else:
            from ..data.grooves.build import build_grooves

            build_grooves(world, folder, progress=progress, **options)
    tell(str(folder))


def draw_training(steps: Iterator[Any]) -> None:
    with progress_bar() as bar:
        task = bar.add_task("training", total=None)
        for step in steps:
            losses = "  ".join(f"{k.split('/')[-1]} {v:.3f}" for k, v in list(step.losses.items())[:3])
            bar.update(task, completed=step.step, total=step.steps, description=losses)
