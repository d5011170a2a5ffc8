"""Making a saved picture again from what it carries."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import _cached
from .config import plain
from .modalities import image as image_modality
from .request import Request, Source


@dataclass(frozen=True, kw_only=True)
class Replay:
    """equal: every pixel as it was made; difference: the largest to the file's own pixels, in steps of 0..255 (above 0
    where the file was compressed with losses, or edited); same_model: whether the weights are the same."""

    image: image_modality.Image
    request: Request
    equal: bool
    difference: int
    same_model: bool


def request_of(path: str | Path) -> Request:
    """The request that a file carries; ValueError if it carries none."""
    picture = image_modality.load(path)
    if not picture.metadata:
        raise ValueError(
            f"{path} carries no mediagen request: it was not made by mediagen, or its metadata was stripped"
        )
    return Request.from_json(picture.metadata)


def replay(path: str | Path) -> Replay:
    """Run a file's own request again and compare.

    ValueError if the file carries none, or the picture that it started from has changed or is gone.
    """
    before, request = image_modality.load(path), request_of(path)
    pipeline = _cached(request.model)
    inputs = {"start": _found(request.source), "mask": _found(request.mask)}
    asked = {
        "seed": request.seed,
        "negative": request.negative,
        "strength": request.strength,
        "regions": request.regions,
    }
    prompt = request.prompts if len(request.prompts) > 1 else request.prompts[0][0]
    job = pipeline.job(prompt, size=request.size, sample=request.sample, **inputs, **asked, **plain(request.walk))
    [after] = pipeline.run(job)
    difference = int(np.abs(after.numpy().astype(int) - before.numpy()).max())
    same = pipeline.model.hash == request.model_hash
    made = json.loads(before.metadata).get("pixels")
    equal = after.sha256 == made if made else difference == 0
    return Replay(image=after, request=request, equal=equal, difference=difference, same_model=same)


def _found(source: Source | None) -> str | None:
    if source is None:
        return None
    if source.path is None or not Path(source.path).exists():
        raise ValueError(f"the picture that it started from is not at {source.path}: put it back there to replay")
    if image_modality.load(source.path).sha256 != source.sha256:
        raise ValueError(f"{source.path} has changed since: its pixels are not those that were started from")
    return source.path
