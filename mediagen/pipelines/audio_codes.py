"""Sound by a model that writes codes, one after the other: new sound, and what comes after a clip."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..core.rng import Drawn
from ..generators import autoregressive
from ..generators.autoregressive import Codes, Sampling
from ..modalities import audio as audio_modality
from ..request import Request, Source
from .audio import SAMPLING, AudioJob, AudioPipeline
from .audio_canvas import Canvas
from .base import Event, Job, batch, keyed, noise_name
from .prompts import prompts_of
from .timed import LONGEST, check_seconds

OPTIONS = ("guidance", "seed", "sample", "negative", "lufs", "right")
SHARE = 3  # one part in so many of a window is what the next one is shown of what was before


@dataclass(frozen=True, kw_only=True, eq=False)
class CodesJob(AudioJob):
    """sampling: how codes are drawn; past: the end of a clip [1, C, samples] that is gone on from."""

    sampling: Sampling
    past: Tensor | None = None


class CodesPipeline(AudioPipeline):
    """As an `AudioPipeline`, with `generate` and `extend` to the right: such a model only goes on.

    Options beside seconds, seed, guidance, negative and lufs: temperature, top_k and top_p
    (`generators.autoregressive.Sampling`). What is longer than it was trained on goes in windows, each of which is
    shown the end of the last one.
    """

    def job(self, prompt: Any, *, n: int = 1, start: Any = None, noise: Any = None, **options: Any) -> CodesJob:
        """Check everything that was asked for and put it into a job; nothing is computed yet.

        start: a clip to go on from, for `right` seconds; without one `seconds` are new. noise: a torch.Generator, drawn
        from as transformers does from its own. There are no previews. ValueError for what such a model cannot do."""
        options = {name: value for name, value in options.items() if value is not None and name != "previews"}
        if options.get("left") == 0:
            del options["left"]
        if options.get("strength") == 1:
            del options["strength"]
        seconds = options.pop("seconds", self.model.seconds)
        chosen = {name: options.pop(name) for name in SAMPLING if name in options}
        self._check(options, start, prompt)
        if noise is not None and not isinstance(noise, torch.Generator):
            raise ValueError(
                f"noise of a model that writes codes must be a torch.Generator, not {type(noise).__name__}"
            )
        sampling = replace(self.model.sampling, **chosen)
        clip, right = None if start is None else audio_modality.load(start), options.pop("right", 0.0)
        seconds = seconds if clip is None else right
        check_seconds(seconds, self.shortest, LONGEST, "right" if clip is not None else "seconds")
        new = round(seconds * self.rate)
        cover, past = (None, None) if clip is None else self._ahead(clip, new)
        count = new if cover is None else cover.samples.shape[1]
        request = Request(
            task="generate" if clip is None else "extend",
            prompts=(),
            seconds=count / self.rate,
            source=None if clip is None else Source(path=clip.path, sha256=clip.sha256),
            right=None if clip is None else right,
            noise=noise_name(noise),
            sampling=sampling,
            lufs=options.pop("lufs", None),
            **self._common(options),
        )
        return CodesJob(
            requests=batch(request, prompts_of(prompt), n),
            grid=self.model.spec.grid((-(-new // self.stride) * self.stride,)),
            samples=count,
            sampling=sampling,
            past=past,
            canvas=cover,
            noise=None if noise is None else Drawn(generator=noise),
        )

    @torch.no_grad()
    def stream(self, job: Job) -> Iterator[Event]:
        """The events of a job, a step for each column of codes."""
        yield Event(stage="encode", total=1)
        cond, null = self.said(job)
        known = self._known(job)
        yield Event(stage="encode", step=1, total=1)
        codes = None
        for codes in self.codes(job, cond, null, known):
            yield Event(stage="step", step=codes.step, total=codes.total)
        yield Event(stage="decode", total=1)
        media = torch.cat([self.model.autoencoder.decode(row[None]) for row in codes.codes])
        yield Event(stage="done", step=1, total=1, results=tuple(self._finished(media, job)))

    def codes(self, job: Any, cond: Any, null: Any, known: Tensor) -> Iterator[Codes]:
        """All the codes of a job [B, K, known + new], column by column; the last one has them."""
        layout, first = self.model.layout, job.requests[0]
        draw = autoregressive.keyed(keyed(job)) if job.noise is None else autoregressive.drawn(job.noise)
        plan = {"layout": layout, "sampling": job.sampling, "guidance": first.walk.guidance}
        spans = self._windows(known.shape[2], job.grid[0])
        total, done, codes = sum(new + max(layout.delays) for _, new in spans), 0, known
        for kept, new in spans:
            before, speaker = codes[..., codes.shape[2] - kept :], self.model.begins(cond, null)
            numbered = partial(_numbered, draw, done - kept - 1)
            window = codes
            for state in autoregressive.generate(speaker, before, kept + new, draw=numbered, **plan):
                codes = torch.cat((window, state.codes[..., kept:]), 2)
                yield Codes(step=done + state.step, total=total, codes=codes)
            done += new + max(layout.delays)

    def said(self, job: Job) -> tuple[Any, Any]:
        """What the model is told, and what guidance leads away from; None without guidance."""
        first, n = job.requests[0], len(job.requests)
        texts = [request.prompts[0][0] for request in job.requests]
        read = self.model.text(texts + ([first.negative] * n if first.negative else []))
        cond = {name: value[:n] for name, value in read.items()}
        if first.walk.guidance == 1:
            return cond, None
        if first.negative:
            return cond, {name: value[n:] for name, value in read.items()}
        return cond, {name: torch.zeros_like(value) for name, value in cond.items()}

    def live(self, prompt: Any, **options: Any) -> Any:
        """ValueError: not there yet."""
        raise ValueError(
            f"the model {self.model.name} writes codes and makes no streams: generate clips, and extend them"
        )

    # ---- what was asked for

    def _check(self, options: Mapping[str, Any], start: Any, prompt: Any) -> None:
        if start is None and "right" in options:
            raise ValueError("right is of a clip that is there already: give one to go on from")
        if start is not None and "right" not in options:
            raise ValueError(
                f"the model {self.model.name} only goes on: a clip to start from takes right=seconds, no more"
            )
        if unknown := sorted(set(options) - set(OPTIONS)):
            known = ", ".join((*OPTIONS, "seconds", *SAMPLING))
            raise ValueError(f"{unknown[0]!r} is nothing that a model that writes codes can do; it takes {known}")
        if not isinstance(prompt, str) and not all(isinstance(item, str) for item in prompt):
            raise ValueError("a model that writes codes takes one text for each clip: no timeline, nothing to compose")

    def _ahead(self, clip: Any, new: int) -> tuple[Canvas, Tensor]:
        """The clip with room after it, and its end in whole positions, as much as a window is shown."""
        clip = audio_modality.load(clip, rate=self.rate, channels=self.model.spec.media_channels)
        samples = torch.from_numpy(clip.samples)
        count = samples.shape[1]
        positions = min(count // self.stride, max(self.model.window // SHARE, 1))
        if positions < 1:
            raise ValueError(f"the clip has {count} samples: at least {self.stride} are needed to go on from")
        first = count - positions * self.stride
        ahead = samples.flip(1).repeat(1, -(-new // count))[:, :new]  # its mirror image, to fade from
        holes = ((count, count + new),)
        return Canvas(samples=torch.cat((samples, ahead), 1), holes=holes, shown=(first, count + new)), samples[
            None, :, first:
        ]

    def _windows(self, known: int, left: int) -> list[tuple[int, int]]:
        """(positions that are shown, new ones) of each window."""
        spans, there = [], known
        while left:
            kept = min(there, max(self.model.window - left, self.model.window // SHARE))
            new = min(left, self.model.window - kept)
            spans.append((kept, new))
            there, left = there + new, left - new
        return spans

    def _known(self, job: Any) -> Tensor:
        """The codes of the clip's end, for each of the batch [B, K, P]."""
        if job.past is None:
            return torch.zeros(len(job.requests), self.model.spec.channels, 0, dtype=torch.long)
        codes = self.model.autoencoder.encode(job.past)
        return codes.expand(len(job.requests), *codes.shape[1:])

    def _walking(self, options: dict[str, Any]) -> dict[str, Any]:
        return options


def _numbered(draw: Any, first: int, column: int, p: Tensor) -> Tensor:
    """Columns are numbered through all windows, so that no noise comes twice."""
    return draw(first + column, p)
