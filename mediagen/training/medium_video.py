"""Clips as a denoiser's training sees them: stretches of `frames` frames, each encoded from its own first frame on, and
pictures, which are clips of one frame.

The first latent of causal time stands for one frame and the others for several, so a stretch cannot be cut out of the
latents of a longer clip: each has latents of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..autoencoders.whitened import Whitened
from ..conditioners import motion
from . import pictures as images
from . import videos
from .denoise import Batch, Numbers, repeated
from .journal import Journal
from .latents import Latents, cached, file_of
from .recipes import DenoiserRecipe, PreviewRecipe
from .trainer import Place
from .videos import Videos

BATCH = 8  # clips that are encoded at once


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A stretch or picture. still: only its first latent is seen; free: how much it moves is not told."""

    example: int
    still: bool = False
    free: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Films:
    """A `Medium`. Examples are the stretches, (clip, first frame) each, and after them the pictures. latents,
    strengths (of motion): of the stretches; pictured: the latents of the pictures."""

    recipe: DenoiserRecipe
    clips: Videos
    vae: Whitened
    stretches: Sequence[tuple[int, int]]
    latents: Latents
    strengths: np.ndarray
    pictures: images.Source | None = None
    pictured: Latents | None = None

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """fps: frames a second; motion: its strength (`conditioners.motion`). Of pictures neither is told."""
        most = float(np.max(self.strengths, initial=0))
        return {"fps": (self.clips.rate, self.clips.rate), "motion": (0.0, most)}

    def __len__(self) -> int:
        return len(self.stretches) + (0 if self.pictures is None else len(self.pictures))

    def captions(self, i: int) -> tuple[str, ...]:
        count = len(self.stretches)
        if i < count:
            return self.clips.captions(self.stretches[i][0])
        return self.pictures.captions(i - count)

    def epoch(self) -> np.ndarray:
        """The stretches: pictures take the place of some of them."""
        return repeated([self.clips.kind(clip) for clip, _ in self.stretches], self.recipe.repeat)

    def example(self, cut: Cut) -> int:
        return cut.example

    def cuts(self, chosen: np.ndarray, rng: np.random.Generator) -> Sequence[Cut]:
        """Whole stretches; a share `stills` of the batches are pictures, or first frames where there are none."""
        still, free = rng.random() < self.recipe.stills, rng.random(len(chosen)) < self.recipe.free
        if still and self.pictures is not None:
            chosen = len(self.stretches) + rng.integers(len(self.pictures), size=len(chosen))
        return [Cut(example=int(i), still=still, free=bool(f)) for i, f in zip(chosen, free, strict=True)]

    def states(self, cuts: Sequence[Cut]) -> tuple[Tensor, Numbers]:
        x0 = torch.from_numpy(np.stack([self._latents(cut) for cut in cuts])).float()
        numbers = {
            "fps": [None if cut.still else self.clips.rate for cut in cuts],
            "motion": [None if cut.still or cut.free else float(self.strengths[cut.example]) for cut in cuts],
        }
        return rearrange(x0, "b n c h w -> b c n h w"), numbers

    def media(self, cuts: Sequence[Cut]) -> Tensor:
        return videos.scaled(np.stack([self._frames(cut) for cut in cuts]))

    def signals(self, cuts: Sequence[Cut]) -> Mapping[str, Tensor]:
        """A clip is made from words and numbers; what is known of it is shown in its place."""
        return {}

    def heldout(self, count: int) -> Batch:
        clips = source(self.recipe, "heldout")
        chosen = [(i % len(clips), 0) for i in range(count)]
        x0 = torch.cat(list(encoded(clips, chosen, self.recipe.frames, self.vae)))
        moves = [motion.strength(clips[i][: self.recipe.frames]) for i, _ in chosen]
        numbers = {"fps": [clips.rate] * count, "motion": moves}
        x0 = rearrange(x0, "(b n) c h w -> b c n h w", b=count)
        return Batch(x0=x0, captions=[clips.captions(i)[0] for i, _ in chosen], numbers=numbers)

    @torch.no_grad()
    def show(self, journal: Journal, step: int, x0: Tensor) -> None:
        made = torch.cat([self.vae.decode(z[None]).cpu() for z in x0])
        journal.clips(step, "samples", made, self.clips.rate)

    def card(self) -> dict[str, Any]:
        rate, size = self.clips.rate, self.recipe.size
        return {"modality": "video", "rate": rate, "seconds": self.recipe.frames / rate, "size": [size, size]}

    def _frames(self, cut: Cut) -> np.ndarray:
        """uint8 [F, H, W, 3]."""
        count = len(self.stretches)
        if cut.example >= count:
            return self.pictures.images(cut.example - count)[None]
        clip, start = self.stretches[cut.example]
        return self.clips[clip][start : start + (1 if cut.still else self.recipe.frames)]

    def _latents(self, cut: Cut) -> np.ndarray:
        """float16 [n, C, h, w]."""
        count = len(self.stretches)
        if cut.example >= count:
            return self.pictured.stretch(cut.example - count, 0, 1)
        moments = self.latents.starts[cut.example + 1] - self.latents.starts[cut.example]
        return self.latents.stretch(cut.example, 0, 1 if cut.still else moments)


