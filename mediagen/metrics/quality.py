"""How near a reconstruction is to its original: PSNR and SSIM."""

import torch
import torch.nn.functional as F
from torch import Tensor


def psnr(first: Tensor, second: Tensor, span: float = 2.0) -> Tensor:
    """Peak signal-to-noise ratio in dB of each picture, [B, C, H, W] twice -> [B]; span: largest minus smallest value
    (2 for pictures in [-1, 1]). Infinite for equal pictures."""
    _check(first, second)
    error = (first.double() - second.double()).square().mean((1, 2, 3))
    return 10 * torch.log10(span**2 / error)


def ssim(first: Tensor, second: Tensor, span: float = 2.0, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity of each picture, [B, C, H, W] twice -> [B] (Wang et al. 2004, equation 13): Gaussian
    window, mean over the places where it fits whole, and over the channels; K1 = 0.01, K2 = 0.03."""
    _check(first, second)
    if min(first.shape[-2:]) < window:
        raise ValueError(f"pictures of {first.shape[-1]}x{first.shape[-2]} are smaller than the window of {window}")
    a, b = first.double().flatten(0, 1)[:, None], second.double().flatten(0, 1)[:, None]
    mean_a, mean_b = _blur(a, window, sigma), _blur(b, window, sigma)
    var_a, var_b = _blur(a * a, window, sigma) - mean_a**2, _blur(b * b, window, sigma) - mean_b**2
    both = _blur(a * b, window, sigma) - mean_a * mean_b
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * both + c2) / (var_a + var_b + c2)
    return (light * structure).mean((1, 2, 3)).unflatten(0, first.shape[:2]).mean(1)


def _blur(x: Tensor, window: int, sigma: float) -> Tensor:
    at = torch.arange(window, dtype=x.dtype, device=x.device) - window // 2
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    return F.conv2d(F.conv2d(x, kernel[None, None, None, :]), kernel[None, None, :, None])


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 4:
        raise ValueError(
            f"pictures are {tuple(first.shape)} and {tuple(second.shape)}: one shape [B, C, H, W] is needed"
        )
