"""All tiny checkpoints, one a line, each with its published scheduler: what `table` runs. A family joins by a line."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import tiny
import tiny_ace
import tiny_clips as clips
import tiny_image as pictures
import tiny_sound as sounds

Example = tuple[Callable[[Path], Path], Mapping[str, Any]]
"""(build(folder) -> folder, what is said of size and length: size, frames of a clip, seconds of a sound)."""

V, ONE = {"prediction_type": "v_prediction"}, {"num_train_timesteps": 1, "shift": 1.0}


def picture(build: Any, plan: str, settings: Mapping[str, Any], **options: Any) -> Example:
    return partial(_built, build, plan, settings, options), {"size": 2 * tiny.SAMPLE}


def clip(build: Any, plan: str, settings: Mapping[str, Any], **options: Any) -> Example:
    return partial(_built, build, plan, settings, options), {"size": 16, "frames": 9}


def sound(build: Any, plan: str, settings: Mapping[str, Any], seconds: float = 0.15, **options: Any) -> Example:
    return partial(_built, build, plan, settings, options), {"seconds": seconds}


def named(kind: str, build: Any, folder: Path, plan: Any, **options: Any) -> Path:
    """A checkpoint of another of diffusers' pipelines."""
    return pictures.renamed(build(folder, plan, **options), kind)


def _built(build: Any, plan: str, settings: Mapping[str, Any], options: Mapping[str, Any], folder: Path) -> Path:
    return build(folder, tiny.scheduler(plan, **settings), **options)


DDIM, EULER, FLOW = "DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"
DPM, UNIPC, COSINE = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "CosineDPMSolverMultistepScheduler"
VOICE = {"sampling_rate": 16_000, "upsample_rates": [5, 4, 2, 2, 2], "upsample_kernel_sizes": [16, 16, 8, 4, 4]}
VOICE |= {"upsample_initial_channel": 32}  # as published, for only its pictures of sound are known
EXAMPLES: dict[str, Example] = {
    "Stable Diffusion 1": picture(tiny.sd, "PNDMScheduler", tiny.PNDM),
    "Stable Diffusion 2 (v)": picture(tiny.sd, DDIM, tiny.DDIM | V, **tiny.SD2),
    "SD Turbo": picture(tiny.sd, EULER, pictures.TRAILING),
    "LCM": picture(pictures.lcm, "LCMScheduler", tiny.LEADING),
    "SD inpainting": picture(pictures.sd_inpaint, DDIM, tiny.DDIM),
    "SD upscaler": picture(pictures.sd_upscale, DDIM, tiny.DDIM | V),
    "SDXL": picture(tiny.sdxl, EULER, tiny.LEADING),
    "SDXL inpainting": picture(pictures.sdxl_inpaint, EULER, tiny.LEADING),
    "SDXL refiner": picture(pictures.sdxl_refiner, EULER, tiny.LEADING),
    "SD3": picture(tiny.sd3, FLOW, tiny.FLOW),
    "Flux.1 dev": picture(tiny.flux, FLOW, tiny.FLUX),
    "Flux.1 schnell": picture(tiny.flux, FLOW, {"shift": 1.0}, guidance=False),
    "PixArt alpha": picture(tiny.pixart, DPM, {}, sigma=False),
    "PixArt sigma": picture(tiny.pixart, DPM, {}),
    "Sana": picture(pictures.sana, DPM, tiny.FLOWING),
    "DeepFloyd IF, first stage": picture(pictures.deepfloyd, "DDPMScheduler", pictures.IF),
    "DeepFloyd IF, second stage": picture(pictures.deepfloyd, "DDPMScheduler", pictures.IF, second=True),
    "Stable Video Diffusion": clip(clips.svd, EULER, clips.SVD),
    "AnimateDiff": clip(clips.animatediff, DDIM, clips.ANIMATED | clips.LINSPACE),
    "CogVideoX 2B": clip(clips.cogvideox, "CogVideoXDDIMScheduler", clips.COGVIDEOX),
    "CogVideoX 1.5": clip(clips.cogvideox, "CogVideoXDPMScheduler", clips.COGVIDEOX_5B, paired=True),
    "CogVideoX, picture": clip(clips.cogvideox, "CogVideoXDPMScheduler", clips.COGVIDEOX_5B, picture=True),
    "HunyuanVideo": clip(clips.hunyuan_video, FLOW, clips.HUNYUAN),
    "HunyuanVideo, picture": clip(clips.hunyuan_video_i2v, FLOW, clips.HUNYUAN),
    "HunyuanVideo, picture beside": clip(clips.hunyuan_video_i2v, FLOW, clips.HUNYUAN, beside=True),
    "HunyuanVideo 1.5": clip(clips.hunyuan_video15, FLOW, clips.HUNYUAN),
    "HunyuanVideo 1.5, picture": clip(clips.hunyuan_video15, FLOW, clips.HUNYUAN, picture=True),
    "LTX-Video": clip(tiny.ltx, FLOW, tiny.LTX),
    "LTX-Video, picture": clip(partial(named, "LTXImageToVideoPipeline", tiny.ltx), FLOW, tiny.LTX),
    "LTX-Video 0.9.5": clip(partial(named, "LTXConditionPipeline", tiny.ltx), FLOW, {"shift": 1.0}),
    "LTX-2": clip(clips.ltx2, FLOW, tiny.LTX),
    "LTX-2, picture": clip(partial(named, "LTX2ImageToVideoPipeline", clips.ltx2), FLOW, tiny.LTX),
    "Mochi": clip(clips.mochi, FLOW, clips.MOCHI),
    "Wan 2.1": clip(tiny.wan, UNIPC, tiny.FLOWING),
    "Wan 2.2, two experts": clip(tiny.wan, UNIPC, tiny.FLOWING, experts=2),
    "Wan 2.2 5B": clip(tiny.wan, UNIPC, tiny.FLOWING, per_token=True),
    "Wan, picture": clip(clips.wan_i2v, UNIPC, clips.WAN),
    "Stable Audio Open": sound(sounds.stable_audio, COSINE, sounds.COSINE),
    "Stable Audio 3": sound(sounds.stable_audio_3, FLOW, ONE | {"stochastic_sampling": True}),
    "Stable Audio 3, base": sound(sounds.stable_audio_3, FLOW, ONE),
    "ACE-Step": sound(tiny_ace.ace_step, FLOW, tiny_ace.PLAN, seconds=1.0, turbo=False),
    "ACE-Step, turbo": sound(tiny_ace.ace_step, FLOW, tiny_ace.PLAN, seconds=1.0),
    "AudioLDM2": sound(sounds.audioldm2, DDIM, sounds.DDIM, seconds=0.5, **VOICE),
    "MusicLDM": sound(sounds.musicldm, DDIM, sounds.DDIM, seconds=0.5, **VOICE),
}
