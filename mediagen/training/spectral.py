"""Distances between sounds: spectra at several resolutions, mel pictures, and the samples themselves.

All take sounds [B, C, T] in [-1, 1], C being 1 or 2, and are silent-safe: a clip or a channel without any sound gives a
finite value and a finite gradient.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..autoencoders.waveform import mid_side
from ..nn.stft import LogMel, magnitude

SIZES = (2048, 1024, 512, 256)  # of the transforms, a quarter of which is the hop: 46 ms to 6 ms at 44.1 kHz
QUIET = 1e-5  # of full scale, -100 dB: what is added to magnitudes before their logarithm
FAINT = 1e-3  # of full scale, -60 dB: errors of clips below are not blown up in proportion
NOTHING = 1e-10  # the least energy of a whole clip in a ratio
DECIBELS = 50  # between two pictures that differ by 1 (`nn.stft.level`)


def stft_distance(made: Tensor, real: Tensor, sizes: Sequence[int] = SIZES) -> Tensor:
    """Multi-resolution STFT distance (arXiv:1910.11480, eq. 3-6), of left and right and, equally, of mid and side
    (arXiv:2010.10291): spectral convergence plus the mean difference of log magnitudes (nats), averaged over the sizes.
    """
    return torch.stack([_distance(spectra(made, n), spectra(real, n)) for n in sizes]).mean()


def spectra(x: Tensor, n_fft: int) -> Tensor:
    """Magnitudes [B, C or 4, bins, frames] of left, right, mid and side; a sine of full scale has 1."""
    window = torch.hann_window(n_fft, device=x.device)
    flat = x.float().flatten(0, 1)
    found = torch.stft(
        flat, n_fft, n_fft // 4, window=window * (2 / window.sum()), pad_mode="constant", return_complex=True
    )
    found = found.unflatten(0, x.shape[:2])
    return magnitude(found if x.shape[1] == 1 else torch.cat((found, mid_side(found)), dim=1))


def _distance(made: Tensor, real: Tensor) -> Tensor:
    size = real[0].numel() ** 0.5
    error = torch.linalg.vector_norm(made - real, dim=(1, 2, 3))
    convergence = error / torch.linalg.vector_norm(real, dim=(1, 2, 3)).clamp_min(FAINT * size)
    return convergence.mean() + ((made + QUIET).log() - (real + QUIET).log()).abs().mean()


def mel_distance(made: Tensor, real: Tensor, mel: LogMel) -> Tensor:
    """Mean difference of log-mel pictures in dB; what is over a whole number of hops at the end is left out."""
    whole = real.shape[-1] // mel.hop * mel.hop
    return DECIBELS * (mel(made[..., :whole]) - mel(real[..., :whole])).abs().mean()


def si_sdr(made: Tensor, real: Tensor) -> Tensor:
    """Scale-invariant signal to distortion ratio of each clip [B] in dB, over both channels (arXiv:1811.02508)."""
    made, real = made.float().flatten(1), real.float().flatten(1)
    target = (made * real).sum(1, keepdim=True) / real.square().sum(1, keepdim=True).clamp_min(NOTHING) * real
    ratio = target.square().sum(1).clamp_min(NOTHING) / (made - target).square().sum(1).clamp_min(NOTHING)
    return 10 * ratio.log10()
