"""Autoencoders of sound: exact transforms, exact chunks, whitened latents, sizes that fit."""

import math

import pytest
import torch
from torch import Tensor

from mediagen.autoencoders.chunks import decode_blocks, encode_blocks, padded
from mediagen.autoencoders.conv import ConvVAEConfig
from mediagen.autoencoders.spectrogram import SpectrogramVAE, SpectrogramVAEConfig
from mediagen.autoencoders.tiling import decode_tiled, encode_tiled
from mediagen.autoencoders.vocoder import Vocoder, VocoderConfig
from mediagen.autoencoders.waveform import WaveformVAE, WaveformVAEConfig, mid_side
from mediagen.autoencoders.whitened import Whitened
from mediagen.nn.stft import STFT, LogMel, Mel, amplitude, compress, expand, level, mel_filters, pack, unpack
from mediagen.training.reconstruct import measure_latents

RATE = 8192
MEL = Mel(rate=RATE, n_fft=256, hop=32, mels=16, low=0, high=4096)
VOCODER = VocoderConfig(mel=MEL, n_fft=64, width=16, depth=1)
WAVEFORM = WaveformVAEConfig(
    rate=RATE,
    n_fft=64,
    hop=16,
    latent_channels=4,
    strides=(1, 2),
    encoder_widths=(16, 16),
    encoder_depths=(1, 0),
    decoder_widths=(16, 16),
    decoder_depths=(0, 1),
)
PICTURES = ConvVAEConfig(
    media_channels=2,
    latent_channels=3,
    strides=(2, 2),
    encoder_widths=(8, 8),
    encoder_depths=(1, 0),
    decoder_widths=(8, 8),
    decoder_depths=(0, 1),
)
SPECTROGRAM = SpectrogramVAEConfig(pictures=PICTURES, vocoder=VOCODER)
BOTH = pytest.mark.parametrize("kind", ["waveform", "spectrogram"])


def autoencoder(kind: str) -> Whitened:
    """Small, and with weights that let each position feel all that it can reach."""
    torch.manual_seed(0)
    vae = WaveformVAE(WAVEFORM) if kind == "waveform" else SpectrogramVAE(SPECTROGRAM)
    for p in vae.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=p[0].numel() ** -0.5)
    return vae.requires_grad_(False)


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> Tensor:
    """A sine of full scale, [samples]."""
    return torch.sin(2 * math.pi * frequency * torch.arange(int(seconds * rate), dtype=torch.float64) / rate).float()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# Transforms


@pytest.mark.parametrize(("n_fft", "hop"), [(16, 8), (32, 8), (96, 32), (1024, 512), (2048, 512)])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_the_transform_reconstructs_perfectly_up_to_the_ends(n_fft: int, hop: int, frames: int) -> None:
    stft, x = STFT(n_fft, hop), noise(2, 2, frames * hop)
    found = stft(x)
    assert found.shape == (2, 2, n_fft // 2 + 1, frames)
    assert (stft.inverse(found) - x).abs().max() < 3e-6


def test_the_transform_keeps_energy() -> None:
    stft, x = STFT(128, 32), torch.zeros(1, 1, 32 * 40)
    x[..., 256:-256] = noise(1, 1, 32 * 40 - 512)
    both_sides = torch.full((65, 1), 2.0)
    both_sides[[0, -1]] = 1
    assert (stft(x).abs().square() * both_sides).sum() == pytest.approx(x.square().sum().item(), rel=1e-5)


def test_frames_of_a_part_are_those_of_the_whole() -> None:
    stft, x = STFT(64, 16), noise(1, 1, 16 * 20)
    assert torch.equal(stft(x)[..., 6:10], stft(x[..., 64:192])[..., 2:6])


def test_packing_loses_nothing_and_takes_one_number_a_sample() -> None:
    spectra_ = STFT(64, 32)(noise(2, 2, 320))
    assert pack(spectra_).shape == (2, 2 * 64, 10)
    assert torch.equal(unpack(pack(spectra_), 2), spectra_)


def test_compression_and_its_inverse() -> None:
    spectra_ = STFT(64, 32)(noise(1, 1, 320))
    small = compress(spectra_, 0.5)
    assert torch.allclose(small.abs(), spectra_.abs().sqrt(), atol=1e-5)
    assert torch.allclose(small.angle(), spectra_.angle(), atol=1e-4)
    assert torch.allclose(expand(small, 0.5), spectra_, atol=1e-5)


def test_frames_that_cannot_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="n_fft 100 must be a multiple of hop 32"):
        STFT(100, 32)
    with pytest.raises(ValueError, match="33 samples are not a positive multiple of the hop, 16"):
        STFT(64, 16)(torch.zeros(1, 1, 33))


