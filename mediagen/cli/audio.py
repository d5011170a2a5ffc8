"""mediagen audio and mediagen live."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import adapted
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
from .terminal import check_writable, open_model, save_all, tell, watched

if TYPE_CHECKING:
    from ..pipelines.audio_stream import Stream

Out = Annotated[
    Path, typer.Option("--out", "-o", help="File to write: .flac, .wav, .mp3, .opus or .m4a. With -n, numbered.")
]
Seconds = Annotated[float | None, typer.Option(help="How long, 0.5 to 600. Default: what the model is best at.")]
Window = Annotated[float | None, typer.Option(help="Seconds of the windows that longer sound is made in.")]
Then = Annotated[list[str] | None, typer.Option("--then", help="From a second on: '20 drums enter'. Repeat for more.")]


def audio(  # noqa: PLR0913 (one argument an option)
    prompt: Prompt,
    out: Out = Path("clip.flac"),
    seconds: Seconds = None,
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
    model: Model = "mini-audio",
    dtype: Dtype = None,
    then: Then = None,
    window: Window = None,
    source: Annotated[str | None, typer.Option("--from", help="A clip to vary, mend, extend or accompany.")] = None,
    strength: Annotated[float | None, typer.Option(help="With --from: 0 keeps the clip, 1 nothing of it.")] = None,
    start: Annotated[float | None, typer.Option(help="With --from and --end: made anew from this second on.")] = None,
    end: Annotated[float | None, typer.Option(help="With --from: up to this second; the rest is kept.")] = None,
    left: Annotated[float | None, typer.Option(help="With --from: seconds to put before the clip.")] = None,
    right: Annotated[float | None, typer.Option(help="With --from: seconds to put after the clip.")] = None,
    accompany: Annotated[
        bool, typer.Option("--accompany", help="With --from: a part that goes with the clip.")
    ] = False,
    alone: Annotated[bool, typer.Option("--alone", help="With --accompany: that part without the clip.")] = False,
    bars: Annotated[int | None, typer.Option(help="A loop without a seam of so many bars, instead of seconds.")] = None,
    beats: Annotated[int | None, typer.Option(help="With --bars: beats of a bar, 4 if left out.")] = None,
    bpm: Annotated[float | None, typer.Option(help="Beats a minute; else the prompt's, and with --bars 120.")] = None,
    lufs: Annotated[float | None, typer.Option(help="Bring it to this loudness, such as -14.")] = None,
    lyrics: Annotated[str | None, typer.Option(help="What a model that sings sings, or @FILE with it.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of a model that writes codes: 0 takes the likeliest.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Of such a model: drawn of so many codes, 0 of all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Of such a model: of as few as hold so much probability.")] = None,
    lora: adapted.Lora = None,
) -> None:
    """Make music or sound from text (or from a clip and text)."""
    from ..modalities.audio_formats import check_suffix

    check_writable(out, check_suffix)
    asked: dict[str, Any] = {"steps": steps, "seed": seed, "guidance": guidance, "method": method, "solver": solver}
    asked |= {"negative": negative, "eta": eta, "window": window, "lufs": lufs, "left": left, "right": right}
    asked |= {"bars": bars, "beats": beats, "bpm": bpm, "start": source, "between": read_between(start, end)}
    asked |= {"lyrics": read_lyrics(lyrics), "temperature": temperature, "top_k": top_k, "top_p": top_p}
    asked |= {"guidance_2": guidance_2, "boundary": boundary} | adapted.put(lora)
    if source is None and strength is not None:
        raise ValueError("--strength needs --from, the clip to vary")
    if alone and not accompany:
        raise ValueError("--alone needs --accompany, the part that is heard by itself")
    if accompany and source is None:
        raise ValueError("--accompany needs --from, the clip to play along with")
    if accompany:
        asked |= {"alone": alone} | ({} if strength is None else {"strength": strength})
    elif source is not None:
        whole = asked["between"] is left is right is None
        asked["strength"] = strength if strength is not None else (0.6 if whole else 1.0)
    pipeline = open_model(model, "audio", dtype)
    job = pipeline.job(read_timeline(prompt, then), seconds=seconds, n=n, **asked)
    save_all(watched(pipeline.stream(job), prompt), out, job.requests[0].seed)


def live(  # noqa: PLR0913 (one argument an option)
    prompt: Prompt,
    out: Annotated[str | None, typer.Option("--out", "-o", help="A file, or - for WAV on standard output.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long. Default: until Ctrl-C.")] = None,
    steps: Steps = None,
    seed: Seed = None,
    guidance: Guidance = None,
    guidance_2: Guidance2 = None,
    boundary: Boundary = None,
    method: Method = None,
    solver: Solver = None,
    negative: Negative = None,
    eta: Eta = None,
    model: Model = "mini-audio",
    dtype: Dtype = None,
    then: Then = None,
    window: Window = None,
    lora: adapted.Lora = None,
) -> None:
    """Play music while it is made; a line typed meanwhile is the next prompt. Or write it, at constant memory."""
    from ..modalities import audio_formats, audio_output

    if out is None:
        audio_output.check_card()
    elif out != "-":
        check_writable(Path(out), audio_formats.check_suffix)
    asked: dict[str, Any] = {"steps": steps, "seed": seed, "guidance": guidance, "method": method, "solver": solver}
    asked |= {"negative": negative, "eta": eta, "window": window, "guidance_2": guidance_2, "boundary": boundary}
    asked |= adapted.put(lora)
    stream = open_model(model, "audio", dtype).live(read_timeline(prompt, then), seconds=seconds, **asked)
    with told(stream):
        (play if out is None else pour if out == "-" else record)(stream, out)
    if out not in (None, "-"):
        tell(f"{out}  seed {stream.request.seed}")


def play(stream: "Stream", out: None) -> None:
    """To the sound card, made at most two clips ahead."""
    from ..modalities.audio_output import ahead, sound_card

    if sys.stdin.isatty():
        listen(stream)
    with sound_card(stream.rate, stream.channels) as sound:
        for clip in ahead(until_stopped(stream)):
            sound(clip.samples)


def pour(stream: "Stream", out: str) -> None:
    """To standard output, each clip when it is ready."""
    from ..modalities.audio_output import write_wave

    blocks = (clip.samples for clip in until_stopped(stream))
    write_wave(sys.stdout.buffer, blocks, stream.rate, stream.channels)


def record(stream: "Stream", out: str) -> None:
    """To a file, which is whole when the stream ends or is stopped."""
    from ..modalities.audio_files import write

    blocks = (clip.samples for clip in until_stopped(stream))
    write(out, blocks, stream.rate, stream.channels, metadata=stream.request.to_json())


def until_stopped(stream: Any) -> Iterator[Any]:
    """The clips of a stream, up to Ctrl-C if there is one."""
    try:
        yield from stream
    except KeyboardInterrupt:
        if not stream.made:
            raise


def listen(stream: "Stream") -> None:
    """Each line typed is the prompt from the next window on."""
    from threading import Thread

    def read() -> None:
        for line in filter(None, map(str.strip, sys.stdin)):
            try:
                stream.prompt = line
            except ValueError as error:
                tell(f"mediagen: {error}", aside=True)

    Thread(target=read, daemon=True).start()


@contextmanager
def told(stream: "Stream") -> Iterator[None]:
    """Says at the end, or when it is stopped, how much faster than real time it went."""
    try:
        yield
    except KeyboardInterrupt:
        if not stream.made:
            raise
    tell(
        f"{stream.made:.1f} s made in {stream.worked:.1f} s, real-time factor {stream.real_time_factor:.2f}", aside=True
    )


def read_between(start: float | None, end: float | None) -> tuple[float, float] | None:
    if (start is None) != (end is None):
        raise ValueError("--start and --end go together: the seconds between them are made anew")
    return None if start is None or end is None else (start, end)


def read_timeline(prompt: str, then: list[str] | None) -> Any:
    """A prompt and its followers, "20 drums enter" -> a timeline; the prompt itself if there are none."""
    return [(0.0, prompt), *map(read_then, then)] if then else prompt


def read_lyrics(text: str | None) -> str | None:
    """Lyrics themselves, or those of the file that is named after an @."""
    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--lyrics is {text!r}, and {text[1:]} is no readable text file: {error}") from error


def read_then(text: str) -> tuple[float, str]:
    second, _, prompt = text.partition(" ")
    try:
        return float(second.rstrip(":s")), prompt.strip()
    except ValueError:
        raise ValueError(f"--then is {text!r}; it must be a second and a prompt, such as '20 drums enter'") from None
