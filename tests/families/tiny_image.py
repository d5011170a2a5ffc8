"""Tiny checkpoints of the further families of pictures: see `tiny`."""

import json
from functools import partial
from pathlib import Path

import tiny
from tiny import clip, clip_tokenizer, scheduler, sd, sdxl, unet, vae


def certain(coder):
    """An autoencoder that is sure of its latents: a draw of them is their mean, which ours takes."""
    channels = coder.config.latent_channels
    coder.quant_conv.weight.data[channels:], coder.quant_conv.bias.data[channels:] = 0, -30
    return coder


def renamed(folder: Path, kind: str) -> Path:
    """The same checkpoint, for another of diffusers' pipelines."""
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_class_name": kind}))
    return folder


def sure(folder: Path) -> Path:
    from diffusers import AutoencoderKL

    certain(AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True)).save_pretrained(folder / "vae")
    return folder


def sd_inpaint(folder: Path, plan, *, seed: int = 0, channels: int = 9) -> Path:
    """Stable Diffusion's, which is shown the mask and the masked picture."""
    made = sd(folder, plan, seed=seed, in_channels=channels, out_channels=4)
    return sure(renamed(made, "StableDiffusionInpaintPipeline"))


def sdxl_inpaint(folder: Path, plan, *, seed: int = 0) -> Path:
    made = sdxl(folder, plan, seed=seed, in_channels=9, out_channels=4)
    return sure(renamed(made, "StableDiffusionXLInpaintPipeline"))


def sdxl_refiner(folder: Path, plan, *, seed: int = 20) -> Path:
    """With the second text encoder alone, and five numbers."""
    from diffusers import StableDiffusionXLImg2ImgPipeline

    two = clip_tokenizer(pad="!")
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "cross_attention_dim": 32}
    added |= {"projection_class_embeddings_input_dim": 32 + 5 * 8, "transformer_layers_per_block": (1, 1)}
    parts = {"tokenizer": None, "text_encoder": None, "tokenizer_2": two, "scheduler": plan}
    parts |= {"text_encoder_2": clip(two, seed + 4, projected=True), "vae": vae(2, scaling_factor=0.13025)}
    options = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False, "add_watermarker": False}
    StableDiffusionXLImg2ImgPipeline(unet=unet(seed + 3, **added), **parts, **options).save_pretrained(folder)
    return folder


def sd_upscale(folder: Path, plan, *, seed: int = 0) -> Path:
    """The upscaler, of two times, which is told one of a thousand levels of noise."""
    from diffusers import StableDiffusionUpscalePipeline

    tokenizer = clip_tokenizer()
    parts = {"tokenizer": tokenizer, "text_encoder": clip(tokenizer, seed + 1), "scheduler": plan}
    parts |= {"vae": vae(seed + 2, scaling_factor=0.08333), "safety_checker": None, "feature_extractor": None}
    parts["low_res_scheduler"] = scheduler("DDPMScheduler", beta_schedule="scaled_linear")
    made = unet(seed + 3, cross_attention_dim=32, in_channels=7, out_channels=4, num_class_embeds=1000)
    StableDiffusionUpscalePipeline(unet=made, **parts).save_pretrained(folder)
    return folder


def _made(build, name: str, settings: dict, **options):
    """An example of `table`: a builder with its published scheduler."""
    return partial(_built, build, name, settings, options), {}


def _built(build, name: str, settings: dict, options: dict, folder: Path) -> Path:
    return build(folder, scheduler(name, **settings), **options)


FLOWS, TRAILING = "FlowMatchEulerDiscreteScheduler", tiny.LEADING | {"timestep_spacing": "trailing"}
EXAMPLES = {
    "Stable Diffusion 1": _made(sd, "PNDMScheduler", tiny.PNDM),
    "Stable Diffusion 2 (v)": _made(sd, "DDIMScheduler", tiny.DDIM | {"prediction_type": "v_prediction"}),
    "SD Turbo": _made(sd, "EulerDiscreteScheduler", TRAILING),
    "SD, LCM": _made(sd, "LCMScheduler", tiny.LEADING, time_cond_proj_dim=16),
    "SD inpainting": _made(sd_inpaint, "PNDMScheduler", tiny.PNDM),
    "SD upscaler": _made(sd_upscale, "DDIMScheduler", tiny.DDIM | {"prediction_type": "v_prediction"}),
    "SDXL": _made(sdxl, "EulerDiscreteScheduler", tiny.LEADING),
    "SDXL inpainting": _made(sdxl_inpaint, "EulerDiscreteScheduler", tiny.LEADING),
    "SDXL refiner": _made(sdxl_refiner, "EulerDiscreteScheduler", tiny.LEADING),
    "SD3": _made(tiny.sd3, FLOWS, tiny.FLOW),
    "Flux.1 dev": _made(tiny.flux, FLOWS, tiny.FLUX),
    "Flux.1 schnell": _made(tiny.flux, FLOWS, {"shift": 1.0}, guidance=False),
    "PixArt alpha": _made(tiny.pixart, "DPMSolverMultistepScheduler", {}, sigma=False),
    "PixArt sigma": _made(tiny.pixart, "DPMSolverMultistepScheduler", {}),
}
