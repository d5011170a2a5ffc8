"""Training an autoencoder: reconstruction, KL, edges, and an adversarial stage."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..autoencoders.whitened import Whitened
from .adversarial import PatchDiscriminator, discriminator_loss, generator_loss
from .trainer import Player


@dataclass(frozen=True, kw_only=True)
class ReconstructionLoss:
    """Weights of the terms, each a mean over all elements: absolute error, squared error, differences between
    neighbours (edges) and, of clips, between successive frames (flicker), KL to the unit Gaussian (nats a latent
    element), the squared distance of the latents from those that `init` would give (drift: an encoder may get better,
    and a denoiser of the old latents needs little to follow; of clips, of their first latents, which are pictures), and
    the adversary from `adversarial_start` on. noise: deviation of what is added to the whitened latents that the
    decoder sees: it then forgives a denoiser's small errors."""

    absolute: float = 1.0
    squared: float = 1.0
    edges: float = 0.5
    flicker: float = 0.0
    kl: float = 1e-4
    drift: float = 0.0
    noise: float = 0.0
    adversarial: float = 0.0
    adversarial_start: int = 0

    def terms(self, recon: Tensor, x: Tensor, mean: Tensor, logvar: Tensor) -> dict[str, Tensor]:
        error = recon.float() - x
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        terms = {"absolute": error.abs().mean(), "squared": error.square().mean(), "edges": edges(error), "kl": kl}
        if self.flicker:
            terms["flicker"] = changes(error)
        return {**terms, "loss": sum(getattr(self, name) * value for name, value in terms.items())}


def edges(error: Tensor) -> Tensor:
    """Mean absolute difference between neighbours of the error, over all axes: what blur gets wrong."""
    axes = [axis for axis in range(2, error.ndim) if error.shape[axis] > 1]
    return torch.stack([error.diff(dim=axis).abs().mean() for axis in axes]).mean()


def changes(x: Tensor) -> Tensor:
    """Mean absolute difference between successive frames of [B, C, T, H, W]; 0 of a single frame."""
    return x.diff(dim=2).abs().mean() if x.shape[2] > 1 else x.new_zeros(())


def flicker(x: Tensor) -> Tensor:
    """Mean absolute second difference in time of [B, C, T, H, W], T >= 3: what trembles has much of it, and what is
    moved evenly little. Of a reconstruction it is to be read beside that of the clip itself."""
    return x.diff(n=2, dim=2).abs().mean()


def players(
    vae: Whitened,
    weights: ReconstructionLoss,
    batch: Callable[[int], Tensor],
    seed: int = 0,
    *,
    held: int | None = None,
) -> list[Player]:
    """The autoencoder as it is now, and its adversary if it has a weight. `batch(step)` gives media [B, C, *size] in
    [-1, 1]. held: so many latent channels, the first, are what must not drift (None: all)."""
    origin = frozen(deepcopy(vae.encoder)) if weights.drift else None
    seen = frame_by_frame if vae.spec.causal else nn.Identity()
    dims = vae.spec.dims - vae.spec.causal
    adversary = None if not weights.adversarial else PatchDiscriminator(dims, vae.spec.media_channels)
    latest: dict[str, Tensor] = {}

    def autoencode(step: int) -> dict[str, Tensor]:
        x = batch(step).to(next(vae.parameters()).device)
        mean, logvar = vae.encoder(x)
        draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
        z = mean + torch.randn(mean.shape, generator=draw).to(mean) * torch.exp(0.5 * logvar)
        if weights.noise:
            z = vae.unwhiten(vae.whiten(z) + weights.noise * torch.randn(z.shape, generator=draw).to(z))
        recon = vae.decoder(z)
        terms = weights.terms(recon, x, mean, logvar)
        if origin is not None:
            pictures = slice(0, 1) if vae.spec.causal else slice(None)
            with torch.no_grad():
                before = origin(x[:, :, pictures])[0]
            terms["drift"] = F.mse_loss(mean[:, :held, pictures], before[:, :held])
            terms["loss"] = terms["loss"] + weights.drift * terms["drift"]
        latest.update(real=x, fake=recon.detach().float())
        if adversary is not None and step >= weights.adversarial_start:
            frozen(adversary)
            terms["fooled"] = generator_loss(adversary(seen(recon)))
            terms["loss"] = terms["loss"] + weights.adversarial * terms["fooled"]
        return {**terms, "psnr": psnr(recon.detach().float(), x)}

    def discriminate(step: int) -> dict[str, Tensor]:
        adversary.requires_grad_(True)
        return {"loss": discriminator_loss(*(adversary(seen(latest[name])) for name in ("real", "fake")))}

    mine = Player(name="vae", module=vae, loss=autoencode)
    if adversary is None:
        return [mine]
    return [mine, Player(name="adversary", module=adversary, loss=discriminate, start=weights.adversarial_start)]


def frame_by_frame(x: Tensor) -> Tensor:
    """Clips [B, C, T, H, W] as pictures [B T, C, H, W]: what an adversary judges, whatever the length."""
    return rearrange(x, "b c t h w -> (b t) c h w")


def frozen(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False)


def psnr(recon: Tensor, x: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB of media in [-1, 1]; the mean error of the whole batch."""
    return -10 * torch.log10(F.mse_loss(recon.clamp(-1, 1), x) / 4)


@torch.no_grad()
def measure_latents(vae: Whitened, batches: Callable[[int], Tensor], count: int) -> None:
    """Set the whitening buffers `mean` and `std` of each latent channel from `count` batches."""
    axes = (0, *range(2, vae.spec.dims + 2))
    means = torch.cat([vae.encoder(batches(i))[0] for i in range(count)])
    vae.mean.copy_(means.mean(axes))
    vae.std.copy_(means.std(axes))
