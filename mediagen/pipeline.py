"""Pipeline: a prompt and a size (and a start, a mask, regions) -> media. The only place where the parts meet."""

import importlib
import pkgutil
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import __version__, families
from .autoencoders import tiling
from .core.rng import Keyed
from .families.model import Model
from .generators.diffusion import Start, Walk, generate
from .modalities import image as image_modality
from .request import Request, Source, walk_of

Image = image_modality.Image
Prompt = str | Sequence[str] | Sequence[tuple[str, float]]
LARGEST = 4096  # pixels a side
TILE = 64  # latent positions a side that are decoded at once; larger grids go in tiles


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happens, as it happens. stage: "encode", "step", "decode" or "done"; step of total; preview: small pictures
    [B, 3, h, w] in [-1, 1] of the x0 of this step, if asked for; images: the results, with the last event."""

    stage: str
    step: int = 0
    total: int = 0
    preview: Tensor | None = None
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """A batch: requests that differ in their prompts and sample numbers only, and the media that they start from."""

    requests: tuple[Request, ...]
    known: Tensor | None = None
    keep: Tensor | None = None
    previews: bool = False


class Pipeline:
    """A loaded model and what can be done with it. Every method is a function of its arguments and the seed alone."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def generate(self, prompt: Prompt, *, size: Any = None, n: int = 1, **options: Any) -> Image | list[Image]:
        """Pictures from text.

        prompt: text; a list of texts, a batch with `n` pictures of each; or [(text, weight), ...] to compose into one
        picture. size: pixels of a side, or (width, height). A single picture is returned itself, else a list.
        options: seed, negative, regions and the fields of
        `generators.diffusion.Walk` (steps, solver, guidance, method, ...). ValueError for anything that cannot be done.
        """
        return _result(self.run(self.job(prompt, size=size, n=n, **options)), prompt)

    def vary(self, picture: Any, prompt: Prompt, *, strength: float = 0.6, n: int = 1, **options: Any) -> Any:
        """The picture (a path, PIL image, array or Image) made anew from its noised self: strength near 0 keeps it, 1
        keeps nothing."""
        return _result(self.run(self.job(prompt, n=n, start=picture, strength=strength, **options)), prompt)

    def inpaint(
        self, picture: Any, mask: Any, prompt: Prompt, *, strength: float = 1.0, n: int = 1, **options: Any
    ) -> Any:
        """What is white in the mask is made anew, what is black stays as it is; grey mixes. Both have one size."""
        job = self.job(prompt, n=n, start=picture, mask=mask, strength=strength, **options)
        return _result(self.run(job), prompt)

    def run(self, job: Job) -> list[Image]:
        """All the pictures of a job."""
        *_, last = self.stream(job)
        return list(last.images)

    def job(
        self,
        prompt: Prompt,
        *,
        size: Any = None,
        n: int = 1,
        start: Any = None,
        mask: Any = None,
        previews: bool = False,
        **options: Any,
    ) -> Job:
        """Check everything that was asked for and put it into a job; nothing is computed yet."""
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 1024:
            raise ValueError(f"n must be a whole number from 1 to 1024, not {n!r}")
        source = None if start is None else image_modality.load(start)
        cover = None if mask is None else image_modality.load(mask)
        request = self._request(size, source, cover, dict(options))
        prompts = [p for p in _prompts(prompt) for _ in range(n)]
        requests = tuple(request.numbered(request.sample + k, p) for k, p in enumerate(prompts))
        known, keep = self._known(request, source), _keep(cover, request.size)
        return Job(requests=requests, known=known, keep=keep, previews=previews)

    def _request(self, size: Any, source: Any, cover: Any, options: dict[str, Any]) -> Request:
        strength, sample = options.pop("strength", 1.0), options.pop("sample", 0)
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, not {strength}")
        seed = options.pop("seed", None)
        negative, regions = options.pop("negative", None), options.pop("regions", ())
        return Request(
            task="generate" if source is None else "vary" if cover is None else "inpaint",
            prompts=(),
            negative=negative or None,
            size=self._size(size, source),
            seed=secrets.randbelow(2**32) if seed is None else seed,
            sample=sample,
            walk=self._walk(options),
            strength=float(strength),
            regions=tuple((text, tuple(float(v) for v in box)) for text, box in regions),
            source=None if source is None else _fingerprint(source),
            mask=None if cover is None else _fingerprint(cover),
            model=self.model.name,
            model_hash=self.model.hash,
            version=__version__,
        )

    def _size(self, size: Any, source: Any) -> tuple[int, int]:
        """(width, height): what is asked for, else the source's, else the model's own."""
        if size is None:
            size = self.model.size[::-1] if source is None else source.size
        size = (size, size) if isinstance(size, int) else tuple(size)
        multiple = self.model.multiple
        if len(size) != 2 or not all(isinstance(v, int) and 0 < v <= LARGEST and v % multiple == 0 for v in size):
            shown = "x".join(map(str, size))
            raise ValueError(f"size {shown} must be multiples of {multiple} from {multiple} to {LARGEST} pixels a side")
        return size

    def _walk(self, options: dict[str, Any]) -> Walk:
        """The model's settings and the caller's; a window may be one number, like a size."""
        if isinstance(side := options.get("window"), int):
            options = {**options, "window": (side, side)}
        walk = walk_of(self.model.defaults, options)
        self._window(walk.window)
        return walk

    def _window(self, window: tuple[int, ...]) -> tuple[int, ...]:
        """(width, height) in pixels -> (rows, columns) in latent positions; ValueError if the model cannot see it."""
        multiple = self.model.multiple
        if not window:
            return ()
        if len(window) != 2 or any(side % multiple for side in window):
            raise ValueError(f"window {tuple(window)} must be (width, height), both multiples of {multiple} pixels")
        return self.model.spec.grid(window[::-1])

    def _known(self, request: Request, source: Any) -> Tensor | None:
        if source is None:
            return None
        return image_modality.fitted(source, request.size)[None]

    @torch.no_grad()
    def stream(self, job: Job) -> Iterator[Event]:
        """The events of a job, the last of them with its pictures. Leaving the loop early cancels the job."""
        first, n = job.requests[0], len(job.requests)
        yield Event(stage="encode", total=1)
        conditions, null, regions = self._conditions(job.requests)
        width, height = first.size
        like = torch.empty(n, self.model.spec.channels, *self.model.spec.grid((height, width)))
        start = self._start(job, n)
        yield Event(stage="encode", step=1, total=1)
        keyed = Keyed(seed=first.seed, samples=[r.sample for r in job.requests])
        state = None
        walk = replace(first.walk, window=self._window(first.walk.window))
        for state in generate(self.model.denoiser, conditions, null, like, keyed, walk, start, regions):
            yield Event(stage="step", step=state.step, total=state.total, preview=self._preview(state.x0, job))
        yield Event(stage="decode", total=1)
        pixels = self.decode(state.x, first.walk.loop)
        if job.keep is not None:
            pixels = torch.lerp(pixels, job.known, job.keep)
        images = [_made(p, r) for p, r in zip(pixels, job.requests, strict=True)]
        yield Event(stage="done", step=1, total=1, images=tuple(images))

    def decode(self, z: Tensor, loop: Sequence[int] = ()) -> Tensor:
        """Latents [B, C, *grid] -> media [B, 3, H, W]; grids above `TILE` in tiles, with the same pixels.

        Along the axes of `loop` the ends see each other, so that no seam is decoded."""
        margin = {axis % z.ndim: min(self.model.autoencoder.reach, z.shape[axis]) for axis in loop}
        for axis, around in margin.items():
            z = torch.cat([z.narrow(axis, z.shape[axis] - around, around), z, z.narrow(axis, 0, around)], dim=axis)
        if max(z.shape[2:]) > TILE:
            pixels = tiling.decode_tiled(self.model.autoencoder, z, tile=TILE)
        else:
            pixels = self.model.autoencoder.decode(z)
        for axis, around in margin.items():
            cut = around * self.model.spec.stride[axis - 2]
            pixels = pixels.narrow(axis, cut, pixels.shape[axis] - 2 * cut)
        return pixels

    def _preview(self, x0: Tensor, job: Job) -> Tensor | None:
        if not job.previews or self.model.preview is None:
            return None
        return self.model.preview(x0).clamp(-1, 1)

    def _conditions(self, requests: Sequence[Request]) -> tuple[Any, Any, Any]:
        """All texts encoded in one batch, at one length, so that equal networks can run together."""
        first, n = requests[0], len(requests)
        columns = [[r.prompts[i][0] for r in requests] for i in range(len(first.prompts))]
        columns += [[text] * n for text, _ in first.regions]
        columns += [[first.negative] * n] if first.negative else []
        texts = list(dict.fromkeys(text for column in columns for text in column))
        encoded = self.model.text(texts)
        rows = [{k: v[[texts.index(text) for text in column]] for k, v in encoded.items()} for column in columns]
        null = rows[-1] if first.negative else self.model.text.null(n, encoded["text"].shape[1])
        count = len(first.prompts)
        conditions = [(row, weight) for row, (_, weight) in zip(rows, first.prompts, strict=False)]
        grid = self.model.spec.grid(first.size[::-1])
        boxes = [_box_mask(box, grid) for _, box in first.regions]
        return conditions, null, list(zip(rows[count : count + len(boxes)], boxes, strict=True))

    def _start(self, job: Job, n: int) -> Start | None:
        if job.known is None:
            return None
        known = self.model.autoencoder.encode(job.known).expand(n, -1, -1, -1)
        keep = None
        if job.keep is not None:
            # a latent position stays only if every pixel under it stays
            keep = -torch.nn.functional.max_pool2d(-job.keep, self.model.spec.stride)
        return Start(known=known, strength=job.requests[0].strength, keep=keep)


