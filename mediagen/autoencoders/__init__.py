"""Media <-> whitened latents, of one protocol (`base.Autoencoder`)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .whitened import Whitened


def build(kind: str, sizes: Any, where: str = "autoencoder") -> "Whitened":
    """An autoencoder by the kind that its weights file says and its sizes (the fields of its config). ValueError, from
    `where`, for what is no autoencoder and for sizes that do not fit."""
    from .. import config
    from .causal import VideoVAE, VideoVAEConfig
    from .conv import ConvVAE, ConvVAEConfig
    from .spectrogram import SpectrogramVAE, SpectrogramVAEConfig
    from .waveform import WaveformVAE, WaveformVAEConfig

    kinds = {
        "conv_vae": (ConvVAE, ConvVAEConfig),
        "video_vae": (VideoVAE, VideoVAEConfig),
        "waveform_vae": (WaveformVAE, WaveformVAEConfig),
        "spectrogram_vae": (SpectrogramVAE, SpectrogramVAEConfig),
    }
    if kind not in kinds:
        raise ValueError(f"{where} holds a {kind!r}, not an autoencoder; known: {', '.join(kinds)}")
    network, sizes_of = kinds[kind]
    return network(config.build(sizes_of, sizes, where))