def films(recipe: DenoiserRecipe, vae: Whitened | None, multiple: int, here: Place) -> Films:
    """A recipe's clips. ValueError if its autoencoder is none of clips, or sizes do not fit."""
    if vae is None or not vae.spec.causal or vae.spec.dims != 3:
        raise ValueError(f"vae is {recipe.vae}; clips need an autoencoder of clips")
    if wrong := sorted(recipe.signals):
        raise ValueError(f"model has the signal {wrong[0]!r}; clips have none")
    clips = source(recipe, "train")
    stretches, there = stretched(recipe, clips, vae, here)
    with here.first():
        moves = cached(
            Path(recipe.data) / "train" / f"motion-{recipe.size}px-{recipe.frames}f.npy",
            [1] * len(stretches),
            strengths(clips, stretches, recipe),
        )
        stills = None if recipe.pictures is None else pictures(recipe, "train")
        pictured = None if stills is None else of_pictures(recipe, stills, vae)
    return Films(
        recipe=recipe,
        clips=clips,
        vae=vae,
        stretches=stretches,
        latents=there,
        strengths=moves.rows,
        pictures=stills,
        pictured=pictured,
    )


def stretched(
    recipe: DenoiserRecipe | PreviewRecipe, clips: Videos, vae: Whitened, here: Place
) -> tuple[list[tuple[int, int]], Latents]:
    """The stretches (clip, first frame) of a recipe's clips, and their latents, one after the other. ValueError if its
    frames and size do not fit the autoencoder."""
    moments = vae.spec.grid((recipe.frames, recipe.size, recipe.size))[0]
    stretches = [(i, start) for i in range(len(clips)) for start in videos.starts(len(clips[i]), recipe.frames)]
    file = file_of(recipe.data, str(recipe.vae), f"-{recipe.size}px-{recipe.frames}f")
    with here.first():
        made = encoded(clips, stretches, recipe.frames, vae)
        return stretches, cached(file, [moments] * len(stretches), made)


def source(recipe: DenoiserRecipe, split: str) -> Videos:
    """A split of a recipe's clips, at its size."""
    return videos.source(recipe.data, split, recipe.size, recipe.rate)


def pictures(recipe: DenoiserRecipe, split: str) -> images.Source:
    """A split of a recipe's pictures, at its size."""
    return images.fitted(images.source(str(recipe.pictures), split, recipe.size), recipe.size)


@torch.no_grad()
def encoded(clips: Videos, stretches: Sequence[tuple[int, int]], frames: int, vae: Whitened) -> Iterator[Tensor]:
    """The latents [n, C, h, w] of stretches, one after the other along time, a batch at a time."""
    device = next(vae.parameters()).device
    for k in range(0, len(stretches), BATCH):
        cuts = [clips[i][start : start + frames] for i, start in stretches[k : k + BATCH]]
        yield rearrange(vae.encode(videos.scaled(np.stack(cuts)).to(device)), "b c n h w -> (b n) c h w")


def strengths(clips: Videos, stretches: Sequence[tuple[int, int]], recipe: DenoiserRecipe) -> Iterator[Tensor]:
    """How much moves in each stretch, [1] each."""
    for i, start in stretches:
        yield torch.tensor([motion.strength(clips[i][start : start + recipe.frames])])


def of_pictures(recipe: DenoiserRecipe, stills: images.Source, vae: Whitened) -> Latents:
    """The latents of pictures as clips of one frame, kept beside these pictures."""
    device = next(vae.parameters()).device
    batches = (range(k, min(k + 64, len(stills))) for k in range(0, len(stills), 64))
    made = (vae.encode(images.whole(stills, batch)[:, :, None].to(device))[:, :, 0] for batch in batches)
    return cached(file_of(str(recipe.pictures), str(recipe.vae), f"-{recipe.size}px"), [1] * len(stills), made)
