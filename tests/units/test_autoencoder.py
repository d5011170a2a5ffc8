"""Autoencoders: reach, exact tiling, whitening, losses, the preview decoder."""

import pytest
import torch
from torch import Tensor

from mediagen.autoencoders.base import LatentSpec, in_strides, smaller
from mediagen.autoencoders.conv import ConvVAE, ConvVAEConfig
from mediagen.autoencoders.preview import Preview, PreviewConfig
from mediagen.autoencoders.tiling import decode_tiled, encode_tiled
from mediagen.training.adversarial import PatchDiscriminator, discriminator_loss, generator_loss
from mediagen.training.reconstruct import ReconstructionLoss, edges, measure_latents, players, psnr

GRIDS = {1: (61,), 2: (26, 17), 3: (9, 13, 8)}


def autoencoder(dims: int, finer: bool = False) -> ConvVAE:
    """Small, and with weights that let each position feel all that it can reach; `finer`: the decoder draws twice as
    fine as the encoder sees."""
    torch.manual_seed(dims)
    vae = ConvVAE(
        ConvVAEConfig(
            dims=dims,
            media_channels=2,
            latent_channels=3,
            strides=(2, 2),
            encoder_widths=(8, 8),
            encoder_depths=(1, 0),
            decoder_widths=(8, 8, 8) if finer else (8, 8),
            decoder_depths=(0, 1, 0) if finer else (0, 1),
            decoder_strides=(2, 2, 2) if finer else None,
        )
    )
    for p in vae.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=(2 / p[0].numel()) ** 0.5)
    return vae.requires_grad_(False)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("tile", [4, 7])
@pytest.mark.parametrize("finer", [False, True])
def test_tiled_equals_whole(dims: int, tile: int, finer: bool) -> None:
    vae = autoencoder(dims, finer)
    z = torch.randn(1, 3, *GRIDS[dims])
    x = torch.rand(1, 2, *(vae.spec.stride[0] * n for n in GRIDS[dims])) * 2 - 1
    for whole, tiled in (
        (vae.decode(z), decode_tiled(vae, z, tile=tile)),
        (vae.encode(x), encode_tiled(vae, x, tile=tile)),
    ):
        assert (whole - tiled).abs().max() < 1e-5 * whole.abs().max()


@pytest.mark.parametrize("finer", [False, True])
def test_the_reach_is_not_larger_than_needed_and_not_smaller(finer: bool) -> None:
    """A change at one place is felt up to `reach` away and no further."""
    vae = autoencoder(1, finer)
    middle, scale = 40, vae.spec.stride[0]
    z = torch.randn(1, 3, 81, requires_grad=True)
    made = vae.decode(z)[..., scale * middle : scale * (middle + 1)]
    felt = torch.autograd.grad(made.sum(), z)[0].abs().sum((0, 1)).nonzero()
    assert vae.reach - 1 <= middle - int(felt.min()) <= vae.reach
    assert vae.reach - 1 <= int(felt.max()) - middle <= vae.reach
    x = torch.randn(1, 2, scale * 81, requires_grad=True)
    felt = torch.autograd.grad(vae.encode(x)[..., middle].sum(), x)[0].abs().sum((0, 1)).nonzero()
    assert vae.encoder_reach - 1 <= middle - int(felt.min()) // scale <= vae.encoder_reach
    assert vae.encoder_reach - 1 <= int(felt.max()) // scale - middle <= vae.encoder_reach


def test_too_small_a_margin_shows_a_seam() -> None:
    vae = autoencoder(2)
    z = torch.randn(1, 3, 20, 20)
    assert (decode_tiled(vae, z, tile=6, margin=0) - vae.decode(z)).abs().max() > 1e-3


def test_no_piece_is_larger_than_tile_and_margins() -> None:
    vae, seen = autoencoder(2), []

    class Watched:
        spec, reach = vae.spec, vae.reach

        def decode(self, z: Tensor) -> Tensor:
            seen.append(max(z.shape[2:]))
            return vae.decode(z)

    decode_tiled(Watched(), torch.randn(1, 3, 50, 40), tile=8)
    assert max(seen) <= 8 + 2 * vae.reach


@pytest.mark.parametrize("wrong", [{"tile": 0}, {"tile": 4, "margin": -1}])
def test_tiling_refuses_impossible_tiles(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="tile must be 1 or more"):
        decode_tiled(autoencoder(1), torch.zeros(1, 3, 8), **wrong)


def test_a_size_off_the_stride_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(30, 32\).*\(4, 4\)"):
        autoencoder(2).encode(torch.zeros(1, 2, 30, 32))
    with pytest.raises(ValueError, match="multiple"):
        LatentSpec(channels=4, stride=(8, 8)).grid((0, 8))


def test_grids_and_sizes_are_inverse() -> None:
    plain, causal = (LatentSpec(channels=4, stride=(4, 8, 8), causal=c) for c in (False, True))
    assert plain.grid((8, 16, 24)) == (2, 2, 3) and plain.size((2, 2, 3)) == (8, 16, 24)
    assert causal.grid((1, 64, 64)) == (1, 8, 8) and causal.grid((17, 64, 32)) == (5, 8, 4)
    assert all(causal.grid(causal.size((n, 3, 5))) == (n, 3, 5) for n in range(1, 9))
    assert [causal.covered(0, n) for n in range(4)] == [0, 1, 5, 9] and causal.covered(1, 3) == 24
    for wrong in ((16, 64, 64), (17, 60, 64), (0, 64, 64), (17, 64)):
        with pytest.raises(ValueError, match=r"1 \+ a multiple of 4 in time, and a positive multiple of \(8, 8\)"):
            causal.grid(wrong)
    with pytest.raises(ValueError, match=r"grid \(0, 8, 8\) is not 3 sides of 1 or more"):
        causal.size((0, 8, 8))


