"""A tiny model folder with random weights: everything but the quality is real."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

MINILM = Path(__file__).parents[1] / "mediagen" / "weights" / "minilm"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Runs `mediagen ARGUMENTS` in this process, in an empty folder; its exit code."""
    from mediagen.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["mediagen", *arguments])
        try:
            main()
        except SystemExit as leave:
            return int(leave.code or 0)
        return 0

    return run


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as `mediagen train` writes it: 64x64, f8, a two-block transformer."""
    from mediagen import config
    from mediagen.autoencoders.conv import ConvVAE, ConvVAEConfig
    from mediagen.backbones import build
    from mediagen.training import weights

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    sizes = ConvVAEConfig(
        latent_channels=4, encoder_widths=(8, 16), encoder_depths=(1, 1), decoder_widths=(8, 16), decoder_depths=(1, 1)
    )
    vae = ConvVAE(sizes)
    weights.save(folder / "vae.safetensors", vae.state_dict(), {"kind": "conv_vae", "config": config.plain(sizes)})
    model = {"channels": 4, "patch": [2, 2], "width": 32, "depth": 2, "heads": 2, "hidden": 48}
    net = build("dit", model)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    header = {"kind": "denoiser", "backbone": "dit", "model": model, "path": {"name": "Flow"}, "prediction": "flow"}
    weights.save(folder / "denoiser.safetensors", net.state_dict(), header)
    card = {"name": "tiny", "family": "native", "modality": "image", "size": [64, 64], "text": str(MINILM)}
    card |= {
        "denoiser": "denoiser.safetensors",
        "autoencoder": "vae.safetensors",
        "defaults": {"steps": 4, "guidance": 2.0},
    }
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return folder


@pytest.fixture(scope="session")
def tiny_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model of sound: 2 s of stereo at 8 kHz, 64 ms a latent, told seconds and start."""
    from mediagen import config
    from mediagen.autoencoders.waveform import WaveformVAE, WaveformVAEConfig
    from mediagen.backbones import build
    from mediagen.training import weights

    folder = tmp_path_factory.mktemp("tiny-audio")
    torch.manual_seed(0)
    frames = {"rate": 8000, "n_fft": 256, "hop": 128, "strides": (1, 2, 2), "latent_channels": 4}
    small = {f"{side}_{what}": (value,) * 3 for side in ("encoder", "decoder") for what, value in (("widths", 8),)}
    depths = {"encoder_depths": (0, 0, 0), "decoder_depths": (1, 1, 1)}
    sizes = WaveformVAEConfig(**frames, **small, **depths)
    vae = WaveformVAE(sizes)
    vae.frames.scale.fill_(0.2)  # so that random latents are decoded to sound that is not clipped
    about = {"kind": "waveform_vae", "config": config.plain(sizes)}
    weights.save(folder / "vae.safetensors", vae.state_dict(), about)
    scalars = [{"name": "seconds", "low": 0.5, "high": 8.0, "width": 8, "log": True}]
    scalars += [{"name": "start", "low": 0.0, "high": 8.0, "width": 8}]
    model = {
        "channels": 4,
        "patch": [1],
        "width": 32,
        "depth": 2,
        "heads": 2,
        "hidden": 48,
        "signals": {"context": 4, "beats": 12},
    }
    model["scalars"] = {scalar["name"]: scalar["width"] for scalar in scalars}
    net = build("dit", model)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    header = {"kind": "denoiser", "backbone": "dit", "model": model, "path": {"name": "Flow"}, "prediction": "flow"}
    weights.save(folder / "denoiser.safetensors", net.state_dict(), header)
    card = {"name": "tiny-audio", "family": "native", "modality": "audio", "rate": 8000, "seconds": 2.0}
    card |= {"text": str(MINILM), "denoiser": "denoiser.safetensors", "autoencoder": "vae.safetensors"}
    card |= {"scalars": scalars, "defaults": {"steps": 2, "guidance": 2.0}, "signals": ["beats", "context"]}
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return folder


@pytest.fixture(scope="session")
def tiny_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model of video: 17 frames of 32x32 pixels, told fps and motion, with times per token."""
    from mediagen import config
    from mediagen.autoencoders.causal import VideoVAE, VideoVAEConfig
    from mediagen.autoencoders.conv import ConvVAEConfig
    from mediagen.backbones import build
    from mediagen.training import weights

    folder = tmp_path_factory.mktemp("tiny-video")
    torch.manual_seed(0)
    sides = {"encoder_widths": (8, 16), "encoder_depths": (1, 1), "decoder_widths": (8, 16), "decoder_depths": (1, 1)}
    frames = ConvVAEConfig(latent_channels=4, **sides)
    sizes = VideoVAEConfig(frames=frames, encoder_times=((0,), (4,)), decoder_times=((0,), (4,)))
    vae = VideoVAE(sizes)
    for name, p in vae.named_parameters():
        if "times" in name:
            torch.nn.init.normal_(p, std=0.1)
    vae.decoder.layers[-2].scale.data.mul_(0.3)  # so that random latents are decoded to frames that are not clipped
    weights.save(folder / "vae.safetensors", vae.state_dict(), {"kind": "video_vae", "config": config.plain(sizes)})
    scalars = [{"name": "fps", "low": 1.0, "high": 60.0, "width": 8, "log": True}]
    scalars += [{"name": "motion", "low": 0.0, "high": 1.0, "width": 8}]
    model = {"channels": 4, "patch": [1, 2, 2], "width": 32, "depth": 2, "heads": 2, "hidden": 48}
    model["scalars"] = {scalar["name"]: scalar["width"] for scalar in scalars}
    net = build("dit", model)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    header = {"kind": "denoiser", "backbone": "dit", "model": model, "path": {"name": "Flow"}, "prediction": "flow"}
    weights.save(folder / "denoiser.safetensors", net.state_dict(), header)
    card = {"name": "tiny-video", "family": "native", "modality": "video", "rate": 8, "seconds": 2.125}
    card |= {"size": [32, 32], "text": str(MINILM), "denoiser": "denoiser.safetensors"}
    card |= {"autoencoder": "vae.safetensors", "scalars": scalars, "known": True}
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"defaults": {"steps": 2, "guidance": 2.0}}))
    return folder
