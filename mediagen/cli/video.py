"""mediagen video."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .adapted import Adapted
from .audio import until_stopped
from .options import Count, Model, Timeline, Walk, Window, read_size, spread
from .terminal import check_writable, progress_bar, save_all, tell, watched

if TYPE_CHECKING:
    from ..pipelines.video import VideoJob, VideoPipeline
    from ..pipelines.video_stream import VideoStream

Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="File: .mp4, .webm, .mkv, .gif, .webp or .apng; or a folder. With -n, numbered."),
]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What kind of clip, and how it begins."""

    seconds: Annotated[float | None, typer.Option(help="How long. Default: what the model is best at.")] = None
    size: Annotated[
        str | None, typer.Option(help="Pixels a side, or WIDTHxHEIGHT. Default: the model's, or the clip's.")
    ] = None
    fps: Annotated[float | None, typer.Option(help="Frames a second. Default: the model's, or the clip's.")] = None
    motion: Annotated[float | None, typer.Option(help="How strong the motion is, 0 to 1.")] = None
    window: Window = None
    first: Annotated[str | None, typer.Option(help="A picture that the clip begins with.")] = None
    continued: Annotated[bool, typer.Option("--continue", help="Go on window after window, at constant memory.")] = (
        False
    )

    def asked(self) -> dict[str, Any]:
        asked = vars(self) | {"size": read_size(self.size)}
        return {name: value for name, value in asked.items() if name != "continued"}


@dataclass(frozen=True, kw_only=True)
class Edit(options.Edit):
    """How it ends, what is heard with it, and what is made of another clip."""

    last: Annotated[str | None, typer.Option(help="A picture that it ends with.")] = None
    source: Annotated[str | None, typer.Option("--from", help="A clip to vary, mend, extend or interpolate.")] = None
    mask: Annotated[str | None, typer.Option(help="With --from: a picture or clip; white is made anew.")] = None
    factor: Annotated[
        int | None, typer.Option("--interpolate", help="With --from: 2 or 4 times the frames a second.")
    ] = None
    loop: Annotated[bool, typer.Option("--loop", help="A clip whose end goes on with its beginning.")] = False
    sound: Annotated[str | None, typer.Option(help="A sound file that is heard with it.")] = None
    mute: Annotated[bool, typer.Option("--mute", help="With --from: without the clip's own sound.")] = False

    def asked(self) -> dict[str, Any]:
        if self.mute and (self.sound or not self.source):
            raise ValueError("--mute is of the sound that a clip given by --from has")
        asked = self.changed(self.source, mask=self.mask, interpolate=self.factor)
        asked |= {"factor": asked.pop("interpolate"), "last": self.last, "loop": self.loop or None}
        return asked | {"sound": False if self.mute else self.sound}


@dataclass(frozen=True, kw_only=True)
class Load(options.Load):
    model: Model = "mini-video"


@spread
def video(
    told: Timeline,
    *,
    out: Out = Path("clip.mp4"),
    clip: Clip,
    walk: Walk,
    n: Count = 1,
    load: Load,
    edit: Edit,
    put: Adapted,
) -> None:
    """Make a video from text (or from pictures or a clip, and text)."""
    from ..modalities.video_formats import check_suffix

    check_writable(out, check_suffix)
    edited, asked = edit.asked(), vars(walk) | clip.asked() | put.asked()
    if clip.continued:
        refuse({**edited, "n": n if n != 1 else None})
    pipeline = load.open("video")
    if clip.continued:
        go_on(pipeline.live(told.read(), **asked), out)
    else:
        make(pipeline, pipeline.job(told.read(), n=n, **edited, **asked), told.prompt, out)


def make(pipeline: "VideoPipeline", job: "VideoJob", prompt: str, out: Path) -> None:
    """Clips that are made whole, into files; of those that are made in windows also how far they drifted."""
    from ..metrics.drift import curve, plotted
    from ..modalities.video_formats import check_suffix

    if job.sound is not None and check_suffix(out).sound is None:
        raise ValueError(f"{out}: {check_suffix(out).name} holds no sound: write .mp4, .webm or .mkv, or add --mute")
    made = watched(pipeline.stream(job), prompt)
    save_all(made, out, job.requests[0].seed)
    if job.canvas is None and job.frames >= 2 * pipeline.frames:
        for one in made:
            tell(plotted(curve(one.frames, one.rate, pipeline.frames / one.rate)))


def refuse(edit: dict[str, Any]) -> None:
    """ValueError for what is of a whole clip, where one goes on."""
    given = [name for name, value in edit.items() if value is not None]
    options = {"start": "--from", "between": "--start", "factor": "--interpolate", "n": "-n"}
    if given:
        said = options.get(given[0], f"--{given[0]}")
        raise ValueError(f"{said} is of a clip that is made whole: leave out --continue")


def go_on(stream: "VideoStream", out: Path) -> None:
    """Into a file as it comes, whole when the stream ends or is stopped; then how far it drifted."""
    from ..metrics.drift import plotted
    from ..modalities.video_files import write

    with progress_bar() as bar:
        task = bar.add_task(str(stream.prompt)[:40], total=stream.request.seconds)

        def blocks() -> Any:
            for clip in until_stopped(stream):
                bar.update(task, completed=stream.made)
                yield clip.frames

        write(out, blocks(), stream.rate, metadata=stream.request.to_json())
    tell(f"{out}  seed {stream.request.seed}")
    tell(plotted(stream.drift))
    tell(
        f"{stream.made:.1f} s made in {stream.worked:.1f} s, real-time factor {stream.real_time_factor:.2f}", aside=True
    )
