"""Pictures: a prompt and a size, and a start, a mask or regions -> images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..modalities import image as image_modality
from ..request import Request, Source
from .base import Job, Pipeline, batch, noise_name, result_of
from .checks import check_size
from .prompts import Prompt, prompts_of

Image = image_modality.Image


class ImagePipeline(Pipeline):
    """A loaded model of pictures and what can be done with it."""

    def generate(self, prompt: Prompt, *, size: Any = None, n: int = 1, **options: Any) -> Image | list[Image]:
        """Pictures from text.

        prompt: text; a list of texts, a batch with `n` pictures of each; or [(text, weight), ...] to compose into one
        picture. size: pixels of a side, or (width, height). A single picture is returned itself, else a list.
        options: seed, negative, regions, lora, words, control, image_prompt (`adapter_options`) and the fields of
        `generators.diffusion.Walk` (steps, solver, guidance, method, ...). ValueError for anything that cannot be done.
        """
        return result_of(self.run(self.job(prompt, size=size, n=n, **options)), prompt)

    def vary(self, picture: Any, prompt: Prompt, *, strength: float = 0.6, n: int = 1, **options: Any) -> Any:
        """The picture (a path, PIL image, array or Image) made anew from its noised self: strength near 0 keeps it, 1
        keeps nothing."""
        if self.model.enlarges is not None:
            raise ValueError(f"the model {self.model.name} makes a picture larger: upscale(picture, prompt) alone")
        return result_of(self.run(self.job(prompt, n=n, start=picture, strength=strength, **options)), prompt)

    def inpaint(
        self, picture: Any, mask: Any, prompt: Prompt, *, strength: float = 1.0, n: int = 1, **options: Any
    ) -> Any:
        """What is white in the mask is made anew, what is black stays as it is; grey mixes. Both have one size."""
        job = self.job(prompt, n=n, start=picture, mask=mask, strength=strength, **options)
        return result_of(self.run(job), prompt)

    def upscale(
        self, picture: Any, prompt: Prompt = "", *, strength: float | None = None, n: int = 1, **options: Any
    ) -> Any:
        """The picture as many times larger as the model makes it (`Model.enlarges`). prompt: what it shows. strength:
        of the noise that is put on what the network is shown, above 0 and at most 1: more of it, more that is new."""
        if self.model.enlarges is None:
            raise ValueError(f"the model {self.model.name} does not make pictures larger")
        options |= {} if strength is None else {"strength": strength}
        return result_of(self.run(self.job(prompt, n=n, start=picture, **options)), prompt)

    def job(
        self,
        prompt: Prompt,
        *,
        size: Any = None,
        n: int = 1,
        start: Any = None,
        mask: Any = None,
        previews: bool = False,
        noise: Any = None,
        **options: Any,
    ) -> Job:
        """Check everything that was asked for and put it into a job; nothing is computed yet.

        noise: a tensor [n, C, *grid] to start from, or a torch.Generator, which is drawn from as published pipelines
        do: what starts the batch, then what its steps add."""
        adapted = self.adapters.shown(options)
        source = None if start is None else image_modality.load(start)
        cover = None if mask is None else image_modality.load(mask)
        self._suited(source, cover)
        request = replace(self._request(size, source, cover, dict(options)), noise=noise_name(noise))
        request = replace(request, control=adapted.control, image_prompt=adapted.image_prompt)
        if request.control and request.walk.loop:
            raise ValueError("a control network's picture has edges: leave out control, or loop")
        requests, grid = batch(request, prompts_of(prompt), n), self.model.spec.grid(request.size[::-1])
        small = self.model.enlarges is not None
        return Job(
            requests=requests,
            grid=grid,
            noise=self._noise(noise, (len(requests), self.model.spec.channels, *grid), request),
            known=None if source is None or small else image_modality.fitted(source, request.size)[None],
            context=image_modality.fitted(source, source.size)[None] if small else None,
            keep=_keep(cover, request.size),
            previews=previews,
            adapted=adapted,
        )

    def _suited(self, source: Any, cover: Any) -> None:
        """ValueError for a model that makes pictures larger and is given none, or a mask."""
        if self.model.enlarges is not None and (source is None or cover is not None):
            raise ValueError(f"the model {self.model.name} makes a picture larger: upscale(picture, prompt) alone")

    def _request(self, size: Any, source: Any, cover: Any, options: dict[str, Any]) -> Request:
        regions = options.pop("regions", ())
        if isinstance(side := options.get("window"), int):
            options["window"] = (side, side)
        if self.model.enlarges is not None:
            options.setdefault("strength", self.model.enlarges.strength)
            if options["strength"] > self.model.enlarges.strongest:
                raise ValueError(f"strength must be at most {self.model.enlarges.strongest}, not {options['strength']}")
        common = self._common(options)
        return Request(
            task=self._task(source, cover),
            prompts=(),
            size=self._size(size, source),
            regions=tuple((text, tuple(float(v) for v in box)) for text, box in regions),
            source=None if source is None else _fingerprint(source),
            mask=None if cover is None else _fingerprint(cover),
            **common,
        )

    def _task(self, source: Any, cover: Any) -> str:
        if self.model.enlarges is not None:
            return "upscale"
        return "generate" if source is None else "vary" if cover is None else "inpaint"

    def _size(self, size: Any, source: Any) -> tuple[int, int]:
        """(width, height): what is asked for, else the source's, else the model's own; so many times the source's of a
        model that makes it larger."""
        factor = self.model.enlarges.factor if self.model.enlarges else 1
        if size is None:
            size = self.model.size[::-1] if source is None else tuple(factor * side for side in source.size)
        size = check_size(size, self.model.multiple)
        if factor > 1 and size != tuple(factor * side for side in source.size):
            raise ValueError(f"the model {self.model.name} makes a picture {factor} times larger: leave out size")
        return size

    def _window(self, window: tuple[int, ...]) -> tuple[int, ...]:
        """(width, height) in pixels -> (rows, columns) in latent positions; ValueError if the model cannot see it."""
        multiple = self.model.multiple
        if window and (len(window) != 2 or any(side % multiple for side in window)):
            raise ValueError(f"window {tuple(window)} must be (width, height), both multiples of {multiple} pixels")
        return super()._window(window[::-1])

    def _places(self, job: Job) -> list[tuple[str, Tensor]]:
        return [(text, _box_mask(box, job.grid)) for text, box in job.requests[0].regions]

    def _finished(self, media: Tensor, job: Job) -> list[Image]:
        if job.keep is not None:
            media = torch.lerp(media, job.known, job.keep)
        return [_made(pixels, request) for pixels, request in zip(media, job.requests, strict=True)]


PIPELINE = ImagePipeline


def _box_mask(box: Sequence[float], grid: tuple[int, ...]) -> Tensor:
    """(left, top, right, bottom) in 0..1 -> a mask [1, 1, *grid] of 0 and 1."""
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            f"region {tuple(box)} must be (left, top, right, bottom) with 0 <= left < right <= 1, likewise down"
        )
    rows = (torch.arange(grid[0]) + 0.5) / grid[0]
    columns = (torch.arange(grid[1]) + 0.5) / grid[1]
    inside = ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))
    return inside.float()[None, None]


def _keep(cover: Any, size: tuple[int, int]) -> Tensor | None:
    """A mask picture (white: make anew) -> keep [1, 1, H, W], 1 where pixels stay. ValueError unless sizes agree."""
    if cover is None:
        return None
    if cover.size != size:
        raise ValueError(
            f"the mask is {cover.size[0]}x{cover.size[1]}, the picture {size[0]}x{size[1]}; they must agree"
        )
    return 1 - cover.tensor().mean(0)[None, None]


def _made(pixels: Tensor, request: Request) -> Image:
    """[3, H, W] in [-1, 1] -> the picture, carrying its request and a hash of its pixels."""
    bare = Image.from_tensor(pixels)
    return replace(bare, metadata=request.to_json(pixels=bare.sha256))


def _fingerprint(picture: Image) -> Source:
    return Source(path=picture.path, sha256=picture.sha256)
