"""mediagen video."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import adapted
from .audio import Then, read_between, read_timeline, until_stopped
from .image import read_size
from .options import (
    Boundary,
    Count,
    Dtype,
    Eta,
    Guidance,
    Guidance2,
    Method,
    Model,
    Negative,
    Prompt,
    Seed,
    Solver,
    Steps,
)
from .terminal import check_writable, open_model, progress_bar, save_all, tell, watched

if TYPE_CHECKING:
    from ..pipelines.video import VideoJob, VideoPipeline
    from ..pipelines.video_stream import VideoStream

Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="File: .mp4, .webm, .mkv, .gif, .webp or .apng; or a folder. With -n, numbered."),
]
Size = Annotated[str | None, typer.Option(help="Pixels a side, or WIDTHxHEIGHT. Default: the model's, or the clip's.")]
Picture = str | None


def video(  # noqa: PLR0913 (one argument an option)
    prompt: Prompt,
    out: Out = Path("clip.mp4"),
    seconds: Annotated[float | None, typer.Option(help="How long. Default: what the model is best at.")] = None,
    size: Size = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second. Default: the model's, or the clip's.")] = None,
    motion: Annotated[float | None, typer.Option(help="How strong the motion is, 0 to 1.")] = None,
    steps: Steps = None,
    seed: Seed = None,
    guidance: Guidance = None,
    guidance_2: Guidance2 = None,
    boundary: Boundary = None,
    method: Method = None,
    solver: Solver = None,
    negative: Negative = None,
    eta: Eta = None,
    n: Count = 1,
    model: Model = "mini-video",
    dtype: Dtype = None,
    then: Then = None,
    window: Annotated[float | None, typer.Option(help="Seconds of the windows that a longer clip is made in.")] = None,
    continued: Annotated[
        bool, typer.Option("--continue", help="Go on window after window, at constant memory.")
    ] = False,
    first: Annotated[Picture, typer.Option(help="A picture that the clip begins with.")] = None,
    last: Annotated[Picture, typer.Option(help="A picture that it ends with.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="A clip to vary, mend, extend or interpolate.")] = None,
    strength: Annotated[float | None, typer.Option(help="With --from: 0 keeps the clip, 1 nothing of it.")] = None,
    mask: Annotated[str | None, typer.Option(help="With --from: a picture or clip; white is made anew.")] = None,
    start: Annotated[float | None, typer.Option(help="With --from and --end: made anew from this second on.")] = None,
    end: Annotated[float | None, typer.Option(help="With --from: up to this second; the rest is kept.")] = None,
    left: Annotated[float | None, typer.Option(help="With --from: seconds to put before the clip.")] = None,
    right: Annotated[float | None, typer.Option(help="With --from: seconds to put after the clip.")] = None,
    factor: Annotated[
        int | None, typer.Option("--interpolate", help="With --from: 2 or 4 times the frames a second.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="A clip whose end goes on with its beginning.")] = False,
    sound: Annotated[str | None, typer.Option(help="A sound file that is heard with it.")] = None,
    mute: Annotated[bool, typer.Option("--mute", help="With --from: without the clip's own sound.")] = False,
    lora: adapted.Lora = None,
    word: adapted.Word = None,
    control: adapted.Control = None,
    hint: adapted.Hint = None,
    mode: adapted.Mode = None,
    guess: adapted.Guess = False,
    image_prompt: adapted.ImagePrompt = None,
) -> None:
    """Make a video from text (or from pictures or a clip, and text)."""
    from ..modalities.video_formats import check_suffix

    check_writable(out, check_suffix)
    if mute and (sound or not source):
        raise ValueError("--mute is of the sound that a clip given by --from has")
    walk: dict[str, Any] = {"steps": steps, "seed": seed, "guidance": guidance, "method": method, "solver": solver}
    walk |= {"negative": negative, "eta": eta, "window": window, "guidance_2": guidance_2, "boundary": boundary}
    walk |= adapted.put(lora, word, control, image_prompt, hint=hint, mode=mode, guess=guess or None)
    clip: dict[str, Any] = {"seconds": seconds, "size": read_size(size), "fps": fps, "motion": motion, "first": first}
    edit = {"last": last, "start": source, "mask": mask, "between": read_between(start, end), "left": left}
    edit |= {"right": right, "factor": factor, "loop": loop or None, "sound": False if mute else sound}
    edit |= read_strength(strength, edit)
    text = read_timeline(prompt, then)
    if continued:
        refuse({**edit, "n": n if n != 1 else None})
    pipeline = open_model(model, "video", dtype)
    if continued:
        go_on(pipeline.live(text, **clip, **walk), out)
    else:
        make(pipeline, pipeline.job(text, n=n, **clip, **edit, **walk), prompt, out)


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


def read_strength(strength: float | None, edit: dict[str, Any]) -> dict[str, float]:
    """Where it is not said: of a clip that is varied or interpolated as much as the API's own, of one that is kept
    beside what is new all."""
    if edit["start"] is None:
        if strength is not None:
            raise ValueError("--strength needs --from, the clip to vary")
        return {}
    kept = any(edit[name] is not None for name in ("mask", "between", "left", "right"))
    return {"strength": strength if strength is not None else 1.0 if kept else 0.6}


def refuse(edit: dict[str, Any]) -> None:
    """ValueError for what is of a whole clip, where one goes on."""
    given = [name for name, value in edit.items() if value is not None]
    options = {"start": "from", "between": "start", "factor": "interpolate"}
    if given:
        raise ValueError(f"--{options.get(given[0], given[0])} is of a clip that is made whole: leave out --continue")


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
