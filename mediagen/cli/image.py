"""mediagen image."""

from pathlib import Path
from typing import Annotated, Any

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
from .terminal import check_writable, open_model, save_all, watched

Out = Annotated[Path, typer.Option("--out", "-o", help="File to write: .png, .jpg or .webp. With -n, numbered.")]
Size = Annotated[str | None, typer.Option(help="Pixels a side, or WIDTHxHEIGHT.")]


def image(  # noqa: PLR0913 (one argument an option)
    prompt: Prompt,
    out: Out = Path("image.png"),
    size: Size = None,
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
    model: Model = "mini-image",
    dtype: Dtype = None,
    start: Annotated[str | None, typer.Option("--from", help="A picture to vary, inpaint or enlarge.")] = None,
    mask: Annotated[str | None, typer.Option(help="With --from: white is made anew, black stays.")] = None,
    strength: Annotated[float | None, typer.Option(help="With --from: 0 keeps the picture, 1 nothing of it.")] = None,
    loop: Annotated[bool, typer.Option(help="Make a tile that repeats without a seam.")] = False,
    window: Annotated[str | None, typer.Option(help="Overlapping windows of a large picture: 128 or 128x128.")] = None,
    lora: adapted.Lora = None,
    word: adapted.Word = None,
    control: adapted.Control = None,
    hint: adapted.Hint = None,
    mode: adapted.Mode = None,
    guess: adapted.Guess = False,
    image_prompt: adapted.ImagePrompt = None,
    refiner: Annotated[str | None, typer.Option(help="A model that walks the last part of the noise's course.")] = None,
    share: Annotated[float | None, typer.Option(help="With --refiner: the model's own part. Default: 0.8.")] = None,
) -> None:
    """Make a picture from text (or from a picture and text)."""
    if mask and not start:
        raise ValueError("--mask needs --from, the picture that it covers")
    if share is not None and not refiner:
        raise ValueError("--share needs --refiner, the model that walks the rest")
    from ..modalities.image import check_suffix

    check_writable(out, check_suffix)
    asked: dict[str, Any] = {"steps": steps, "seed": seed, "guidance": guidance, "method": method, "solver": solver}
    asked |= {"negative": negative, "eta": eta, "loop": (-1, -2) if loop else None, "start": start, "mask": mask}
    asked |= {"guidance_2": guidance_2, "boundary": boundary}
    asked |= adapted.put(lora, word, control, image_prompt, hint=hint, mode=mode, guess=guess or None)
    asked["window"] = read_size(window)
    if strength is not None and not start:
        raise ValueError("--strength needs --from, the picture to vary")
    pipeline = open_models(model, refiner, share, dtype)
    if strength is not None or (start and pipeline.model.enlarges is None):
        asked["strength"] = strength if strength is not None else (1.0 if mask else 0.6)
    job = pipeline.job(prompt, size=read_size(size), n=n, **asked)
    save_all(watched(pipeline.stream(job), prompt), out, job.requests[0].seed)


def open_models(model: str, refiner: str | None, share: float | None, dtype: str | None) -> Any:
    """The model, or it and the one that refines what it began, as one."""
    pipeline = open_model(model, "image", dtype)
    if refiner is None:
        return pipeline
    from .. import ensemble

    return ensemble(pipeline, open_model(refiner, "image", dtype), **({} if share is None else {"share": share}))


def read_size(text: str | None) -> int | tuple[int, int] | None:
    """ "128" -> 128, "192x128" -> (192, 128)."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isascii() and p.isdigit() for p in parts):
        raise ValueError(f"size is {text!r}; it must be pixels such as 128, or WIDTHxHEIGHT such as 192x128")
    return int(text) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
