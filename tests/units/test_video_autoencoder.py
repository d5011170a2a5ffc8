"""The causal autoencoder of clips: the laws of its time, the picture that is a clip of one frame, tiles and streams."""

import pytest
import torch
from torch import Tensor

from mediagen import config
from mediagen.autoencoders import build
from mediagen.autoencoders.causal import VideoVAE, VideoVAEConfig
from mediagen.autoencoders.conv import ConvVAE, ConvVAEConfig
from mediagen.autoencoders.streams import decode_frames, encode_frames
from mediagen.autoencoders.tiling import decode_tiled, encode_tiled
from mediagen.nn.conv import Down, Up, conv
from mediagen.nn.inflate import inflated

SMALL = ConvVAEConfig(
    latent_channels=3,
    strides=(2, 2),
    encoder_widths=(8, 12),
    encoder_depths=(1, 2),
    decoder_widths=(8, 12),
    decoder_depths=(1, 2),
)
FINER = ConvVAEConfig(
    latent_channels=3,
    strides=(2, 2),
    encoder_widths=(8, 8),
    encoder_depths=(0, 1),
    decoder_widths=(8, 8, 8),
    decoder_depths=(0, 1, 0),
    decoder_strides=(2, 2, 2),
)
SIZES = {
    "halves": VideoVAEConfig(frames=SMALL, encoder_times=((1,), (2, 2)), decoder_times=((1,), (2, 2))),
    "fourths": VideoVAEConfig(frames=FINER, encoder_times=((), (4,)), decoder_times=((), (4,), ())),
    "still": VideoVAEConfig(frames=SMALL, encoder_times=((0,), (1, 0)), decoder_times=((1,), (0, 0))),
}


def scrambled(module: torch.nn.Module) -> torch.nn.Module:
    """Weights that let each position feel all that it can reach."""
    torch.manual_seed(0)
    for p in module.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=(2 / p[0].numel()) ** 0.5)
    return module.requires_grad_(False)


def autoencoder(name: str = "halves") -> VideoVAE:
    return scrambled(VideoVAE(SIZES[name]))


