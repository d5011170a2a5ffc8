"""Sounds as a denoiser's training sees them: stretches of cached latents, which know where in a piece they lie.

A clip that is shorter than the stretch is followed by the latents of silence, and these are learned like all others:
what comes after the end is asked for too, whenever a grid is longer than the piece on it, all batches have one shape,
and attention needs no mask. Latents near a clip's end feel what follows, so clips are encoded with silence behind them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..autoencoders.chunks import encode_blocks, padded
from ..autoencoders.whitened import Whitened
from ..conditioners import beats
from ..nn.stft import LogMel, Mel
from . import clips as sources
from .clips import Clips, Rests, Tracks
from .denoise import Batch, Numbers, repeated
from .journal import Journal, shades
from .latents import Latents, beginnings, cached, file_of
from .recipes import DenoiserRecipe
from .trainer import Place

TILE = 256  # latents that are encoded at once
BLOCK = 1 << 20  # samples that are read at once


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A stretch of a clip, in latents. alone: what plays beside it, if anything does, is not shown; free: its beats are
    not."""

    clip: int
    start: int
    count: int
    alone: bool = True
    free: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Sounds:
    """A `Medium`. window: latents of a stretch; silence: float32 [C], a latent of silence; rests: the latents of what
    plays beside each stem, and of_rest: which of them is a clip's, clip -> number; None and {} where none is shown."""

    recipe: DenoiserRecipe
    clips: Clips
    vae: Whitened
    latents: Latents
    window: int
    silence: np.ndarray
    rests: Latents | None = None
    of_rest: Mapping[int, int] = field(default_factory=dict)

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """seconds: of the whole clip; start: where in it a stretch begins, in seconds."""
        seconds = [self.clips.length(i) / self.clips.rate for i in range(len(self.clips))]
        return {"seconds": (min(seconds), max(seconds)), "start": (0.0, max(seconds))}

    def __len__(self) -> int:
        return len(self.clips)

    def captions(self, i: int) -> tuple[str, ...]:
        return self.clips.captions(i)

    def epoch(self) -> np.ndarray:
        return repeated([self.clips.kind(i) for i in range(len(self.clips))], self.recipe.repeat)

    def cuts(self, chosen: np.ndarray, rng: np.random.Generator) -> Sequence[Cut]:
        """Stretches of the window, in a share `shorter` of the batches of half of it."""
        count = self.window // 2 if rng.random() < self.recipe.shorter else self.window
        cuts = [self._cut(int(i), float(rng.random()), count) for i in chosen]
        if not self.recipe.signals:
            return cuts
        alone, free = rng.random(len(cuts)) < self.recipe.alone, rng.random(len(cuts)) < self.recipe.free
        return [replace(cut, alone=bool(a), free=bool(f)) for cut, a, f in zip(cuts, alone, free, strict=True)]

    def example(self, cut: Cut) -> int:
        return cut.clip

    def states(self, cuts: Sequence[Cut]) -> tuple[Tensor, Numbers]:
        x0 = torch.from_numpy(np.stack([self._followed_by_silence(self.latents, cut.clip, cut) for cut in cuts]))
        rate = self.clips.rate
        numbers = {
            "seconds": [self.clips.length(cut.clip) / rate for cut in cuts],
            "start": [cut.start * self.vae.spec.stride[0] / rate for cut in cuts],
        }
        return rearrange(x0, "b n c -> b c n"), numbers

    def media(self, cuts: Sequence[Cut]) -> Tensor:
        step = self.vae.spec.stride[0]
        waves = [sources.stretch(self.clips, cut.clip, cut.start * step, cut.count * step) for cut in cuts]
        return torch.from_numpy(np.stack(waves))

    def signals(self, cuts: Sequence[Cut]) -> Mapping[str, Tensor]:
        """context: what plays beside the stems that are not alone; beats: of what has a beat, unless it is free of it;
        zeros for all others."""
        kinds = {"context": self._context, beats.NAME: self._beats}
        return {name: kinds[name](cuts) for name in self.recipe.signals}

    def _beats(self, cuts: Sequence[Cut]) -> Tensor:
        step = self.vae.spec.stride[0] / self.clips.rate
        out = torch.zeros(len(cuts), beats.CHANNELS, cuts[0].count)
        for row, cut in zip(out, cuts, strict=True):
            beat = None if cut.free else self.clips.beat(cut.clip)
            if beat is not None:
                row[:] = beats.Beats(bpm=60 / beat).signal(cut.start * step, step, cut.count)
        return out

    def _context(self, cuts: Sequence[Cut]) -> Tensor:
        out = np.zeros((len(cuts), cuts[0].count, len(self.silence)), np.float32)
        for row, cut in zip(out, cuts, strict=True):
            if self.rests is not None and not cut.alone and cut.clip in self.of_rest:
                row[:] = self._followed_by_silence(self.rests, self.of_rest[cut.clip], cut)
        return rearrange(torch.from_numpy(out), "b n c -> b c n")

    def heldout(self, count: int) -> Batch:
        clips = sources.source(self.recipe.data, "heldout", self.clips.rate)
        chosen = range(min(count, len(clips)))
        rows = np.concatenate([piece.half().cpu().numpy() for piece in encoded(clips, self.vae, chosen)])
        there = Latents(rows=rows, starts=beginnings(lengths(clips, self.vae, chosen)))
        indices = [i % len(chosen) for i in range(count)]
        x0, numbers = replace(self, clips=clips, latents=there).states(
            [Cut(clip=i, start=0, count=self.window) for i in indices]
        )
        return Batch(x0=x0, captions=[clips.captions(i)[0] for i in indices], numbers=numbers)

    @torch.no_grad()
    def show(self, journal: Journal, step: int, x0: Tensor) -> None:
        rate = self.clips.rate
        made = torch.cat([self.vae.decode(z[None]).cpu() for z in x0])
        mel = Mel(rate=rate, high=min(Mel.high, rate / 2))
        journal.pictures(step, "samples", shades(LogMel(mel)(padded(made, mel.hop))))
        journal.sounds(step, "samples", made, rate)

    def card(self) -> dict[str, Any]:
        return {"modality": "audio", "rate": self.clips.rate, "seconds": self.recipe.seconds}

    def _cut(self, i: int, place: float, count: int) -> Cut:
        """The stretch at `place` in 0..1. Beginnings and ends, of which a clip has one each, come as often as a quarter
        of a stretch would."""
        room, edge = max(own_length(self.clips, self.vae, i) - count, 0), count // 4
        start = math.floor(place * (room + 2 * edge + 1)) - edge
        return Cut(clip=i, start=min(max(start, 0), room), count=count)

    def _followed_by_silence(self, latents: Latents, i: int, cut: Cut) -> np.ndarray:
        """The stretch of clip i of these latents, float32 [count, C]."""
        out = np.tile(self.silence, (cut.count, 1))
        found = latents.stretch(i, cut.start, cut.count)
        out[: len(found)] = found
        return out


