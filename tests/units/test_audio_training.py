"""Training what makes sound: distances of known sounds, a chord that is learned, runs of the recipes, the bench."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from trained import losses, resumed_equals_straight

from mediagen import config
from mediagen.autoencoders.conv import ConvVAEConfig
from mediagen.autoencoders.spectrogram import SpectrogramVAEConfig
from mediagen.autoencoders.vocoder import Vocoder, VocoderConfig
from mediagen.autoencoders.waveform import WaveformVAE, WaveformVAEConfig
from mediagen.nn.stft import LogMel, Mel
from mediagen.training import recipes, weights
from mediagen.training import run_audio_autoencoder as runs
from mediagen.training.clips import SoundFiles, beginnings, crops
from mediagen.training.optim import Muon, parameter_groups
from mediagen.training.reconstruct_audio import AudioLoss, autoencoded, vocoded
from mediagen.training.spectral import mel_distance, si_sdr, spectra, stft_distance
from mediagen.training.trainer import Schedule

CONFIGS = Path(__file__).parents[2] / "configs"
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


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> Tensor:
    """A sine of full scale, [samples]."""
    return torch.sin(2 * math.pi * frequency * torch.arange(int(seconds * rate), dtype=torch.float64) / rate).float()


def chord() -> Tensor:
    """One second of A major that fades, its notes at different places between left and right: [1, 2, RATE]."""
    notes = [(220.0, 0.2, 0.1), (277.2, 0.1, 0.2), (329.6, 0.15, 0.15)]
    sides = [sum(note[side] * tone(note[0]) for note in notes) for side in (1, 2)]
    return (torch.stack(sides) * torch.exp(-1.5 * torch.arange(RATE) / RATE))[None]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# Distances


def test_equal_sounds_have_no_distance_and_silence_is_finite() -> None:
    x, silence, mel = chord(), torch.zeros(1, 2, RATE), LogMel(MEL)
    assert stft_distance(x, x) == 0 == mel_distance(x, x, mel)
    assert stft_distance(silence, silence) == 0 == mel_distance(silence, silence, mel)
    assert si_sdr(x, x) > 100
    for made, real in ((x, silence), (silence, x), (silence, silence)):
        made = made.clone().requires_grad_()
        total = stft_distance(made, real) + mel_distance(made, real, mel) + si_sdr(made, real).sum()
        (gradient,) = torch.autograd.grad(total, made)
        assert total.isfinite() and gradient.isfinite().all()


def test_a_sine_has_its_amplitude_as_its_peak() -> None:
    found = spectra(0.5 * torch.stack((tone(1024), tone(1024)))[None], 512)
    assert found.shape[:2] == (1, 4)
    peaks = found[0, :, :, 10:-10].amax((1, 2))
    assert peaks.tolist() == pytest.approx([0.5, 0.5, 0.5 * 2**0.5, 0], abs=1e-3)
    assert int(found[0, 0, :, 20].argmax()) == 1024 * 512 // RATE


def test_half_the_loudness_is_six_decibels() -> None:
    """Of log magnitudes and of mel rows: log 2 and 20 log10 2, for noise that stands far above what is called quiet."""
    x, mel = 0.5 * noise(1, 2, RATE), LogMel(MEL)
    convergence = 0.5
    assert stft_distance(0.5 * x, x) == pytest.approx(convergence + math.log(2), rel=2e-3)
    assert mel_distance(0.5 * x, x, mel) == pytest.approx(20 * math.log10(2), rel=1e-3)
    assert si_sdr(0.5 * x, x) > 80


def test_si_sdr_is_the_ratio_of_orthogonal_parts() -> None:
    signal, other = torch.stack((tone(512), tone(700)))[None], torch.stack((tone(1024), tone(1400)))[None]
    assert si_sdr(3 * signal + 0.3 * other, signal).item() == pytest.approx(20, abs=0.05)


def test_swapped_channels_are_far_apart() -> None:
    """Only left and right tell: mid is the same, and so are the magnitudes of side."""
    x = chord()
    found, swapped = spectra(x, 512), spectra(x.flip(1), 512)
    assert torch.allclose(found[:, 2:], swapped[:, 2:], atol=1e-5)
    assert stft_distance(x.flip(1), x) > 0.1
    hard = torch.stack((0.5 * tone(440), torch.zeros(RATE)))[None]
    assert stft_distance(hard.flip(1), hard) > 1
    assert mel_distance(hard.flip(1), hard, LogMel(MEL)) > 20


def test_a_distance_falls_with_the_error() -> None:
    x, error = chord(), noise(1, 2, RATE)
    found = [float(stft_distance(x + size * error, x)) for size in (0.1, 0.03, 0.01, 0.001)]
    assert found == sorted(found, reverse=True)


def test_looks_in_turn_add_up_to_the_whole() -> None:
    """Every size has its turn, and the mean of the steps of a round is the loss that looks at all sizes at once."""
    x, made = chord(), chord() + 0.05 * noise(1, 2, RATE)
    whole = AudioLoss(sizes=(512, 256, 128)).terms(made, x, {}, 0)["stft"]
    for looks, steps in ((1, 3), (2, 3), (3, 1)):
        loss = AudioLoss(sizes=(512, 256, 128), looks=looks)
        assert {n for step in range(steps) for n in loss.looked_at(step)} == {512, 256, 128}
        found = [loss.terms(made, x, {}, step)["stft"] for step in range(7, 7 + steps)]
        assert torch.stack(found).mean() == pytest.approx(whole.item(), rel=1e-5)
    with pytest.raises(ValueError, match="looks is 4; it must be 0 to 3"):
        AudioLoss(sizes=(512, 256, 128), looks=4)


# Training


def fit(module: torch.nn.Module, make, loss: AudioLoss, x: Tensor, steps: int) -> float:
    """Train on one sound; SI-SDR in dB at the end."""
    optimizer = Muon(parameter_groups(module), weight_decay=0.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.005 * min(1, (step + 1) / 10, 2 * (1 - step / steps))
        optimizer.zero_grad()
        made, others = make(x, step)
        loss.terms(made, x, others, step)["loss"].backward()
        optimizer.step()
    return si_sdr(made.detach(), x).item()


def test_one_second_of_a_chord_is_learned_to_18_db() -> None:
    """About three seconds of one core; 16 latents of 32 channels, noise of the KL bottleneck included."""
    torch.manual_seed(0)
    sizes = WaveformVAEConfig(
        rate=RATE,
        n_fft=256,
        hop=128,
        latent_channels=32,
        strides=(1, 2, 2),
        encoder_widths=(48, 64, 64),
        encoder_depths=(0, 0, 0),
        decoder_widths=(64, 64, 64),
        decoder_depths=(1, 1, 1),
    )
    vae, x = WaveformVAE(sizes), chord()
    vae.frames.measure([x])
    loss = AudioLoss(sizes=(512, 256, 128), kl=1e-4, samples=10.0, frames=0.5, looks=2)
    assert fit(vae, autoencoded(vae, seed=0), loss, x, steps=120) > 18


def test_a_vocoder_learns_the_spectra_of_a_chord() -> None:
    torch.manual_seed(0)
    mel = Mel(rate=RATE, n_fft=512, hop=128, mels=32, low=0, high=4096)
    vocoder, x, picture = Vocoder(VocoderConfig(mel=mel, n_fft=256, width=64, depth=1)), chord(), LogMel(mel)
    loss = AudioLoss(sizes=(512, 256, 128), kl=0.0, samples=0.0)
    before = stft_distance(vocoder(picture(x)), x, loss.sizes).item()
    fit(vocoder, vocoded(vocoder, picture), loss, x, steps=60)
    assert stft_distance(vocoder(picture(x)), x, loss.sizes) < 0.5 * before


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a data set's splits: short tones, some in one channel."""
    soundfile = pytest.importorskip("soundfile")
    folder = tmp_path_factory.mktemp("sounds")
    for split, count in (("train", 6), ("heldout", 3)):
        (folder / split).mkdir()
        for i in range(count):
            sides = 1 + i % 2
            samples = 0.4 * torch.stack([tone(200 + 50 * i + 30 * side, 0.5) for side in range(sides)])
            soundfile.write(folder / split / f"{i}.flac", samples.T.numpy(), RATE)
    return folder