def test_mel_filters_are_those_of_torchaudio() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    mel = Mel()
    theirs = functional.melscale_fbanks(mel.n_fft // 2 + 1, mel.low, mel.high, mel.mels, mel.rate).T
    assert torch.allclose(mel_filters(mel, mel.n_fft), theirs, atol=2e-4)
    with pytest.raises(ValueError, match="400 mels are too many for n_fft 2048"):
        mel_filters(Mel(mels=400), 2048)


def test_a_tone_of_full_scale_stands_at_one_and_silence_at_minus_one() -> None:
    mel = LogMel(Mel())
    bin_of_tone = 44_100 / 2048 * 40
    picture = mel(torch.stack((tone(bin_of_tone, 1.0, 44_100)[: 512 * 80], torch.zeros(512 * 80)))[None])
    assert picture.shape == (1, 2, 80, 128)
    assert picture[0, 0, 40].max() == pytest.approx(1.0, abs=0.05)
    assert (picture[0, 1] == -1).all()
    assert torch.allclose(level(amplitude(picture)), picture, atol=1e-5)


# Autoencoders


@BOTH
def test_latents_are_a_sequence(kind: str) -> None:
    vae = autoencoder(kind)
    (stride,) = vae.spec.stride
    x = noise(2, 2, 6 * stride)
    z = vae.encode(x)
    assert z.shape == (2, vae.spec.channels, 6) == (2, vae.spec.channels, *vae.spec.grid(x.shape[2:]))
    assert vae.decode(z).shape == x.shape
    with pytest.raises(ValueError, match=rf"not a positive multiple of \({stride},\)"):
        vae.encode(x[..., 1:])
    with pytest.raises(ValueError, match="the media has 1 channels, the autoencoder 2"):
        vae.encode(x[:, :1])
    with pytest.raises(ValueError, match=f"the latents have 1 channels, the autoencoder {vae.spec.channels}"):
        vae.decode(z[:, :1])


@BOTH
def test_chunks_are_the_whole(kind: str) -> None:
    """Tiles within 1e-5 of the whole's largest value; blocks of any length give the tiles' very numbers."""
    vae = autoencoder(kind)
    x = noise(1, 2, 41 * vae.spec.stride[0])
    z = vae.encode(x)
    sound = vae.decode(z)
    latent_tiles, sound_tiles = encode_tiled(vae, x, tile=7), decode_tiled(vae, z, tile=7)
    assert (latent_tiles - z).abs().max() < 1e-5 * z.abs().max()
    assert (sound_tiles - sound).abs().max() < 1e-5 * sound.abs().max()
    for size in (1, 100, x.shape[-1]):
        assert torch.equal(torch.cat(list(encode_blocks(vae, x.split(size, -1), tile=7)), -1), latent_tiles)
    for size in (1, 3, 41):
        assert torch.equal(torch.cat(list(decode_blocks(vae, z.split(size, -1), tile=7)), -1), sound_tiles)


@BOTH
def test_the_reach_is_exact(kind: str) -> None:
    """A change at one place is felt up to `reach` away and no further."""
    vae = autoencoder(kind)
    (stride,), middle, count = vae.spec.stride, 20, 41
    z = torch.randn(1, vae.spec.channels, count, generator=torch.Generator().manual_seed(1)).requires_grad_()
    made = vae.decode(z)[..., middle * stride : (middle + 1) * stride]
    felt = torch.autograd.grad(made.square().sum(), z)[0].abs().sum((0, 1)).nonzero()
    assert max(middle - int(felt.min()), int(felt.max()) - middle) == vae.reach
    x = noise(1, 2, count * stride).requires_grad_()
    felt = torch.autograd.grad(vae.encode(x)[..., middle].square().sum(), x)[0].abs().sum((0, 1)).nonzero() // stride
    assert max(middle - int(felt.min()), int(felt.max()) - middle) == vae.encoder_reach


@BOTH
def test_long_sounds_take_the_memory_of_a_chunk(kind: str) -> None:
    """Blocks are asked for one at a time, and what is computed at once does not grow with the length."""
    vae = autoencoder(kind)
    (stride,), sizes, asked = vae.spec.stride, [], []

    class Watched:
        spec, reach, encoder_reach = vae.spec, vae.reach, vae.encoder_reach

        def encode(self, x: Tensor) -> Tensor:
            sizes.append(x.shape[-1] // stride)
            return vae.encode(x)

    def blocks(count: int):
        for number in range(count):
            asked.append(number)
            yield noise(1, 2, 5 * stride, seed=number)

    first = next(encode_blocks(Watched(), blocks(1000), tile=8))
    assert first.shape[-1] == 8
    assert len(asked) == math.ceil((8 + vae.encoder_reach) / 5)
    assert sum(z.shape[-1] for z in encode_blocks(Watched(), blocks(30), tile=8)) == 150
    assert max(sizes) <= 8 + 2 * vae.encoder_reach


def test_ends_off_the_stride_are_filled_up_with_silence() -> None:
    vae = autoencoder("waveform")
    x = noise(1, 2, 10 * 32 + 5)
    blocks = torch.cat(list(encode_blocks(vae, x.split(50, -1), tile=4)), -1)
    assert torch.equal(blocks, encode_tiled(vae, padded(x, 32), tile=4))
    assert padded(x, 32).shape[-1] == 11 * 32
    with pytest.raises(ValueError, match="no block came"):
        list(encode_blocks(vae, []))
    with pytest.raises(ValueError, match="tile must be 1 or more, not 0"):
        list(decode_blocks(vae, [torch.zeros(1, 4, 8)], tile=0))


@BOTH
def test_latents_are_whitened(kind: str) -> None:
    vae = autoencoder(kind)
    batch = noise(16, 2, 16 * vae.spec.stride[0])
    measure_latents(vae, lambda i: batch, count=1)
    z = vae.encode(batch)
    assert z.mean((0, 2)).abs().max() < 1e-4
    assert (z.std((0, 2)) - 1).abs().max() < 1e-3


def test_measured_frames_have_the_same_power_in_every_row() -> None:
    vae, x = autoencoder("waveform"), noise(4, 2, 32 * 20).cumsum(-1) / 30
    before = vae.frames(x).square().mean((0, 2))
    vae.frames.measure([x[:2], x[2:]])
    after = vae.frames(x).square().mean((0, 2))
    assert before.max() / before.min() > 4
    assert torch.allclose(after, torch.ones_like(after), atol=1e-4)
    assert torch.allclose(vae.frames.inverse(vae.frames(x)), x, atol=1e-5)


def test_mid_side_is_its_own_inverse() -> None:
    x = noise(2, 2, 50)
    assert torch.allclose(mid_side(mid_side(x)), x, atol=1e-6)
    assert mid_side(x).square().sum() == pytest.approx(x.square().sum().item(), rel=1e-5)
    same = x[:, :1].expand(-1, 2, -1)
    assert (mid_side(same)[:, 1] == 0).all()


def test_a_vocoder_starts_from_the_loudness_of_the_picture() -> None:
    """With its factors at one, tones and noise of full scale and a hundredth of it keep their levels within 6 dB."""
    vocoder, mel = Vocoder(VocoderConfig(width=16, depth=0)), LogMel(Mel())
    torch.nn.init.zeros_(vocoder.head.weight)
    torch.nn.init.zeros_(vocoder.head.bias)
    x = torch.stack((tone(1000, 1.0, 44_100), noise(44_100)))[None, :, : 512 * 80]
    for gain in (1.0, 0.01):
        coarse = vocoder.coarse(mel(gain * x))[..., 20:60].square().sum(2).mean(-1)
        real = vocoder.stft(gain * x)[..., 20:60].abs().square().sum(2).mean(-1)
        assert (10 * (coarse / real).log10()).abs().max() < 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: WaveformVAEConfig(channels=3), "channels 1 or 2"),
        (lambda: WaveformVAEConfig(strides=(2, 2)), "one entry for each level"),
        (lambda: SpectrogramVAEConfig(pictures=ConvVAEConfig()), "media_channels 2"),
        (lambda: SpectrogramVAEConfig(vocoder=VocoderConfig(mel=Mel(mels=100))), "100 mels are not a multiple"),
        (lambda: Mel(high=30_000), r"must lie in 0..22050"),
    ],
)
def test_impossible_sizes_are_refused(wrong, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()
