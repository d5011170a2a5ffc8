"""Pipeline: what was asked for -> media. The only place where the parts meet.

What all media share is here: prompts, noise, conditions, the walk, decoding in tiles, the stream of events. What a
picture, a sound or a clip has of its own is in `image`, `audio` and `video`: sizes, sources,
masks, the finished file.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..adapters import NOTHING, Adapters, Shown
from ..autoencoders import tiling
from ..autoencoders.base import each_axis, filled
from ..conditioners.base import TOKENS, Cond, padded
from ..core.rng import Drawn, Given, Keyed, Noise
from ..core.solve import State
from ..errors import ran_out
from ..families.model import Model
from ..generators.diffusion import Asked, Box, Start, Walk, generate
from ..request import Request, walk_of
from .checks import PUBLISHED, check_grid, check_walk, failed
from .known import needed, stays
from .prompts import Prompts


@dataclass(kw_only=True, slots=True)  # a frozen one, of which each step makes one, takes 1 us longer
class Event:
    """What happens, as it happens. stage: "encode", "step", "decode" or "done"; step of total; preview: small media
    [B, 3, *size] in [-1, 1] of the x0 of this step, if asked for; results: the media, with the last event."""

    stage: str
    step: int = 0
    total: int = 0
    preview: Tensor | None = None
    results: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A batch: requests that differ in their prompts, seeds and sample numbers only, the latent grid that they are made
    on, the media [1, C, *size] that they start from, with keep [1, 1, *size], 1 where they stay, and the media that the
    model is shown as its context. noise: what they are made of, where it was handed in; else it is that of their
    seeds. adapted: pictures that control networks and IP-Adapters are shown."""

    requests: tuple[Request, ...]
    grid: tuple[int, ...]
    known: Tensor | None = None
    keep: Tensor | None = None
    context: Tensor | None = None
    previews: bool = False
    noise: Noise | None = None
    adapted: Shown = NOTHING


