"""mediagen: images, music and video from one API. Heavy libraries load when they are used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .modalities.audio import Audio
    from .modalities.image import Image
    from .modalities.video import Video
    from .pipelines.audio_stream import Stream

__version__ = "0.1.0"
__all__ = ["__version__", "audio", "ensemble", "image", "load", "models", "plan", "replay", "stream", "video"]

_loaded: dict[Any, Any] = {}


def image(  # noqa: PLR0913 (the public face names what most calls use)
    prompt: Any,
    *,
    size: Any = None,
    steps: int | None = None,
    seed: int | None = None,
    guidance: float | None = None,
    solver: str | None = None,
    negative: str | None = None,
    n: int = 1,
    model: str = "mini-image",
    **options: Any,
) -> "Image | list[Image]":
    """A picture from text (a list of them for n > 1), by a model that ships inside or any that `load` takes.

    >>> mediagen.image("a cat left of a pizza", seed=7).save("cat.png")

    prompt: text, or [(text, weight), ...] to compose. size: pixels of a side or (width, height). seed: None for a new
    one each time; it is written into the picture. options: `generators.diffusion.Walk`. ValueError for what cannot be.
    """
    asked = {"steps": steps, "seed": seed, "guidance": guidance, "solver": solver, "negative": negative}
    return _cached(model, "image").generate(prompt, size=size, n=n, **asked, **options)


def audio(  # noqa: PLR0913 (the public face names what most calls use)
    prompt: Any,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    guidance: float | None = None,
    solver: str | None = None,
    negative: str | None = None,
    n: int = 1,
    model: str = "mini-audio",
    lufs: float | None = None,
    **options: Any,
) -> "Audio | list[Audio]":
    """Music or sound from text (a list of clips for n > 1), by a model that ships inside or any that `load` takes.

    >>> mediagen.audio("slow jazz, piano and double bass, 90 bpm", seconds=10, seed=7).save("jazz.flac")

    prompt: text, [(text, weight), ...] to compose, or a timeline [(0, "calm piano"), (20, "drums enter")]. seconds: 0.5
    to 600. lufs: the loudness to bring it to. options: bars, beats and bpm for a seamless loop instead of seconds, and
    `generators.diffusion.Walk`. ValueError for what cannot be.
    """
    asked = {"steps": steps, "seed": seed, "guidance": guidance, "solver": solver, "negative": negative, "lufs": lufs}
    return _cached(model, "audio").generate(prompt, seconds=seconds, n=n, **asked, **options)


def video(  # noqa: PLR0913 (the public face names what most calls use)
    prompt: Any,
    *,
    seconds: float | None = None,
    size: Any = None,
    first: Any = None,
    last: Any = None,
    fps: float | None = None,
    motion: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    guidance: float | None = None,
    solver: str | None = None,
    negative: str | None = None,
    n: int = 1,
    model: str = "mini-video",
    **options: Any,
) -> "Video | list[Video]":
    """A clip from text (a list of them for n > 1), by a model that ships inside or any that `load` takes.

    >>> mediagen.video("a rocket flies up into space", seconds=2, seed=7).save("rocket.mp4")

    prompt: text, [(text, weight), ...] to compose, or a timeline [(0, "a cat sits"), (2, "the cat runs")]. first, last:
    pictures that it begins and ends with. fps: frames a second. motion: how strong it is, 0 to 1. options: sound (a
    clip or file that is heard with it), loop=True and `generators.diffusion.Walk`. ValueError for what cannot be.
    """
    asked = {"steps": steps, "seed": seed, "guidance": guidance, "solver": solver, "negative": negative}
    asked |= {"first": first, "last": last, "fps": fps, "motion": motion}
    return _cached(model, "video").generate(prompt, seconds=seconds, size=size, n=n, **asked, **options)


def stream(prompt: Any, *, seconds: float | None = None, model: str = "mini-audio", **options: Any) -> "Stream":
    """Sound that is made while it is heard: an iterator of clips that follow one another without a gap.

    >>> for clip in mediagen.stream("house, drums and polysynth, 120 bpm", seconds=60): play(clip.samples)

    seconds: None for no end. The `prompt` and `guidance` of what is returned may be changed while it runs. options:
    seed, negative, window and `generators.diffusion.Walk`. ValueError for what cannot be.
    """
    return _cached(model, "audio").live(prompt, seconds=seconds, **options)


def load(name_or_path: "str | Path", **options: Any) -> Any:
    """A model by name or folder: an `pipelines.image.ImagePipeline`, `pipelines.audio.AudioPipeline` or
    `pipelines.video.VideoPipeline`, which have `generate`, `vary`, `inpaint` and more.

    >>> mediagen.load("stabilityai/stable-diffusion-xl-base-1.0", dtype="bfloat16", device="cuda", offload="model")

    options: dtype, device, offload, quantize and what else `families._loading.Loading` has. ValueError for what cannot
    be loaded, or not in this way."""
    from .pipelines.opening import load

    return load(name_or_path, **options)


def plan(name_or_path: "str | Path" = "mini-image", **options: Any) -> Any:
    """What a model needs for a job before it is loaded: a `planning.Plan`, whose `lines(planning.memory())` say it.
    options: size, seconds, dtype, revision. ValueError for what the model cannot make, or is no model."""
    from .planning import plan

    return plan(name_or_path, **options)


def models() -> dict[str, "Path"]:
    """The models that ship inside: name -> folder with card and weights."""
    from .pipelines.opening import models

    return dict(models())


def replay(path: "str | Path", model: "str | Path | None" = None) -> Any:
    """Make a saved picture, sound or clip again from its own metadata; says whether its pixels or samples are equal
    (`replaying.Replay`). model: its folder, if it does not ship."""
    from .replaying import replay

    return replay(path, model)


def ensemble(base: Any, refiner: Any, *, share: float = 0.8) -> Any:
    """Two loaded models of one latent space as one: the base walks the first `share` of the noise's course, the refiner
    the rest, guided by `guidance_2` if that is given.

    >>> mediagen.ensemble(mediagen.load("checkpoints/sdxl"), mediagen.load("checkpoints/refiner")).generate("a cat")

    ValueError for two that cannot share a walk."""
    from .pipelines.cascade import ensemble

    return ensemble(base, refiner, share=share)


def _commanded(name: str) -> dict[str, Any]:
    """What a command loads a model with where its user says nothing: nothing, of one that is loaded already."""
    from .pipelines.opening import commanded

    return {} if name in _loaded else dict(commanded(name))


def _cached(name: str, modality: str | None = None, **options: Any) -> Any:
    """Pipelines stay loaded: the second picture does not pay for loading. options: of `load`. ValueError for another
    modality's model."""
    key = (name, *sorted(options.items())) if options else name
    if key not in _loaded:
        _loaded[key] = load(name, **options)
    made = _loaded[key].model.modality
    if modality not in (None, made):
        raise ValueError(f"the model {name} makes {made}, not {modality}")
    return _loaded[key]
