"""Runs of the recipes of sound: waveform autoencoder, vocoder, and the autoencoder of mel pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from .. import config
from ..autoencoders.conv import ConvVAEConfig
from ..autoencoders.spectrogram import SpectrogramVAE, SpectrogramVAEConfig, small_pictures
from ..autoencoders.vocoder import Vocoder, VocoderConfig
from ..autoencoders.waveform import WaveformVAE, WaveformVAEConfig
from ..autoencoders.whitened import Whitened
from ..nn.stft import LogMel, Mel
from . import reconstruct, weights
from .clips import Clips, beginnings, crops, source
from .ema import EMA
from .journal import Journal, shades
from .reconstruct import ReconstructionLoss, measure_latents
from .reconstruct_audio import AudioLoss, autoencoded, players, vocoded
from .spectral import mel_distance, si_sdr, stft_distance
from .trainer import Place, Progress, Schedule, place, train

MEASURED = 16  # batches from which the scales of spectra and latents are measured
Keep = Callable[[int, EMA], None]
Play = Callable[[Tensor], Tensor]  # sound -> the sound that is made of it


@dataclass(frozen=True, kw_only=True)
class AudioRecipe:
    """What the recipes of sound share. data: a folder of sound files, or of a dataset's splits; crop: samples of a
    training example; init: weights to start from; samples: held-out clips that are made again, measured and kept as
    sound at each checkpoint; heard: samples of each of these."""

    data: str
    crop: int = 65_536
    batch: int = 16
    init: str | None = None
    samples: int = 0
    heard: int = 221_184
    schedule: Schedule

    def check(self, stride: int) -> None:
        """ValueError unless crops and heard clips are whole strides."""
        for name in ("crop", "heard"):
            if getattr(self, name) < 1 or getattr(self, name) % stride:
                raise ValueError(f"{name} is {getattr(self, name)} samples; it must be a multiple of {stride}")
        if self.batch < 1 or self.samples < 0:
            raise ValueError(f"batch must be 1 or more and samples 0 or more, not {self.batch} and {self.samples}")


@dataclass(frozen=True, kw_only=True)
class WaveformRecipe(AudioRecipe):
    """decoder_only: keep the encoder of `init`, and so the latent space, as it is."""

    kind: str = "audio-waveform"
    decoder_only: bool = False
    model: WaveformVAEConfig = field(default_factory=WaveformVAEConfig)
    loss: AudioLoss = field(default_factory=AudioLoss)

    def __post_init__(self) -> None:
        self.check(self.model.stride)
        if self.decoder_only and not self.init:
            raise ValueError("decoder_only keeps the encoder of other weights: name them as init")


@dataclass(frozen=True, kw_only=True)
class VocoderRecipe(AudioRecipe):
    """A vocoder learns from mel pictures of real sounds."""

    kind: str = "audio-vocoder"
    model: VocoderConfig = field(default_factory=VocoderConfig)
    loss: AudioLoss = field(default_factory=AudioLoss)

    def __post_init__(self) -> None:
        self.check(self.model.mel.hop)


@dataclass(frozen=True, kw_only=True)
class SpectrogramRecipe(AudioRecipe):
    """vocoder: trained weights, whose mel scale the pictures have and which go into the autoencoder's file."""

    kind: str = "audio-spectrogram"
    vocoder: str
    model: ConvVAEConfig = field(default_factory=small_pictures)
    loss: ReconstructionLoss = field(default_factory=ReconstructionLoss)


Recipe = WaveformRecipe | VocoderRecipe | SpectrogramRecipe
KINDS: dict[str, type[Recipe]] = {
    "audio-waveform": WaveformRecipe,
    "audio-vocoder": VocoderRecipe,
    "audio-spectrogram": SpectrogramRecipe,
}


def run(recipe: Recipe, out: Path) -> Iterator[Progress]:
    """Train, writing `out/vae.safetensors` or `out/vocoder.safetensors` (averaged weights) at each checkpoint."""
    torch.manual_seed(recipe.schedule.seed)
    if isinstance(recipe, WaveformRecipe):
        yield from run_waveform(recipe, out)
    else:
        yield from (run_vocoder if isinstance(recipe, VocoderRecipe) else run_spectrogram)(recipe, out)


def run_waveform(recipe: WaveformRecipe, out: Path) -> Iterator[Progress]:
    clips, here = source(recipe.data, "train", recipe.model.rate), place()
    batch = batches(recipe, clips, here)
    vae = started(WaveformVAE(recipe.model), recipe.init)
    if not recipe.init:
        vae.frames.measure(drawn(recipe, clips, step) for step in range(MEASURED))
    if recipe.decoder_only:
        vae.frame_encoder.requires_grad_(False)
    journal = Journal(out, recipe.schedule.log_every)
    show = shown(recipe, journal, recipe.model.rate)

    def keep(step: int, ema: EMA) -> None:
        final = averaged(WaveformVAE(recipe.model), ema, here)
        if not recipe.decoder_only:
            measure_latents(final, lambda i: drawn(recipe, clips, i).to(here.device), MEASURED)
        save(out / "vae.safetensors", final, "waveform_vae", step)
        show(step, final.eval(), lambda x: final.decode(final.encode(x)))

    make = autoencoded(vae, here.seed(recipe.schedule.seed))
    yield from train(
        players("vae", vae, make, recipe.loss, batch, recipe.model.channels), recipe.schedule, out, keep, journal
    )


