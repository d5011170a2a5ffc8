"""The adversary of sound: patch discriminators on complex spectra at several resolutions (arXiv:2210.13438, 3.4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..nn.conv import ResBlock
from ..nn.stft import STFT, compress
from .adversarial import PatchDiscriminator, discriminator_loss, generator_loss

FACTOR = 8  # of a `PatchDiscriminator` along each axis
Opinion = tuple[Tensor, list[Tensor]]  # logits, and what the blocks before them saw


class SpectralDiscriminator(nn.Module):
    """Sound [B, C, T] -> for each size of transform, logits [B, 1, bins/8, frames/8] and the features before them.

    T must be a multiple of a quarter of each size, and at least eight times that.
    """

    def __init__(self, channels: int = 2, sizes: Sequence[int] = (2048, 512), width: int = 12) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(STFT(n, n // 4) for n in sizes)
        self.judges = nn.ModuleList(PatchDiscriminator(2, 2 * channels, width) for _ in sizes)

    def forward(self, x: Tensor) -> list[Opinion]:
        return [_judged(judge, _picture(t(x))) for t, judge in zip(self.transforms, self.judges, strict=True)]


def _picture(spectra: Tensor) -> Tensor:
    """Complex [B, C, bins, frames] -> real and imaginary parts as channels, without the bins and frames over eight."""
    seen = torch.view_as_real(compress(spectra, 0.5))
    seen = rearrange(seen, "b c n f p -> b (c p) n f")
    return seen[..., : seen.shape[-2] // FACTOR * FACTOR, : seen.shape[-1] // FACTOR * FACTOR]


def _judged(judge: PatchDiscriminator, x: Tensor) -> Opinion:
    features = []
    for layer in judge.layers:
        x = layer(x)
        if isinstance(layer, ResBlock):
            features.append(x)
    return x, features


def told_apart(real: list[Opinion], fake: list[Opinion]) -> Tensor:
    """Hinge loss of the discriminator, averaged over the sizes."""
    losses = [discriminator_loss(r, f) for (r, _), (f, _) in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def fooled(fake: list[Opinion]) -> Tensor:
    """The generator's loss, averaged over the sizes."""
    return torch.stack([generator_loss(f) for f, _ in fake]).mean()


def features_apart(real: list[Opinion], fake: list[Opinion]) -> Tensor:
    """Feature matching (arXiv:1910.06711, eq. 4): mean difference of features in parts of their own size."""
    pairs = [pair for (_, r), (_, f) in zip(real, fake, strict=True) for pair in zip(r, f, strict=True)]
    apart = [F.l1_loss(f.float(), r.detach().float()) / r.detach().float().abs().mean() for r, f in pairs]
    return torch.stack(apart).mean()