def _result(images: list[Image], prompt: Prompt) -> Image | list[Image]:
    """One picture itself; a list where several, or a list of prompts, were asked for."""
    listed = not isinstance(prompt, str) and isinstance(prompt[0], str)
    return images if listed or len(images) > 1 else images[0]


Prompts = tuple[tuple[str, float], ...]


def _prompts(prompt: Prompt) -> list[Prompts]:
    """What was given as a prompt -> the (text, weight) pairs of each picture."""
    if isinstance(prompt, str):
        return [((prompt, 1.0),)]
    items = list(prompt) if isinstance(prompt, Sequence) else []
    if items and all(isinstance(item, str) for item in items):
        return [((text, 1.0),) for text in items]
    if not items or not all(_is_pair(item) for item in items):
        raise ValueError(f"prompt must be a text, a list of texts, or a list of (text, weight), not {prompt!r}")
    return [tuple((text, float(weight)) for text, weight in items)]


def _is_pair(item: Any) -> bool:
    return (
        isinstance(item, Sequence) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], (int, float))
    )


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
    return Image(bare.pixels, request.to_json(bare.sha256))


def _fingerprint(picture: Image) -> Source:
    return Source(path=picture.path, sha256=picture.sha256)


def load(name_or_path: str | Path = "mini-image") -> Pipeline:
    """A shipped model by name, or a model folder, as a Pipeline. ValueError naming what ships if there is none."""
    shipped = models()
    folder = Path(shipped.get(str(name_or_path), name_or_path))
    for family in _families():
        if family.claims(folder):
            return Pipeline(family.load(folder))
    raise ValueError(
        f"unknown model {str(name_or_path)!r}: neither a shipped model ({', '.join(shipped)}) nor a model folder"
    )


def models() -> Mapping[str, Path]:
    """The shipped models: name -> folder."""
    return {name: folder for family in _families() for name, folder in family.cards().items()}


def _families() -> list[Any]:
    found = [f"{families.__name__}.{m.name}" for m in pkgutil.iter_modules(families.__path__) if m.name != "model"]
    return [importlib.import_module(name) for name in found]
