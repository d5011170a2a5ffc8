"""mediagen audio and mediagen live."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .adapted import Lora
from .options import Count, Model, Timeline, Walk, Window, spread
from .terminal import check_writable, save_all, tell, watched

if TYPE_CHECKING:
    from ..pipelines.audio_stream import Stream

Out = Annotated[
    Path, typer.Option("--out", "-o", help="File to write: .flac, .wav, .mp3, .opus or .m4a. With -n, numbered.")
]


@dataclass(frozen=True, kw_only=True)
class Sound:
    """How long, how loud, and what some models are told beside words."""

    seconds: Annotated[float | None, typer.Option(help="How long, 0.5 to 600. Default: what the model is best at.")] = (
        None
    )
    window: Window = None
    bars: Annotated[int | None, typer.Option(help="A loop without a seam of so many bars, instead of seconds.")] = None
    beats: Annotated[int | None, typer.Option(help="With --bars: beats of a bar, 4 if left out.")] = None
    bpm: Annotated[float | None, typer.Option(help="Beats a minute; else the prompt's, and with --bars 120.")] = None
    lufs: Annotated[float | None, typer.Option(help="Bring it to this loudness, such as -14.")] = None
    lyrics: Annotated[str | None, typer.Option(help="What a model that sings sings, or @FILE with it.")] = None
    temperature: Annotated[float | None, typer.Option(help="Of a model that writes codes: 0 takes the likeliest.")] = (
        None
    )
    top_k: Annotated[int | None, typer.Option(help="Of such a model: drawn of so many codes, 0 of all.")] = None
    top_p: Annotated[float | None, typer.Option(help="Of such a model: of as few as hold so much probability.")] = None

    def asked(self) -> dict[str, Any]:
        return vars(self) | {"lyrics": read_lyrics(self.lyrics)}


@dataclass(frozen=True, kw_only=True)
class Edit(options.Edit):
    """What is made of a clip of sound."""

    source: Annotated[str | None, typer.Option("--from", help="A clip to vary, mend, extend or accompany.")] = None
    accompany: Annotated[bool, typer.Option("--accompany", help="With --from: a part that goes with the clip.")] = False
    alone: Annotated[bool, typer.Option("--alone", help="With --accompany: that part without the clip.")] = False

    def asked(self) -> dict[str, Any]:
        if self.alone and not self.accompany:
            raise ValueError("--alone needs --accompany, the part that is heard by itself")
        if self.accompany and self.source is None:
            raise ValueError("--accompany needs --from, the clip to play along with")
        return self.changed(self.source, alone=self.alone if self.accompany else None)


@dataclass(frozen=True, kw_only=True)
class Load(options.Load):
    model: Model = "mini-audio"


@spread
def audio(
    told: Timeline,
    *,
    out: Out = Path("clip.flac"),
    sound: Sound,
    walk: Walk,
    n: Count = 1,
    load: Load,
    edit: Edit,
    put: Lora,
) -> None:
    """Make music or sound from text (or from a clip and text)."""
    from ..modalities.audio_formats import check_suffix

    check_writable(out, check_suffix)
    asked = vars(walk) | sound.asked() | edit.asked() | put.asked()
    pipeline = load.open("audio")
    job = pipeline.job(told.read(), n=n, **asked)
    save_all(watched(pipeline.stream(job), told.prompt), out, job.requests[0].seed)


@spread
def live(
    told: Timeline,
    *,
    out: Annotated[str | None, typer.Option("--out", "-o", help="A file, or - for WAV on standard output.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long. Default: until Ctrl-C.")] = None,
    window: Window = None,
    walk: Walk,
    load: Load,
    put: Lora,
) -> None:
    """Play music while it is made; a line typed meanwhile is the next prompt. Or write it, at constant memory."""
    from ..modalities import audio_formats, audio_output

    if out is None:
        audio_output.check_card()
    elif out != "-":
        check_writable(Path(out), audio_formats.check_suffix)
    asked = {"seconds": seconds, "window": window} | vars(walk) | put.asked()
    stream = load.open("audio").live(told.read(), **asked)
    with measured(stream):
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
def measured(stream: "Stream") -> Iterator[None]:
    """Says at the end, or when it is stopped, how much faster than real time it went."""
    try:
        yield
    except KeyboardInterrupt:
        if not stream.made:
            raise
    tell(
        f"{stream.made:.1f} s made in {stream.worked:.1f} s, real-time factor {stream.real_time_factor:.2f}", aside=True
    )


def read_lyrics(text: str | None) -> str | None:
    """Lyrics themselves, or those of the file that is named after an @."""
    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--lyrics is {text!r}, and {text[1:]} is no readable text file: {error}") from error
