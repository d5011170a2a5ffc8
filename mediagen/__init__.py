"""mediagen: images, music and video from one API. Heavy libraries load when they are used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .modalities.image import Image
    from .pipeline import Pipeline

__version__ = "0.1.0"
__all__ = ["__version__", "image", "load", "models", "replay"]

_loaded: dict[str, "Pipeline"] = {}


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
    return _cached(model).generate(prompt, size=size, n=n, **asked, **options)


def load(name_or_path: "str | Path") -> "Pipeline":
    """A model by name or folder, as a Pipeline with `generate`, `vary` and `inpaint`."""
    from .pipeline import load

    return load(name_or_path)


def models() -> dict[str, "Path"]:
    """The models that ship inside: name -> folder with card and weights."""
    from .pipeline import models

    return dict(models())


def replay(path: "str | Path") -> Any:
    """Make a saved picture again from its own metadata; says whether the pixels are equal (`replay.Replay`)."""
    from .replaying import replay

    return replay(path)


def _cached(name: str) -> "Pipeline":
    """Pipelines stay loaded: the second picture does not pay for loading."""
    if name not in _loaded:
        _loaded[name] = load(name)
    return _loaded[name]