def run_vocoder(recipe: VocoderRecipe, out: Path) -> Iterator[Progress]:
    clips, here = source(recipe.data, "train", recipe.model.mel.rate), place()
    vocoder, mel = started(Vocoder(recipe.model), recipe.init), LogMel(recipe.model.mel).to(here.device)
    journal = Journal(out, recipe.schedule.log_every)
    show = shown(recipe, journal, recipe.model.mel.rate)

    def keep(step: int, ema: EMA) -> None:
        final = averaged(Vocoder(recipe.model), ema, here)
        save(out / "vocoder.safetensors", final, "vocoder", step)
        show(step, final.eval(), lambda x: final(mel(x)))

    batch, make = batches(recipe, clips, here), vocoded(vocoder, mel)
    mine = players("vocoder", vocoder, make, recipe.loss, batch, recipe.model.channels)
    yield from train(mine, recipe.schedule, out, keep, journal)


def run_spectrogram(recipe: SpectrogramRecipe, out: Path) -> Iterator[Progress]:
    """The pictures' autoencoder alone is trained; the vocoder stays as it is."""
    vocoder, here = load_vocoder(recipe.vocoder), place()
    sizes = SpectrogramVAEConfig(pictures=recipe.model, vocoder=vocoder.config)
    recipe.check(sizes.stride)
    clips = source(recipe.data, "train", sizes.rate)
    batch = batches(recipe, clips, here)
    vae = started(SpectrogramVAE(sizes), recipe.init)
    vae.vocoder.load_state_dict(vocoder.state_dict())
    mel = LogMel(sizes.vocoder.mel).to(here.device)
    journal = Journal(out, recipe.schedule.log_every)
    show = shown(recipe, journal, sizes.rate)

    def keep(step: int, ema: EMA) -> None:
        final = SpectrogramVAE(sizes).to(here.device)
        final.vocoder.load_state_dict(vocoder.state_dict())
        averaged(final.pictures, ema, here)
        measure_latents(final, lambda i: drawn(recipe, clips, i).to(here.device), MEASURED)
        save(out / "vae.safetensors", final, "spectrogram_vae", step)
        show(step, final.eval(), lambda x: final.decode(final.encode(x)))

    mine = reconstruct.players(
        vae.pictures, recipe.loss, lambda step: mel(batch(step)), here.seed(recipe.schedule.seed)
    )
    yield from train(mine, recipe.schedule, out, keep, journal)


def batches(recipe: AudioRecipe, clips: Clips, here: Place) -> Callable[[int], Tensor]:
    """step -> this process' sounds [B, 2, crop] of that step."""
    return lambda step: here.share(drawn(recipe, clips, step)).to(here.device)


def drawn(recipe: AudioRecipe, clips: Clips, step: int) -> Tensor:
    """The sounds [B, 2, crop] of a step, of all processes together."""
    return crops(clips, np.random.default_rng((recipe.schedule.seed, step)), recipe.batch, recipe.crop)


def started(module: nn.Module, init: str | None) -> nn.Module:
    """The module with the weights of `init`, if there is one."""
    if init:
        weights.fill(module, init)
    return module


def averaged(module: nn.Module, ema: EMA, here: Place) -> nn.Module:
    """The module with the averaged weights, where training happens."""
    module.to(here.device).load_state_dict(ema.weights)
    return module


def save(file: Path, module: Whitened | Vocoder, kind: str, step: int) -> None:
    weights.save(file, module.state_dict(), {"kind": kind, "step": step, "config": config.plain(module.config)})


def shown(recipe: AudioRecipe, journal: Journal, rate: int) -> Callable[[int, nn.Module, Play], None]:
    """A function that writes held-out clips and what is made of them, as pictures and as one sound file, and their
    distances to the journal."""
    if not recipe.samples:
        return lambda step, module, play: None
    real = beginnings(source(recipe.data, "heldout", rate), recipe.samples, recipe.heard)
    mel = LogMel(Mel(rate=rate, high=min(Mel.high, rate / 2)))

    @torch.no_grad()
    def show(step: int, module: nn.Module, play: Play) -> None:
        made = torch.cat([play(x[None].to(next(module.parameters()).device)).cpu() for x in real])
        found = {"stft": stft_distance(made, real), "mel": mel_distance(made, real, mel), "si_sdr": si_sdr(made, real)}
        journal.numbers(step, {f"heldout/{name}": float(value.mean()) for name, value in found.items()})
        journal.pictures(step, "spectrograms", torch.cat([shades(mel(real)), shades(mel(made))], dim=2))
        journal.sounds(step, "heard", rearrange([real, made], "k n c t -> (n k) c t"), rate)

    return show


def load_vocoder(file: str | Path) -> Vocoder:
    """Trained weights -> the vocoder, frozen. ValueError if the file is missing, broken or something else."""
    tensors, about = weights.load(file)
    if about.get("kind") != "vocoder":
        raise ValueError(f"{file} holds a {about.get('kind')!r}, not a vocoder")
    vocoder = Vocoder(config.build(VocoderConfig, about["config"], str(file)))
    weights.fit(vocoder, tensors, file, assign=False)
    return vocoder.eval().requires_grad_(False)
