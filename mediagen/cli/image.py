"""mediagen image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .adapted import Adapted
from .options import Count, Model, Prompt, Walk, read_size, spread, strength_of
from .terminal import check_writable, open_model, save_all, watched

Out = Annotated[Path, typer.Option("--out", "-o", help="File to write: .png, .jpg or .webp. With -n, numbered.")]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What kind of picture, and what of another one is in it."""

    size: Annotated[str | None, typer.Option(help="Pixels a side, or WIDTHxHEIGHT.")] = None
    start: Annotated[str | None, typer.Option("--from", help="A picture to vary, inpaint or enlarge.")] = None
    mask: Annotated[str | None, typer.Option(help="With --from: white is made anew, black stays.")] = None
    strength: Annotated[float | None, typer.Option(help="With --from: 0 keeps the picture, 1 nothing of it.")] = None
    loop: Annotated[bool, typer.Option(help="Make a tile that repeats without a seam.")] = False
    window: Annotated[str | None, typer.Option(help="Overlapping windows of a large picture: 128 or 128x128.")] = None

    def asked(self) -> dict[str, Any]:
        """Of a job, but the strength, which the model has a say in."""
        if self.mask and not self.start:
            raise ValueError("--mask needs --from, the picture that it covers")
        if self.strength is not None and not self.start:
            raise ValueError("--strength needs --from, the picture to vary")
        asked = {"size": read_size(self.size), "start": self.start, "mask": self.mask}
        return asked | {"loop": (-1, -2) if self.loop else None, "window": read_size(self.window)}


@dataclass(frozen=True, kw_only=True)
class Load(options.Load):
    """One model, or it and the one that refines what it began, as one."""

    model: Model = "mini-image"
    refiner: Annotated[str | None, typer.Option(help="A model that walks the last part of the noise's course.")] = None
    share: Annotated[float | None, typer.Option(help="With --refiner: the model's own part. Default: 0.8.")] = None

    def open(self, modality: str) -> Any:
        pipeline = super().open(modality)
        if self.refiner is None:
            return pipeline
        from .. import ensemble

        refiner = open_model(self.refiner, modality, self.dtype, self.variant)
        return ensemble(pipeline, refiner, **({} if self.share is None else {"share": self.share}))


@spread
def image(
    prompt: Prompt,
    *,
    out: Out = Path("image.png"),
    picture: Picture,
    walk: Walk,
    n: Count = 1,
    load: Load,
    put: Adapted,
) -> None:
    """Make a picture from text (or from a picture and text)."""
    from ..modalities.image import check_suffix

    if load.share is not None and not load.refiner:
        raise ValueError("--share needs --refiner, the model that walks the rest")
    check_writable(out, check_suffix)
    asked = vars(walk) | picture.asked() | put.asked()
    pipeline = load.open("image")
    if pipeline.model.enlarges is not None and (not picture.start or picture.mask):
        raise ValueError(f"the model {load.model} makes a picture larger: give it by --from, and no --mask")
    if picture.strength is not None or (picture.start and pipeline.model.enlarges is None):
        asked["strength"] = strength_of(picture.strength, kept=bool(picture.mask))
    job = pipeline.job(prompt, n=n, **asked)
    save_all(watched(pipeline.stream(job), prompt), out, job.requests[0].seed)
