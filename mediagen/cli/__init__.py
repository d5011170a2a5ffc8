"""The command line: parses, calls the public face, draws progress. Anything wrong is one line and exit code 2."""

import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ran_out
from .allocator import keep_buffers
from .audio import audio, live
from .files import replay, show
from .image import image
from .options import Seed, read_size
from .plan import plan
from .serve import serve
from .terminal import make_folder, tell
from .training import data_app, train
from .video import video

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Images, music and video from one API; small models ship inside and run offline.",
)
app.add_typer(data_app, name="data")
for command in (image, audio, video, live, serve, train, show, replay, plan):
    app.command()(command)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("mediagen-demo"),
    seed: Seed = 0,
) -> None:
    """Make pictures, music and clips with the shipped models, offline: single ones, variations, loops, a film."""
    from ..demo import run

    make_folder(out)
    for file, event in run(out, seed or 0):
        if event is None:
            tell(str(file))
    tell(f"open {out / 'sheet.png'} to see them together")


@app.command()
def models() -> None:
    """List the shipped models and what each can do."""
    from ..capabilities import describe

    for line in describe():
        tell(line)


@app.command()
def bench(
    what: Annotated[
        str,
        typer.Argument(
            help="image, audio, video, loop, orders, quality, music-quality, motion-quality, pixel-latent, oobleck, "
            "sd-cpu or server; or a published checkpoint: a folder, a repository or a .safetensors file."
        ),
    ] = "image",
    size: Annotated[str | None, typer.Option(help="Of a checkpoint: pixels a side, or WIDTHxHEIGHT.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Of a checkpoint: how long.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of a checkpoint: float32, bfloat16, float16 or auto.")] = None,
) -> None:
    """Measure: image, audio, video (times, memory), loop (against diffusers), orders (of solvers), quality (of
    pictures), music-quality, motion-quality, pixel-latent, oobleck (memory of decoding sound), sd-cpu (Stable
    Diffusion's size on this CPU), server (under load); or a published checkpoint by our loop and by diffusers' own."""
    from importlib import import_module

    if Path(what).exists() or "/" in what:
        from ..bench.checkpoint import table

        tell(table(what, size=read_size(size), seconds=seconds, dtype=dtype))
        return
    if size or seconds or dtype:
        raise ValueError("--size, --seconds and --dtype are of a checkpoint's bench: give its folder or repository")

    measured = ("quality", "music-quality", "motion-quality")
    rooms = ("image", "audio", "video", "loop", "orders", *measured, "pixel-latent", "oobleck", "sd-cpu", "server")
    if what not in rooms:
        raise ValueError(f"unknown bench {what!r}; known: {', '.join(rooms)}, or a published checkpoint's folder")
    tell(import_module(f"mediagen.bench.{what.replace('-', '_')}").table())


def main() -> None:
    """The entry point: every error that a user can cause is one line on standard error and exit code 2."""
    keep_buffers()
    try:
        sys.exit(app(standalone_mode=False) or 0)  # what a command returns, or the code of a typer.Exit
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if not is_expected(error):
            raise
        tell(f"mediagen: {' '.join(told(error).split())}", aside=True)
        sys.exit(2)


def told(error: Exception) -> str:
    """The error in words; a badly spelled option's value is named, which the parser's own message leaves out."""
    if ran_out(error):
        return "there is not enough memory: ask for less (size, seconds, n); `mediagen plan MODEL` says what is needed"
    if not hasattr(error, "format_message"):
        return str(error) or type(error).__name__
    options = getattr(getattr(error, "param", None), "opts", ())
    values = [repr(b) for a, b in pairwise(sys.argv) if a in options]
    return f"{error.format_message()} {f'(got {values[-1]})' if values else ''}"


def is_expected(error: Exception) -> bool:
    """What a user can cause: bad values, unreadable or unwritable files, a missing optional library, bad usage."""
    kinds = (ValueError, OSError, ImportError, MemoryError)
    return isinstance(error, kinds) or hasattr(error, "format_message") or ran_out(error)
