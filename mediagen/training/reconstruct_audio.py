"""Training what makes sound: spectral distances, the samples, KL, and an adversarial stage."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..autoencoders.vocoder import Vocoder
from ..autoencoders.waveform import WaveformVAE
from ..nn.stft import LogMel
from .reconstruct import frozen
from .spectral import SIZES, si_sdr, stft_distance
from .spectral_adversary import SpectralDiscriminator, features_apart, fooled, told_apart
from .trainer import Player

Make = Callable[[Tensor, int], tuple[Tensor, dict[str, Tensor]]]  # sound, step -> sound made again, terms of its maker


@dataclass(frozen=True, kw_only=True)
class AudioLoss:
    """Weights of the terms: spectra at `sizes` of left, right, mid and side; absolute error of the samples; of an
    autoencoder, that of its frames (of compressed magnitude, phases told apart) and KL to the unit Gaussian (nats a
    latent element); and, from `adversarial_start` on, the adversary and its features.

    looks: how many of the sizes a step looks at, in turn, 0 for all: the same gradient on average, for less.
    adversary_width: channels of the adversary's first level; its cost grows with the square of it."""

    stft: float = 1.0
    samples: float = 1.0
    frames: float = 0.0
    kl: float = 1e-3
    adversarial: float = 0.0
    features: float = 0.0
    adversarial_start: int = 0
    adversary_width: int = 12
    sizes: tuple[int, ...] = SIZES
    looks: int = 0

    def __post_init__(self) -> None:
        if not self.sizes or not 0 <= self.looks <= len(self.sizes):
            raise ValueError(f"looks is {self.looks}; it must be 0 to {len(self.sizes)}, the number of sizes")

    def looked_at(self, step: int) -> tuple[int, ...]:
        """The sizes whose turn it is."""
        count = self.looks or len(self.sizes)
        return tuple(self.sizes[(step * count + i) % len(self.sizes)] for i in range(count))

    def terms(self, made: Tensor, real: Tensor, others: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Sounds [B, C, T] and their maker's own terms -> all but the adversary's, and "loss", their weighted sum."""
        made = made.float()
        terms = {"stft": stft_distance(made, real, self.looked_at(step)), "samples": (made - real).abs().mean()}
        terms |= others
        return {**terms, "loss": sum(getattr(self, name) * value for name, value in terms.items())}


def players(
    name: str, module: nn.Module, make: Make, weights: AudioLoss, batch: Callable[[int], Tensor], channels: int
) -> list[Player]:
    """What makes sound, and its adversary if it has a weight. `batch(step)` gives sounds [B, C, T] in [-1, 1]."""
    adversary = SpectralDiscriminator(channels, width=weights.adversary_width) if weights.adversarial else None
    latest: dict[str, Tensor] = {}

    def imitate(step: int) -> dict[str, Tensor]:
        x = batch(step).to(next(module.parameters()).device)
        made, others = make(x, step)
        terms = weights.terms(made, x, others, step)
        latest.update(real=x, fake=made.detach().float())
        if adversary is not None and step >= weights.adversarial_start:
            frozen(adversary)
            real, fake = adversary(x), adversary(made)
            terms |= {"fooled": fooled(fake), "features": features_apart(real, fake)}
            terms["loss"] = terms["loss"] + weights.adversarial * terms["fooled"] + weights.features * terms["features"]
        return {**terms, "si_sdr": si_sdr(made.detach(), x).mean()}

    def discriminate(step: int) -> dict[str, Tensor]:
        adversary.requires_grad_(True)
        return {"loss": told_apart(adversary(latest["real"]), adversary(latest["fake"]))}

    mine = Player(name=name, module=module, loss=imitate)
    if adversary is None:
        return [mine]
    return [mine, Player(name="adversary", module=adversary, loss=discriminate, start=weights.adversarial_start)]


def autoencoded(vae: WaveformVAE, seed: int) -> Make:
    """Through the latents, with the noise of (seed, step)."""

    def make(x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        frames = vae.frames(x)
        mean, logvar = vae.frame_encoder(frames)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed * 1_000_003 + step)).to(mean)
        made = vae.frame_decoder(mean + noise * torch.exp(0.5 * logvar)).float()
        scale = vae.frames.scale / vae.frames.scale.mean()  # a row counts by how much there is of it in music
        apart = ((made - frames) * scale).abs().mean()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        return vae.frames.inverse(made), {"frames": apart, "kl": kl}

    return make


def vocoded(vocoder: Vocoder, mel: LogMel) -> Make:
    """Through the mel picture, which has no terms of its own."""

    def make(x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return vocoder(mel(x)), {}

    return make
