"""Previews of published models: colours out of latents, by a map that is fitted to the autoencoder."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
import torch.nn.functional as F
from tiny import scheduler
from torch import Tensor

import mediagen
from mediagen.autoencoders.base import LatentSpec
from mediagen.families._preview import Affine, shapes

diffusers = pytest.importorskip("diffusers")


def test_an_affine_coder_is_shown_as_it_is() -> None:
    """Latents that are a shrunk picture's colours, mixed, are mixed back."""
    mix = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))

    def encode(x: Tensor) -> Tensor:
        return torch.einsum("ck,bkhw->bchw", mix, F.avg_pool2d(x, 8)) + 0.3

    shown = Affine(SimpleNamespace(spec=LatentSpec(channels=4, stride=(8, 8)), encode=encode))
    picture = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1
    assert float((shown(encode(picture)) - F.avg_pool2d(picture, 8)).abs().max()) < 0.02


def test_a_trained_autoencoder() -> None:
    """Of the shipped one, whose 16 channels stand for 16 x 16 pixels, most of the colours are seen."""
    vae = mediagen.load("mini-image").model.autoencoder
    shown, pictures = Affine(vae), shapes(12, [256, 256])[8:]
    with torch.no_grad():
        made, goal = shown(vae.encode(pictures)), F.avg_pool2d(pictures, vae.spec.stride)
    assert float((made - goal).square().mean()) < 0.3 * float(goal.var())


def test_each_step_is_shown(tmp_path: Path) -> None:
    for kind, plan, seconds in (
        (tiny.sd, scheduler("DDIMScheduler", **tiny.DDIM), {}),
        (tiny.wan, scheduler("UniPCMultistepScheduler", **tiny.FLOWING), {"seconds": 5 / 16}),
    ):
        folder = kind(tmp_path / kind.__name__, plan)
        pipe = mediagen.load(folder)
        shown = [e.preview for e in pipe.stream(pipe.job("a cat", size=16, steps=2, previews=True, **seconds))][2:4]
        grid = (2, 4, 4) if seconds else (8, 8)
        assert all(one.shape == (1, 3, *grid) and one.abs().max() <= 1 for one in shown)
    blind = mediagen.load(folder, preview=False)
    assert blind.model.preview is None


def test_a_tiny_autoencoder(tmp_path: Path) -> None:
    sizes = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "latent_channels": 4}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    diffusers.AutoencoderTiny(**sizes, **blocks).save_pretrained(tmp_path / "taesd")
    folder = tiny.sd(tmp_path / "sd", scheduler("DDIMScheduler", **tiny.DDIM))
    pipe = mediagen.load(folder, preview=tmp_path / "taesd")
    assert pipe.model.preview(torch.zeros(1, 4, 8, 8)).shape == (1, 3, 16, 16)
    with pytest.raises(ValueError, match="there is no AutoencoderTiny at nobody/nothing"):
        mediagen.load(folder, preview="nobody/nothing")