def clip(frames: int, size: int = 16, seed: int = 1) -> Tensor:
    return torch.rand(1, 3, frames, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def close(one: Tensor, other: Tensor, bound: float = 1e-5) -> bool:
    one, other = one.detach(), other.detach()
    return one.shape == other.shape and float((one - other).abs().max()) < bound * float(other.abs().max())


@pytest.mark.parametrize("name", SIZES)
def test_clips_have_one_latent_and_then_one_for_each_stride(name: str) -> None:
    vae = autoencoder(name)
    stride = vae.spec.stride[0]
    z = vae.encode(clip(1 + 2 * stride))
    assert z.shape[2] == 3 and vae.decode(z).shape == (1, 3, 1 + 2 * stride, 16, 16)
    if stride > 1:
        with pytest.raises(ValueError, match=rf"\(8, 16, 16\) is not 1 \+ a multiple of {stride} in time"):
            vae.encode(clip(8))


@pytest.mark.parametrize("name", SIZES)
def test_what_follows_changes_nothing_before_it(name: str) -> None:
    """The first frame is coded alone, a prefix's latents are the clip's, and a prefix of latents is decoded alike."""
    vae = autoencoder(name)
    x = clip(1 + 4 * vae.spec.stride[0])
    z = vae.encode(x)
    made = vae.decode(z)
    for latents in (1, 2, 4):
        frames = vae.spec.covered(0, latents)
        assert close(vae.encode(x[:, :, :frames]), z[:, :, :latents])
        assert close(vae.decode(z[:, :, :latents]), made[:, :, :frames])
    assert not close(vae.encode(x.flip(2))[:, :, -1:], z[:, :, -1:], 0.1)  # but time is looked along


@pytest.mark.parametrize("name", SIZES)
def test_a_still_clip_has_the_latents_of_its_picture(name: str) -> None:
    """Whatever the weights: in front of a clip its first frame goes on for ever."""
    vae = autoencoder(name)
    z = vae.encode(clip(1).expand(-1, -1, 1 + 3 * vae.spec.stride[0], -1, -1))
    assert close(z, z[:, :, :1].expand_as(z)) and close(z[:, :, :1], vae.encode(clip(1)))


@pytest.mark.parametrize("name", SIZES)
def test_a_picture_is_a_clip_of_one_frame(name: str) -> None:
    """With the weights of an autoencoder of images, whose whitening is kept too; and a still clip is its picture."""
    image = scrambled(ConvVAE(SIZES[name].frames))
    image.mean.uniform_(-1, 1)
    vae = VideoVAE(SIZES[name]).requires_grad_(False)
    vae.load_state_dict(inflated(image.state_dict(), vae))
    z, picture = image.encode(clip(1)[:, :, 0]), clip(1)
    assert close(vae.encode(picture)[:, :, 0], z)
    assert close(vae.decode(z[:, :, None])[:, :, 0], image.decode(z))
    still = vae.decode(z[:, :, None].expand(-1, -1, 3, -1, -1))
    assert close(still, image.decode(z)[:, :, None].expand_as(still))


def test_a_kernel_goes_where_the_present_is_seen() -> None:
    image, plain, causal = conv(2, 4, 5), conv(3, 4, 5), conv(3, 4, 5, causal=True)
    x = torch.randn(2, 4, 1, 6, 6)
    for deep in (plain, causal):
        deep.load_state_dict(inflated(image.state_dict(), deep))
        assert close(deep(x)[:, :, 0], image(x[:, :, 0]), 1e-5)
    with pytest.raises(ValueError, match="no 'other'"):
        inflated({"other": torch.zeros(1)}, plain)
    with pytest.raises(ValueError, match=r"weight of the images has the shape \(5, 4, 1, 1\)"):
        inflated(conv(2, 4, 5, 1).state_dict(), plain)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("tile", [(2, 100, 100), (100, 3, 4), (3, 4, 4)])
def test_tiled_equals_whole(name: str, tile: tuple[int, int, int]) -> None:
    vae = autoencoder(name)
    latents = 9
    size = (1 + (latents - 1) * vae.spec.stride[0], 8 * vae.spec.stride[1], 6 * vae.spec.stride[2])
    x = torch.rand(1, 3, *size) * 2 - 1
    z = torch.randn(1, 3, latents, 8, 6)
    assert close(encode_tiled(vae, x, tile=tile), vae.encode(x))
    assert close(decode_tiled(vae, z, tile=tile), vae.decode(z))


@pytest.mark.parametrize("name", SIZES)
def test_the_reach_is_not_smaller_than_needed_and_not_much_larger(name: str) -> None:
    """In time, where the first latent of a tile must be context; space is that of the images."""
    vae = autoencoder(name)
    stride, last = vae.spec.stride[0], 15
    z = torch.randn(1, 3, last + 1, 2, 2, requires_grad=True)
    made = vae.decode(z)[:, :, vae.spec.covered(0, last) :]
    felt = torch.autograd.grad(made.sum(), z)[0].abs().sum((0, 1, 3, 4)).nonzero()
    assert vae.reach[0] - 2 <= last - int(felt.min()) < vae.reach[0]
    x = torch.rand(1, 3, 1 + last * stride, 8, 8, requires_grad=True)
    felt = torch.autograd.grad(vae.encode(x)[:, :, last].sum(), x)[0].abs().sum((0, 1, 3, 4)).nonzero()
    first = -(-int(felt.min()) // stride)  # the latent of the first frame that is felt
    assert vae.encoder_reach[0] - 2 <= last - first < vae.encoder_reach[0]
    assert vae.reach[1:] == (ConvVAE(SIZES[name].frames).reach,) * 2


def test_down_and_up_of_causal_time() -> None:
    x = torch.randn(1, 4, 9, 4, 4)
    down, up = Down(4, 8, (4, 2, 2), causal=True), Up(8, 4, (4, 2, 2), causal=True)
    small = down(x)
    assert small.shape == (1, 8, 3, 2, 2) and up(small).shape == x.shape
    assert close(down(x[:, :, :5]), small[:, :, :2]) and close(up(small[:, :, :2]), up(small)[:, :, :5])


def test_sizes_that_do_not_agree_are_named() -> None:
    with pytest.raises(ValueError, match="dims 2, not 1"):
        VideoVAEConfig(frames=ConvVAEConfig(dims=1))
    with pytest.raises(ValueError, match=r"encoder_times \(\(2,\),\) need a number .* residual block \(1, 2\)"):
        VideoVAEConfig(encoder_times=((2,),))
    with pytest.raises(ValueError, match="divide time by 2, decoder_times multiply it by 4"):
        VideoVAEConfig(encoder_times=((0,), (1, 2)))


def test_it_is_built_from_what_its_file_says() -> None:
    vae = autoencoder()
    again = build("video_vae", config.plain(vae.config))
    again.load_state_dict(vae.state_dict())
    assert again.config == vae.config and torch.equal(again.encode(clip(5)), vae.encode(clip(5)))


def pieces(x: Tensor, lengths: list[int]) -> list[Tensor]:
    """x in blocks of these lengths in turn, and a last one."""
    return list(x.split([*lengths, x.shape[2] - sum(lengths)], dim=2))


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("tile", [1, 3, 50])
def test_streams_are_the_whole(name: str, tile: int) -> None:
    """Whatever the blocks that come, and tiled in space besides."""
    vae = autoencoder(name)
    stride = vae.spec.stride[0]
    x = clip(1 + 12 * stride, 4 * vae.spec.stride[1])
    z = vae.encode(x)
    assert close(torch.cat(list(encode_frames(vae, pieces(x, [1, 2, 7]), tile=tile, side=2)), 2), z)
    assert close(torch.cat(list(decode_frames(vae, pieces(z, [2, 1, 5]), tile=tile, side=2)), 2), vae.decode(z))
    if stride > 1:
        with pytest.raises(ValueError, match=r"ends after 7 frames; it must be 1 \+ a multiple"):
            list(encode_frames(vae, [x[:, :, :7]], tile=tile))
    with pytest.raises(ValueError, match="no block came"):
        list(decode_frames(vae, []))


def test_a_stream_holds_a_tile_and_what_is_felt_of_the_past() -> None:
    vae, seen = autoencoder(), []

    class Watched:
        spec, reach = vae.spec, vae.reach

        def decode(self, z: Tensor) -> Tensor:
            seen.append(z.shape[2])
            return vae.decode(z)

    z = torch.randn(1, 3, 1, 2, 2)
    frames = sum(part.shape[2] for part in decode_frames(Watched(), (z for _ in range(60)), tile=4))
    assert frames == vae.spec.covered(0, 60) and max(seen) <= 4 + vae.reach[0]
