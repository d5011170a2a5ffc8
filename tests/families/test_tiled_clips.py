"""Clips decoded in tiles are those that are decoded whole, frame after frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import scheduler
from torch import Tensor

import mediagen
from mediagen.counting import count
from mediagen.families import _tiled, _tiled_clips
from mediagen.families._adapters import reach_of

diffusers = pytest.importorskip("diffusers")

WAN = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 2], "num_res_blocks": 1, "temperal_downsample": [True]}
WAN |= {"attn_scales": [], "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}


def wan(**more: Any) -> Any:
    return tiny.redraw(diffusers.AutoencoderKLWan(**(WAN | more)), 3)


def ltx(noisy: bool = False) -> Any:
    ones, twice = (1, 1, 1), (True, True)
    kind = {"block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "patch_size": 1, "patch_size_t": 1}
    kind |= {"down_block_types": ("LTXVideoDownBlock3D",) * 2, "downsample_type": ("conv",) * 2}
    kind |= {"layers_per_block": ones, "decoder_layers_per_block": ones, "decoder_inject_noise": (noisy,) * 3}
    kind |= {"spatio_temporal_scaling": twice, "decoder_spatio_temporal_scaling": twice, "latent_channels": 4}
    kind |= {"upsample_residual": (False, False), "upsample_factor": (1, 1), "timestep_conditioning": False}
    return tiny.redraw(diffusers.AutoencoderKLLTXVideo(**kind), 3)


def hunyuan() -> Any:
    sizes = {"block_out_channels": (8, 16), "latent_channels": 4, "layers_per_block": 1}
    scales = {"spatial_compression_ratio": 2, "temporal_compression_ratio": 2}
    return tiny.redraw(diffusers.AutoencoderKLHunyuanVideo15(**sizes, **scales), 3)


def svd() -> Any:
    sizes = {"block_out_channels": (32, 32), "latent_channels": 4, "layers_per_block": 1}
    return tiny.redraw(diffusers.AutoencoderKLTemporalDecoder(down_block_types=("DownEncoderBlock2D",) * 2, **sizes), 3)


def uneven(*shape: int) -> Tensor:
    """As in `test_tiled`: a tile's own numbers are not the whole's."""
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return z * torch.linspace(0.2, 1, shape[-1]) + torch.linspace(-0.5, 0.5, shape[-2])[:, None]


@pytest.mark.parametrize("make", [wan, ltx, hunyuan])
@torch.no_grad()
def test_tiles_are_the_whole(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """To rounding, for a frame that is wider than a tile with all that it sees; with less around a tile it is not."""
    z = uneven(1, 4, 3, 10, 38)
    whole, far = make().decode(z).sample, reach_of(2, 2)
    asked: list[int] = []
    vae = make()
    run, own = vae.decoder.up_blocks[-1].forward, vae.decode
    vae.decoder.up_blocks[-1].forward = lambda x, *a, **k: (asked.append(x.shape[-1]), run(x, *a, **k))[1]
    _tiled.tiled(vae, 8, far)
    made = vae.decode(z, return_dict=False)[0]
    assert float((made - whole).abs().max()) < 1e-5 * max(1.0, float(whole.abs().max())) and float(whole.std()) > 0.05
    assert len(set(asked)) > 1 and max(asked) < 2 * 38
    assert torch.equal(vae.decode(z[..., :8, :8]).sample, own(z[..., :8, :8]).sample)
    _tiled.tiled(short := make(), 8, _tiled_clips.MIDDLE + 1)
    assert float((short.decode(z).sample - whole).abs().max()) > 1e-4 * float(whole.abs().max())


@torch.no_grad()
def test_frames_that_look_beside_them_in_tiles() -> None:
    """Stable Video Diffusion's: group norms over all of a clip, gathered over the tiles."""
    z = uneven(6, 4, 10, 22)
    whole = svd().decode(z, num_frames=3).sample
    _tiled.tiled(vae := svd(), 8)
    made = vae.decode(z, num_frames=3).sample
    assert float((made - whole).abs().max()) < 1e-5 * max(1.0, float(whole.abs().max())) and float(whole.std()) > 0.05


def test_a_pipeline_in_tiles(tmp_path: Path) -> None:
    folder = tiny.wan(tmp_path, scheduler("UniPCMultistepScheduler", **tiny.FLOWING))
    asked = {"size": (64, 32), "seconds": 5 / 16, "steps": 2, "seed": 0}
    one, two = (mediagen.load(folder, **options).generate("a cat", **asked) for options in ({}, {"tile": 8}))
    assert abs(one.frames.astype(int) - two.frames).max() <= 1


@pytest.mark.parametrize("kind", ["AutoencoderKLCogVideoX", "AutoencoderKLMochi", "AutoencoderKLHunyuanVideo"])
def test_those_that_are_not_tiled(kind: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} is not tiled: leave out tile; only AutoencoderKL, .*KLWan"):
        _tiled.tiled(type(kind, (), {})(), 8)


def test_a_decoder_that_draws_noise_is_not_tiled() -> None:
    with pytest.raises(ValueError, match=r"AutoencoderKLLTXVideo is not tiled: .* without their own noise"):
        _tiled.tiled(ltx(noisy=True), 8)


@pytest.mark.slow
@torch.no_grad()
def test_less_is_held() -> None:
    """Wan 2.1's published size, counted on the meta device: 480 x 832, 9 frames, beside weights."""
    with torch.device("meta"):
        vae = diffusers.AutoencoderKLWan()
        z = torch.empty(1, 16, 3, 60, 104)
    whole = count(lambda: vae.decode(z))
    _tiled.tiled(vae, 32, reach_of(4, 3))
    small = count(lambda: vae.decode(z))
    assert small.peak < 0.6 * whole.peak and small.flops < 4 * whole.flops
