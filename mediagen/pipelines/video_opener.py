"""The picture that a new clip begins with, made from the same words by a model of pictures.

What a thing looks like is learned from pictures, at a fraction of what clips cost; a network of clips that is shown the
first frame has to learn how it moves alone (Emu Video, arXiv:2311.10709).
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import torch
from torch import Tensor

from ..modalities import image as image_modality
from ..request import Request
from .base import Event, Job, Pipeline
from .still import still


def pictures(
    opener: Pipeline, requests: Sequence[Request], size: tuple[int, int], own: int
) -> Generator[Event, None, Tensor]:
    """The pictures of clips as clips of one frame [B, 3, 1, H, W] in [-1, 1], of their prompts, seeds and numbers; on
    the way the events of their walks, as encoding. size: (width, height); own: what the clips' model is best at."""
    jobs = [job(opener, request, sides(opener, size, own)) for request in requests]
    made: dict[int, Tensor] = {}
    for numbers in _batches(opener, jobs):
        for event in opener.stream(opener.together([jobs[number] for number in numbers])):
            if event.stage == "step":
                yield replace(event, stage="encode")
        made |= zip(numbers, (image_modality.fitted(picture, size) for picture in event.results), strict=True)
    return torch.stack([made[number] for number in range(len(jobs))])[:, :, None]


def _batches(opener: Pipeline, jobs: Sequence[Job]) -> list[list[int]]:
    """The numbers of jobs that can be made together."""
    batches: dict[Any, list[int]] = {}
    for number, one in enumerate(jobs):
        batches.setdefault(opener.alike(one) or number, []).append(number)
    return list(batches.values())


def job(opener: Pipeline, request: Request, size: tuple[int, int]) -> Job:
    """What the opener is asked for: what stands still of the words."""
    prompts = [(still(text), weight) for text, weight in request.prompts]
    options = {"seed": request.seed, "sample": request.sample, "negative": request.negative}
    return opener.job(prompts, size=size, **options)


def sides(opener: Pipeline, size: tuple[int, int], own: int) -> tuple[int, int]:
    """(width, height) for the opener, which makes its own size where the clips' model makes its own."""
    scale, multiple = max(opener.model.size) / own, opener.model.multiple
    width, height = (ceil(side * scale / multiple) * multiple for side in size)
    return width, height