def sounds(recipe: DenoiserRecipe, vae: Whitened | None, multiple: int, here: Place) -> Sounds:
    """A recipe's sounds. ValueError if its autoencoder is none of sound, or its network asks for unknown signals."""
    if vae is None or not hasattr(vae.config, "rate"):
        raise ValueError(f"vae is {recipe.vae}; sounds need an autoencoder of sound")
    known = {"context": vae.spec.channels, beats.NAME: beats.CHANNELS}
    if wrong := {name: n for name, n in recipe.signals.items() if known.get(name) != n}:
        raise ValueError(f"model has signals of the channels {wrong}; those of sounds are {known}")
    clips = sources.source(recipe.data, "train", vae.config.rate)
    with here.first():
        there = cached(file_of(recipe.data, str(recipe.vae)), lengths(clips, vae), encoded(clips, vae))
        rests, of_rest = rests_of(recipe, clips, vae) if "context" in recipe.signals else (None, {})
    window = multiple * math.ceil(round(recipe.seconds * clips.rate) / (multiple * vae.spec.stride[0]))
    if recipe.shorter and (window // 2) % multiple:
        window += multiple  # half of it must be a multiple too
    return Sounds(
        recipe=recipe,
        clips=clips,
        vae=vae,
        latents=there,
        window=window,
        silence=silence_of(vae),
        rests=rests,
        of_rest=of_rest,
    )


def rests_of(recipe: DenoiserRecipe, clips: Clips, vae: Whitened) -> tuple[Latents, dict[int, int]]:
    """The latents of what plays beside each stem, and clip -> number of its own there. ValueError without stems."""
    stems = [i for i in range(len(clips)) if clips.kind(i) == "stem"]
    if not isinstance(clips, Tracks) or not stems:
        raise ValueError(f"model has context, and {recipe.data} holds no stems to accompany anything with")
    rests, file = Rests(clips), file_of(recipe.data, str(recipe.vae), "-rests")
    return cached(file, lengths(rests, vae, stems), encoded(rests, vae, stems)), {i: k for k, i in enumerate(stems)}


def own_length(clips: Clips, vae: Whitened, i: int) -> int:
    """Latents that a clip takes, the last one perhaps not to its end."""
    return -(-clips.length(i) // vae.spec.stride[0])


def lengths(clips: Clips, vae: Whitened, chosen: Iterable[int] | None = None) -> list[int]:
    """Latents that are kept of each clip: its own, and those of the silence behind it that still feel it."""
    indices = range(len(clips)) if chosen is None else chosen
    return [own_length(clips, vae, i) + vae.encoder_reach for i in indices]


@torch.no_grad()
def encoded(clips: Clips, vae: Whitened, chosen: Iterable[int] | None = None) -> Iterator[Tensor]:
    """The latents [n, C] of clips and of the silence behind them, in order, a clip at a time; memory holds a block of
    sound and the latents of a clip."""
    reach = vae.encoder_reach
    for i in range(len(clips)) if chosen is None else chosen:
        kept = own_length(clips, vae, i) + reach
        z = torch.cat(list(encode_blocks(vae, followed(clips, vae, i, kept + reach), tile=TILE)), dim=-1)
        yield rearrange(z[..., :kept], "1 c n -> n c")


def followed(clips: Clips, vae: Whitened, i: int, count: int) -> Iterator[Tensor]:
    """Blocks [1, 2, n] of clip i and the silence behind it, `count` latents long in all."""
    device, whole = next(vae.parameters()).device, count * vae.spec.stride[0]
    for start in range(0, whole, BLOCK):
        block = sources.stretch(clips, i, start, min(BLOCK, whole - start))
        yield torch.from_numpy(block)[None].to(device)


@torch.no_grad()
def silence_of(vae: Whitened) -> np.ndarray:
    """float32 [C]: a latent that feels nothing but silence."""
    spec, reach = vae.spec, vae.encoder_reach
    nothing = torch.zeros(1, spec.media_channels, (2 * reach + 1) * spec.stride[0])
    return vae.encode(nothing.to(next(vae.parameters()).device))[0, :, reach].float().cpu().numpy()