class Pipeline:
    """A loaded model and what can be done with it. Every method is a function of its arguments and the seed alone.

    A modality adds its own `job`, what `_places` and `_numbers` say of it, and how it is `_finished`.
    """

    tile = 64  # latent positions a side that are coded at once; larger grids go in tiles

    def __init__(self, model: Model) -> None:
        self.model, self.adapters = model, Adapters(model)

    def job(self, prompt: Any, **options: Any) -> Job:
        """Check everything that was asked for and put it into a job; nothing is computed yet."""
        raise NotImplementedError

    def check(self, job: Job) -> None:
        """Read the words of a job as well, which is quick; nothing else is computed. ValueError for a prompt that is
        empty or too long, or a size that the network does not see."""
        check_grid(self.model, job.grid, self._window(job.requests[0].walk.window))
        self.model.text.lengths(self._texts(job))

    def alike(self, job: Job) -> str:
        """A text that is the same for all jobs that `together` makes one batch of; empty for a job that begins from
        media, which goes alone, as do those of a model that is not `even`."""
        begun = job.known is not None or job.context is not None or job.noise is not None
        if begun or job.adapted or not self.model.even:
            return ""
        first, longest = job.requests[0], max(self.model.text.lengths(self._texts(job)))
        weights = tuple(("", weight) for _, weight in first.prompts)
        same = replace(first, prompts=weights, seed=0, sample=0)
        return repr((type(job).__name__, job.grid, -(-longest // TOKENS), same))

    def together(self, jobs: Sequence[Job]) -> Job:
        """One batch of jobs that are `alike`: their media in this order, each as it would be alone."""
        if len(jobs) > 1 and (len({self.alike(job) for job in jobs}) > 1 or not self.alike(jobs[0])):
            raise ValueError("these jobs are not alike: only new media of one size and settings are made together")
        requests = tuple(request for job in jobs for request in job.requests)
        return replace(jobs[0], requests=requests, previews=any(job.previews for job in jobs))

    def run(self, job: Job) -> list[Any]:
        """All the media of a job."""
        *_, last = self.stream(job)
        return list(last.results)

    @torch.no_grad()
    def stream(self, job: Job) -> Iterator[Event]:
        """The events of a job, the last of them with its media. Leaving the loop early cancels the job."""
        yield Event(stage="encode", total=1)
        asked, start = self.asked(job), self.start(job)
        yield Event(stage="encode", step=1, total=1)
        state = None
        for state in self.walk(job, asked, start):
            yield Event(stage="step", step=state.step, total=state.total, preview=self._preview(state.x0, job))
        yield Event(stage="decode", total=1)
        media = self.decode(state.x, job.requests[0].walk.loop)
        yield Event(stage="done", step=1, total=1, results=tuple(self._heard(self._finished(media, job), state.x, job)))

    def walks(self, job: Job) -> Sequence[Job]:
        """The job itself, or one for each walk that it is made in: they are alike in what they cost."""
        return (job,)

    def walk(self, job: Job, asked: Asked, start: Start | None = None) -> Iterator[State]:
        """From noise to latents [B, C, *grid], step by step."""
        first = job.requests[0]
        like = torch.empty(len(job.requests), self.model.spec.channels, *job.grid)
        noise, settings = job.noise or keyed(job), self._settings(first.walk, job)
        noise = noise if self.model.opens is None else self.model.opens(job, noise)
        if self.model.begin is not None:
            self.model.begin(settings.steps)
        states = generate(self.model.denoiser, asked, like, noise, settings, start)
        return self.adapters.during(self._within(states, job), first)

    def _within(self, states: Iterator[State], job: Job) -> Iterator[State]:
        """ValueError for what a published network runs into; our own keep their trace."""
        try:
            with self.model.during():
                yield from states
        except (RuntimeError, IndexError, AssertionError) as error:
            if self.model.largest is None or ran_out(error):
                raise
            raise failed(self.model, job.grid, error) from error

    def _settings(self, walk: Walk, job: Job) -> Walk:
        """The walk in the network's own units: windows in latent positions, the schedule that the model was published
        with as times, where its second network begins; a guidance that the network is told costs no second branch."""
        boundary = self.model.boundary if walk.boundary is None else walk.boundary
        walk = replace(walk, window=self._window(walk.window), boundary=boundary)
        if self.model.distilled:
            walk = replace(walk, guidance=1.0)
        if self.model.schedule is None or walk.timing != PUBLISHED:
            return walk
        schedule = self.model.schedule(walk.steps, job.grid)
        timing = {"name": "Explicit", "times": schedule.times}
        return replace(walk, timing=timing, steps=schedule.steps, begin=schedule.begin)

    def decode(self, z: Tensor, loop: Sequence[int] = ()) -> Tensor:
        """Latents [B, C, *grid] -> media [B, C, *size]; grids above `tile` in tiles, with the same values. One after
        the other: convolutions round a batch differently.

        Along the axes of `loop` the ends see each other, so that no seam is decoded. In causal time that is looped
        each latent stands for `stride` frames, the first one too."""
        return torch.cat([self._decoded(one, loop) for one in z.split(1)])

    def _decoded(self, z: Tensor, loop: Sequence[int]) -> Tensor:
        vae, spec = self.model.autoencoder, self.model.spec
        around = each_axis(vae.reach, spec.dims)
        axes = [axis % z.ndim - 2 for axis in loop]
        counts = {axis: z.shape[axis + 2] for axis in axes}
        for axis in axes:
            before, after = around[axis], 0 if spec.causal and axis == 0 else around[axis]
            z = z.index_select(axis + 2, torch.arange(-before, counts[axis] + after) % counts[axis])
        large = max(z.shape[2:]) > self.tile and not self.model.whole
        media = tiling.decode_tiled(vae, z, tile=self.tile) if large else vae.decode(z)
        for axis in axes:
            first = spec.covered(axis, around[axis])
            last = spec.covered(axis, around[axis] + counts[axis])
            media = media.narrow(axis + 2, first, last - first)
        return media

    def encode(self, media: Tensor) -> Tensor:
        """Media [B, C, *size] -> latents [B, C, *grid]; grids above `tile` in tiles, with the same values."""
        vae = self.model.autoencoder
        large = max(self.model.spec.grid(media.shape[2:])) > self.tile and not self.model.whole
        return tiling.encode_tiled(vae, media, tile=self.tile) if large else vae.encode(media)

    def asked(self, job: Job) -> Asked:
        """All texts encoded in one batch, at one length, so that equal networks can run together. What guidance leads
        away from is read only where there is some."""
        first, n = job.requests[0], len(job.requests)
        check_grid(self.model, job.grid, self._window(first.walk.window))
        led = len(first.prompts) > 1 or (first.walk.scales != (1, 1) and not self.model.distilled)
        self.adapters.put(first)
        places = self._places(job)
        columns = [[r.prompts[i][0] for r in job.requests] for i in range(len(first.prompts))]
        columns += [[text] * n for text, _ in places]
        away = bool(first.negative) and led and self.model.against is None
        columns += [[first.negative] * n] if away else []
        texts = list(dict.fromkeys(text for column in columns for text in column))
        shown, facts = self._shown(job), self.model.told(first, n)
        reader = self.model.text if self.model.reader is None else self.model.reader(job)
        written = self.adapters.worded([*texts, first.negative or ""], first)  # a learned word may be in that alone
        encoded, told = reader(written[: len(texts)]), self._told(job, shown, ())
        seen, unseen = self.adapters.seen(first, job.adapted, n)
        said = [{k: v[[texts.index(text) for text in column]] for k, v in encoded.items()} for column in columns]
        rows = [row | told | facts | seen for row in said]
        null = None
        if led:
            null = (rows[-1] if away else told | self._nothing(job, reader, encoded) | facts) | unseen
            null = self.model.contrast(null) if self.model.contrast else null
            null |= self.adapters.unled(first, null)
        count, around = len(first.prompts), self._around(job)
        return Asked(
            prompts=[(row, weight) for row, (_, weight) in zip(rows, first.prompts, strict=False)],
            null=null,
            regions=[(row, mask) for row, (_, mask) in zip(rows[count:], places, strict=False)],
            told=None if (first.walk.loop and not around) or not told else partial(self._told, job, shown),
            lead=int(self.model.spec.causal),  # the first latent of causal time stands for less than the others
            around=around,
            share=None if self.model.share is None else self.model.share(job.grid),
            parts=None if self.model.parts is None else self.model.parts(job.grid),
            aside=self.model.aside,
            controls=self.adapters.controls(first),
            bound=self.model.bound,
            widened=self.model.widened,
        )

    def _nothing(self, job: Job, reader: Any, encoded: Cond) -> Cond:
        """What is told where nothing is asked for, at the length of what is encoded, or what is read otherwise."""
        n = len(job.requests)
        unsaid = {k: v for scalar in self.model.scalars for k, v in scalar.null(n).items()}
        if self.model.against is None:
            return padded(reader.null(n), encoded) | unsaid
        read = self.model.against([job.requests[0].negative or ""])
        return {name: value.expand(n, *value.shape[1:]) for name, value in read.items()} | unsaid

    def start(self, job: Job) -> Start | None:
        """What the walk begins from and what of it is known; None for noise alone. A model that is shown what is known
        keeps it itself."""
        told, strength = self._keeps(job), job.requests[0].strength
        if job.known is None or (told and strength == 1):
            return None
        keep = None if job.keep is None or told else stays(self.model.spec, job.keep, job.grid)
        media = job.known if keep is None or strength < 1 else needed(self.model.spec, job.known, keep)
        known = torch.cat([self.encode(one) for one in media.split(1)])
        known = filled(known, job.grid[0]).expand(len(job.requests), -1, *job.grid)
        options = {"token": self.model.token, "told": not self.model.knows, "project": self._projection(job)}
        return Start(known=known, strength=strength, keep=keep, **options)

    def _texts(self, job: Job) -> list[str]:
        """All that its requests say, each text once."""
        texts = [text for request in job.requests for text, _ in (*request.prompts, *request.regions)]
        texts += [text for _, text in job.requests[0].timeline] + [job.requests[0].negative or texts[0]]
        return self.adapters.worded(list(dict.fromkeys(texts)), job.requests[0])

    # ---- what a modality says

    def _keeps(self, job: Job) -> bool:
        """Whether the model itself keeps what is known, since it is shown all of it."""
        return self.model.shown is not None

    def _places(self, job: Job) -> list[tuple[str, Tensor]]:
        """(text, mask [1, 1, *grid]) of the prompts that have a place of their own."""
        return []

    def _numbers(self, job: Job, box: Box) -> Mapping[str, float | None]:
        """What the model's scalars are told for a window of the grid, () for all of it; None: nothing."""
        return {}

    def _around(self, job: Job) -> int:
        """Latents past each end of a loop that what is shown covers too; 0: nothing has a place in a loop."""
        return 0

    def _projection(self, job: Job) -> Callable[[Tensor], Tensor] | None:
        """x0 -> x0 with what is known of the media, where no mask of the latents can say it."""
        return None

    def _heard(self, results: list[Any], z: Tensor, job: Job) -> list[Any]:
        """The results with what is heard in their latents."""
        return results

    def _finished(self, media: Tensor, job: Job) -> list[Any]:
        """Decoded media [B, C, *size] -> what is handed out, carrying its request."""
        raise NotImplementedError

    def _window(self, window: tuple[int, ...]) -> tuple[int, ...]:
        """Sides in media units -> in latent positions; ValueError if the model cannot see it."""
        return self.model.spec.grid(window) if window else ()

    # ---- what they share

    def _told(self, job: Job, shown: Cond, box: Box) -> Cond:
        """What the model is told and shown of a window: its numbers, and that part of the context."""
        numbers, n = self._numbers(job, box), len(job.requests)
        unknown = sorted({scalar.name for scalar in self.model.scalars} - set(numbers))
        if unknown:
            raise ValueError(f"the model {self.model.name} asks for {unknown[0]!r}, which {self.model.modality} lacks")
        told = ((scalar, numbers[scalar.name]) for scalar in self.model.scalars)
        codes = (scalar.null(n) if number is None else scalar([number] * n) for scalar, number in told)
        return {k: v for code in codes for k, v in code.items()} | {k: self._seen(v, box) for k, v in shown.items()}

    def _seen(self, shown: Tensor, box: Box) -> Tensor:
        """The window's part of what has a place on the grid."""
        return shown[..., *box] if shown.ndim == self.model.spec.dims + 2 else shown

    def _shown(self, job: Job) -> Cond:
        """The context as latents, the same for the whole batch, or what the model itself makes of the job."""
        if self.model.shown is not None:
            shown = self.model.shown(job, (job.noise or keyed(job)).of("shown"))
        else:
            shown = {} if job.context is None else {"context": self.encode(job.context)}
        shown |= self.adapters.hints(job.requests[0], job.adapted)
        return {name: each.expand(len(job.requests), *each.shape[1:]) for name, each in shown.items()}

    def _noise(self, noise: Any, shape: tuple[int, ...], request: Request) -> Noise | None:
        """What was handed in as noise -> where a batch of this shape takes its own from; None for its seeds."""
        if noise is None:
            return None
        if isinstance(noise, torch.Generator):
            if request.source is not None and (self.model.shown is None or request.task == "vary"):
                raise ValueError("a generator can only start new media: give the noise for a source as a tensor")
            return Drawn(generator=noise) if self.model.drawn is None else self.model.drawn(noise, request)
        if not isinstance(noise, Tensor) or noise.shape != shape:
            given = tuple(noise.shape) if isinstance(noise, Tensor) else repr(noise)
            raise ValueError(f"noise must be a torch.Generator or a tensor of the shape {shape}, not {given}")
        return Given(
            start=noise, steps=Keyed(seed=request.seed, samples=range(request.sample, request.sample + shape[0]))
        )

    def _preview(self, x0: Tensor, job: Job) -> Tensor | None:
        if not job.previews or self.model.preview is None:
            return None
        return self.model.preview(x0).clamp(-1, 1)

    def _common(self, options: dict[str, Any]) -> dict[str, Any]:
        """The fields of a request that all media share, taken out of the caller's options; the rest is the walk's."""
        strength, seed = options.pop("strength", 1.0), options.pop("seed", None)
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, not {strength}")
        fields = {"sample": options.pop("sample", 0), "negative": options.pop("negative", None) or None}
        fields |= self.adapters.fields(options)
        if fields["negative"] and self.model.distilled:
            raise ValueError(f"the model {self.model.name} is told its guidance: it takes no negative prompt")
        names = {"model": self.model.name, "model_hash": self.model.hash, "version": __version__}
        names |= {"refined": self.model.refined}
        seed = secrets.randbelow(2**32) if seed is None else seed
        walk = walk_of(self.model.defaults, options)
        self._window(walk.window)
        check_walk(self.model, walk)
        return {"strength": float(strength), "seed": seed, "walk": walk, **fields, **names}


def keyed(job: Job) -> Keyed:
    """The noise of a job's seeds."""
    return Keyed(seed=[r.seed for r in job.requests], samples=[r.sample for r in job.requests])


def batch(request: Request, prompts: Sequence[Prompts], n: int) -> tuple[Request, ...]:
    """`n` samples of each of the prompts, numbered from the request's own."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 1024:
        raise ValueError(f"n must be a whole number from 1 to 1024, not {n!r}")
    if request.task == "generate" and request.strength != 1:
        raise ValueError(f"strength {request.strength:g} is of what is varied, and nothing is given: leave it out")
    each = [prompt for prompt in prompts for _ in range(n)]
    return tuple(request.numbered(request.sample + number, prompt) for number, prompt in enumerate(each))


def noise_name(noise: Any) -> str | None:
    """What a request says of noise that was handed in."""
    if isinstance(noise, torch.Generator):
        return f"a torch.Generator of the seed {noise.initial_seed()}"
    if isinstance(noise, Tensor):
        return sha256(noise.detach().cpu().float().contiguous().numpy().tobytes()).hexdigest()
    return None


def result_of(media: list[Any], prompt: Any) -> Any:
    """One of them itself; a list where several, or a list of prompts, were asked for."""
    listed = not isinstance(prompt, str) and isinstance(prompt[0], str)
    return media if listed or len(media) > 1 else media[0]
