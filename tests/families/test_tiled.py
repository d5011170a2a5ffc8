"""Pictures coded in tiles are those that are coded whole: norms and attention see all of them."""

from pathlib import Path

import pytest
import tiny
import torch
from tiny import scheduler
from torch import Tensor

import mediagen
from mediagen.counting import count
from mediagen.families import _tiled, _tiles

diffusers = pytest.importorskip("diffusers")


def coder(levels: int, blocks: int = 1):
    """A decoder whose last levels are few channels wide, with weights that show every input."""
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * levels, "up_block_types": ("UpDecoderBlock2D",) * levels}
    widths = tuple(8 * 2 ** min(level, 1) for level in range(levels))
    sizes = {"block_out_channels": widths, "layers_per_block": blocks, "norm_num_groups": 4, "latent_channels": 4}
    return tiny.redraw(diffusers.AutoencoderKL(**kinds, **sizes), 3)


def uneven(*shape: int) -> Tensor:
    """Latents whose strength is another on every side, so that a tile's own numbers are not the whole's."""
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return z * torch.linspace(0.2, 2, shape[-1]) + torch.linspace(-1, 1, shape[-2])[:, None]


@pytest.mark.parametrize("levels, blocks, side", [(2, 1, 24), (4, 1, 18), (4, 2, 12)])
@torch.no_grad()
def test_tiles_are_the_whole(levels: int, blocks: int, side: int) -> None:
    """To rounding, in both directions, for tiles that do not divide the picture, and for two pictures at once."""
    vae, z = coder(levels, blocks), uneven(2, 4, side, side - 5)
    whole = vae.decode(z).sample
    back = vae.encode(whole.tanh()).latent_dist.mode()
    _tiled.tiled(vae, 8)
    made = vae.decode(z).sample
    assert float((made - whole).abs().max()) < 1e-5 * max(1.0, float(whole.abs().max()))
    assert float((vae.encode(whole.tanh()).latent_dist.mode() - back).abs().max()) < 5e-5 < 0.1 < float(back.std())


@torch.no_grad()
def test_diffusers_own_tiles_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this is for: the same decoder in diffusers' tiles is far from the whole; and what is exact here is not a
    lack of anything to see."""
    vae, z = coder(4), uneven(1, 4, 24, 24)
    whole = vae.decode(z).sample
    vae.enable_tiling()
    vae.tile_latent_min_size, vae.tile_sample_min_size = 8, 64
    assert float((vae.decode(z).sample - whole).std()) > 0.1 * float(whole.std())
    vae.disable_tiling()
    _tiled.tiled(vae, 8)
    monkeypatch.setattr(_tiles.Moments, "add", lambda self, part: vars(self).update(count=1.0, **zeros(part)))
    assert float((vae.decode(z).sample - whole).std()) > 0.1 * float(whole.std())


def zeros(part: Tensor) -> dict[str, Tensor]:
    """Moments that know nothing of the picture."""
    return {"mean": torch.zeros(part.shape[:2]), "square": torch.ones(part.shape[:2])}


@torch.no_grad()
def test_less_is_held() -> None:
    """Beside weights, with the result: under half of what the whole takes."""
    vae = coder(4)
    z = torch.zeros(1, 4, 64, 64)
    whole = count(lambda: vae.decode(z))
    _tiled.tiled(vae, 16)
    small = count(lambda: vae.decode(z))
    assert small.peak < 0.5 * whole.peak and small.flops < 8 * whole.flops


def test_a_pipeline_in_tiles(tmp_path: Path) -> None:
    folder = tiny.sd(tmp_path, scheduler("DDIMScheduler", **tiny.DDIM))
    one, two = (mediagen.load(folder, **options) for options in ({}, {"tile": 8}))
    made = [pipe.generate("a cat", size=48, steps=2, seed=0).pixels.astype(int) for pipe in (one, two)]
    assert abs(made[0] - made[1]).max() <= 1
    assert mediagen.plan(folder, size=256).tiled.peak > 0