SHORT = Schedule(steps=6, warmup=2, checkpoint_every=3, log_every=0)


def waveform(data: Path, **changes: object) -> runs.WaveformRecipe:
    loss = AudioLoss(sizes=(256, 64))
    given = {"data": str(data), "crop": 1024, "heard": 2048, "batch": 4, "model": WAVEFORM, "loss": loss}
    return runs.WaveformRecipe(**given | {"schedule": SHORT} | changes)


def vocoder(data: Path, **changes: object) -> runs.VocoderRecipe:
    loss = AudioLoss(sizes=(256, 64))
    given = {"data": str(data), "crop": 1024, "heard": 2048, "batch": 4, "model": VOCODER, "loss": loss}
    return runs.VocoderRecipe(**given | {"schedule": SHORT} | changes)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a vocoder."""
    out = tmp_path_factory.mktemp("vocoder")
    losses(vocoder(data), out)
    return out


def spectrogram(data: Path, trained: Path, **changes: object) -> runs.SpectrogramRecipe:
    given = {"data": str(data), "crop": 1024, "heard": 2048, "batch": 4, "model": PICTURES, "schedule": SHORT}
    return runs.SpectrogramRecipe(**given | {"vocoder": str(trained / "vocoder.safetensors")} | changes)


def test_a_resumed_run_with_its_adversary_has_the_same_losses(data: Path, tmp_path: Path) -> None:
    loss = AudioLoss(sizes=(256, 64), adversarial=0.1, features=0.1, adversarial_start=2)
    recipe = waveform(data, crop=4096, batch=2, loss=loss)
    resumed_equals_straight(recipe, tmp_path)
    last = losses(dataclasses.replace(recipe, schedule=dataclasses.replace(SHORT, steps=7)), tmp_path / "straight")[-1]
    assert {"vae/fooled", "vae/features", "adversary/loss"} <= set(last)


def test_a_resumed_vocoder_has_the_same_losses(data: Path, tmp_path: Path) -> None:
    resumed_equals_straight(vocoder(data), tmp_path)


def test_a_resumed_spectrogram_run_has_the_same_losses(data: Path, trained: Path, tmp_path: Path) -> None:
    resumed_equals_straight(spectrogram(data, trained), tmp_path)


def test_runs_leave_autoencoders_that_load(data: Path, trained: Path, tmp_path: Path) -> None:
    """Whole ones, whitened, with what they were heard to make."""
    for name, recipe in (("w", waveform(data, samples=2)), ("s", spectrogram(data, trained, samples=2))):
        losses(recipe, tmp_path / name)
        vae = weights.load_autoencoder(tmp_path / name / "vae.safetensors")
        z = vae.encode(runs.drawn(recipe, SoundFiles(data / "train", RATE), 0))
        assert z.isfinite().all() and 0.3 < z.std() < 3
        made = sorted(f.name for f in (tmp_path / name / "samples").iterdir())
        assert made == [
            "heard-000003.flac",
            "heard-000006.flac",
            "spectrograms-000003.png",
            "spectrograms-000006.png",
        ]
    one, other = (weights.load(f)[0] for f in (trained / "vocoder.safetensors", tmp_path / "s" / "vae.safetensors"))
    assert all(torch.equal(one[k], other[f"vocoder.{k}"]) for k in one)
    with pytest.raises(
        ValueError, match=r"holds a .vocoder., not an autoencoder; known: conv_vae, video_vae, waveform_vae"
    ):
        weights.load_autoencoder(trained / "vocoder.safetensors")


def test_a_decoder_alone_keeps_the_latents(data: Path, tmp_path: Path) -> None:
    losses(waveform(data), tmp_path / "one")
    first = tmp_path / "one" / "vae.safetensors"
    losses(waveform(data, init=str(first), decoder_only=True), tmp_path / "two")
    before, after = weights.load(first)[0], weights.load(tmp_path / "two" / "vae.safetensors")[0]
    assert {k for k in before if not torch.equal(before[k], after[k])} == {k for k in before if "frame_decoder" in k}


def test_crops_are_functions_of_the_seed_and_short_clips_end_in_silence(data: Path) -> None:
    clips = SoundFiles(data / "train", RATE)
    assert len(clips) == 6 and clips.length(0) == RATE // 2
    one, two = (crops(clips, np.random.default_rng(3), 4, 1000) for _ in range(2))
    assert torch.equal(one, two) and one.shape == (4, 2, 1000)
    whole = beginnings(clips, 2, RATE)
    assert (whole[..., RATE // 2 :] == 0).all()
    assert torch.equal(whole[0, 0], whole[0, 1]) and not torch.equal(whole[1, 0], whole[1, 1])


def test_wrong_data_and_recipes_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data folder .*nothing is missing"):
        losses(waveform(tmp_path / "nothing"), tmp_path)
    with pytest.raises(ValueError, match="holds no sound files"):
        losses(waveform(tmp_path), tmp_path)
    with pytest.raises(ValueError, match=r"0.flac has 4096 samples at 8192 Hz .* have 44100 Hz"):
        losses(waveform(data, model=dataclasses.replace(WAVEFORM, rate=44_100)), tmp_path)
    with pytest.raises(ValueError, match="crop is 1000 samples; it must be a multiple of 32"):
        waveform(data, crop=1000)
    with pytest.raises(ValueError, match="decoder_only keeps the encoder"):
        waveform(data, decoder_only=True)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"cannot read the sound .*broken.wav"):
        losses(waveform(tmp_path), tmp_path / "out")


@pytest.mark.parametrize("name", ["audio-waveform-vae", "audio-vocoder", "audio-spectrogram-vae"])
def test_the_recipes_read_and_are_10_seconds_in_256_latents(name: str) -> None:
    recipe = recipes.read(CONFIGS / f"{name}.yaml", runs.KINDS)
    assert config.build(type(recipe), config.plain(recipe)) == recipe
    if name == "audio-waveform-vae":
        assert 441_000 / recipe.model.stride < 256
    if name == "audio-spectrogram-vae":
        assert 441_000 / SpectrogramVAEConfig(pictures=recipe.model).stride < 256


def test_the_bench_measures_every_kind_beside_opus_and_griffin_lim(data: Path, trained: Path, tmp_path: Path) -> None:
    """With sound of 44.1 kHz and untrained weights; better codecs stand out by every figure."""
    for package in ("torchaudio", "av"):
        pytest.importorskip(package)
    from mediagen.bench import audio_autoencoders as bench

    heard = torch.stack((0.3 * tone(440, 1.0, 44_100), 0.2 * tone(880, 1.0, 44_100)))[None] + 0.01 * noise(1, 2, 44_100)
    low, high = (bench.measure(bench.opus(44_100, kbps), heard, 44_100) for kbps in (6, 128))
    assert high.stft < low.stft and high.mel < low.mel and low.si_sdr + 3 < high.si_sdr > 20
    assert 100 < float(high.size.split()[0]) < 160
    picture = bench.measure(bench.griffin_lim(Mel(), rounds=8), heard, 44_100)
    assert picture.mel < 10 and picture.seconds > 0
    losses(waveform(data), tmp_path / "waveform")
    files = [tmp_path / "waveform" / "vae.safetensors", trained / "vocoder.safetensors"]
    assert bench.measure(bench.opened(files[0]), heard[..., :5000], RATE).size.endswith("numbers/s")
    text = bench.table(data, files, count=1, seconds=0.4, rate=RATE, kbps=(16,))
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:]] == [
        "waveform",
        trained.name,
        "Griffin-Lim, 32 rounds",
        "Opus 16",
    ]


def test_the_bench_of_memory_says_what_it_measured() -> None:
    from mediagen.bench import audio_memory as bench

    cost = bench.measure(WaveformVAE(WAVEFORM).requires_grad_(False), seconds=2)
    assert cost.sound == pytest.approx(2 * bench.BLOCK / RATE, abs=0.01)
    assert 0 < cost.begin <= cost.peak < 4e9
    with pytest.raises(ValueError, match="kind is 'patches'"):
        bench.table("patches", 1)