def test_what_a_mask_of_frames_covers_has_whole_strides() -> None:
    frames = torch.tensor([1.0, 0, 0, 1, 1, 1, 1, 1, 1]).view(1, 1, 9, 1, 1)
    spec = LatentSpec(channels=4, stride=(4, 1, 1), causal=True)
    assert in_strides(frames, spec).flatten().tolist() == [1, 1, 1, *frames.flatten().tolist()]
    assert torch.equal(in_strides(frames, LatentSpec(channels=4, stride=(3, 1, 1))), frames)


def test_whitening_and_its_inverse() -> None:
    vae = autoencoder(2)
    batch = torch.rand(16, 2, 16, 16) * 2 - 1
    measure_latents(vae, lambda i: batch, count=1)
    z = vae.encode(batch)
    assert z.mean((0, 2, 3)).abs().max() < 1e-4
    assert (z.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert torch.allclose(vae.whiten(vae.unwhiten(z)), z, atol=1e-5)


def test_levels_must_agree() -> None:
    with pytest.raises(ValueError, match="of the encoder need one entry for each level"):
        ConvVAEConfig(strides=(4, 2, 2))
    with pytest.raises(ValueError, match="of the decoder need one entry for each level"):
        ConvVAEConfig(decoder_strides=(4, 2, 2))
    with pytest.raises(ValueError, match="multiply to 12, which must be a multiple of the encoder's 8"):
        ConvVAEConfig(decoder_strides=(4, 3))


def test_a_finer_decoder_has_the_latents_of_the_media_at_half_the_size() -> None:
    fine, plain = autoencoder(2, finer=True), autoencoder(2)
    plain.encoder.load_state_dict(fine.encoder.state_dict())
    x = torch.rand(1, 2, 32, 48) * 2 - 1
    assert fine.spec.stride == (8, 8) and plain.spec.stride == (4, 4)
    assert torch.equal(fine.encode(x), plain.encode(smaller(x, 2)))
    assert fine.decode(fine.encode(x)).shape == x.shape


def test_kl_is_that_of_gaussians() -> None:
    mean, logvar = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    x = torch.zeros(4, 1, 4, 4)
    kl = ReconstructionLoss().terms(x, x, mean, logvar)["kl"]
    mine = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    unit = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    assert torch.allclose(kl, torch.distributions.kl_divergence(mine, unit).mean(), rtol=1e-5)


def test_psnr_and_edges_of_known_errors() -> None:
    x = torch.zeros(2, 3, 8, 8)
    assert psnr(x + 0.2, x) == pytest.approx(20.0, abs=1e-3)
    assert edges(x + 0.2) == pytest.approx(0.0, abs=1e-7)


def test_the_adversary_learns_and_is_fooled() -> None:
    """On a toy (smooth against noisy), the adversary's loss falls, and then the gradient of the fooled loss helps."""
    torch.manual_seed(0)
    adversary = PatchDiscriminator(dims=2, channels=1, width=8)
    real, fake = torch.zeros(4, 1, 16, 16), torch.randn(4, 1, 16, 16)
    optimizer = torch.optim.AdamW(adversary.parameters(), 3e-3)
    before = discriminator_loss(adversary(real), adversary(fake)).item()
    for _ in range(40):
        optimizer.zero_grad()
        discriminator_loss(adversary(real), adversary(fake)).backward()
        optimizer.step()
    assert discriminator_loss(adversary(real), adversary(fake)).item() < before / 2
    moved = fake.clone().requires_grad_()
    loss = generator_loss(adversary(moved))
    (g,) = torch.autograd.grad(loss, moved)
    assert generator_loss(adversary(fake - 0.05 * g / g.abs().mean())) < loss


def test_the_adversary_does_not_train_with_the_decoder() -> None:
    vae = autoencoder(2).requires_grad_(True)
    both = players(vae, ReconstructionLoss(adversarial=0.1), lambda step: torch.rand(2, 2, 16, 16))
    both[0].loss(0)["loss"].backward()
    assert all(p.grad is None for p in both[1].module.parameters())
    both[1].loss(0)["loss"].backward()
    assert all(p.grad is not None for p in both[1].module.parameters())


def test_the_preview_is_small_and_of_the_right_size() -> None:
    preview = Preview(PreviewConfig())
    assert sum(p.numel() for p in preview.parameters()) < 100_000
    assert preview(torch.randn(2, 16, 5, 9)).shape == (2, 3, 20, 36)
    assert smaller(torch.zeros(2, 3, 40, 72), 2).shape == (2, 3, 20, 36)
    assert Preview(PreviewConfig(dims=3, latent_channels=4, grow=2))(torch.zeros(1, 4, 2, 3, 4)).shape == (
        1,
        3,
        4,
        6,
        8,
    )


def test_smaller_refuses_a_size_off_the_factor() -> None:
    with pytest.raises(ValueError, match="multiple of 2"):
        smaller(torch.zeros(1, 3, 5, 4), 2)
