"""Tiny checkpoints of the further families of pictures: see `tiny`."""

import json
from pathlib import Path

import tiny
from tiny import clip, clip_tokenizer, redraw, scheduler, sd, sdxl, t5, t5_tokenizer, unet, vae


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


def lcm(folder: Path, plan, *, seed: int = 0) -> Path:
    """Distilled from Stable Diffusion: a U-Net with a place for the guidance scale."""
    return renamed(sd(folder, plan, seed=seed, time_cond_proj_dim=16), "LatentConsistencyModelPipeline")


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


def gemma_tokenizer():
    """Letters, a few words, and bytes for all else."""
    from transformers import GemmaTokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    vocab, merges = [*special, "▁", "\n", *(chr(c) for c in range(33, 127))], []
    for word in tiny.WORDS:
        pieces = ["▁", *word]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = ["".join(pieces[:2])]
            vocab.append(pieces[0])
    numbered = {token: number for number, token in enumerate(dict.fromkeys(vocab))}
    return GemmaTokenizer(vocab=numbered, merges=list(dict.fromkeys(merges)), model_max_length=8192)


def sana(folder: Path, plan, *, seed: int = 0) -> Path:
    from diffusers import AutoencoderDC, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = gemma_tokenizer()
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"num_key_value_heads": 1, "head_dim": 8, "query_pre_attn_scalar": 8}
    text = redraw(Gemma2Model(Gemma2Config(vocab_size=len(tokenizer), **sizes)), seed + 1)
    side = {"block_types": ("ResBlock", "EfficientViTBlock"), "block_out_channels": (8, 16)}
    side |= {"layers_per_block": (1, 1), "qkv_multiscales": ((), (5,))}
    both = {f"{name}_{what}": value for name in ("encoder", "decoder") for what, value in side.items()}
    kind = {"downsample_block_type": "Conv", "upsample_block_type": "interpolate", "attention_head_dim": 8}
    coder = redraw(AutoencoderDC(latent_channels=4, scaling_factor=0.41407, **kind, **both), seed + 2)
    net = {"num_attention_heads": 2, "attention_head_dim": 8, "num_cross_attention_heads": 2, "num_layers": 2}
    net |= {"cross_attention_head_dim": 8, "cross_attention_dim": 16, "caption_channels": 16, "in_channels": 4}
    made = SanaTransformer2DModel(out_channels=4, sample_size=tiny.SAMPLE, **net)
    parts = {"tokenizer": tokenizer, "text_encoder": text, "vae": coder, "scheduler": plan}
    SanaPipeline(transformer=redraw(made, seed + 3), **parts).save_pretrained(folder)
    return folder


IF = {"beta_schedule": "squaredcos_cap_v2", "thresholding": True, "dynamic_thresholding_ratio": 0.95}
IF |= {"sample_max_value": 1.5, "variance_type": "learned_range"}


def deepfloyd(folder: Path, plan, *, seed: int = 0, second: bool = False) -> Path:
    """The first stage of IF, or the second, which is shown a picture of a quarter of its size."""
    from diffusers import IFPipeline, IFSuperResolutionPipeline, UNet2DConditionModel

    tokenizer = t5_tokenizer()
    net = {"down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"], "layers_per_block": 1}
    net |= {"up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"], "block_out_channels": [32, 64]}
    net |= {"mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "cross_attention_dim": 32, "encoder_hid_dim": 32}
    net |= {"addition_embed_type": "text", "addition_embed_type_num_heads": 2, "cross_attention_norm": "group_norm"}
    net |= {"resnet_time_scale_shift": "scale_shift", "act_fn": "gelu", "attention_head_dim": 8}
    net |= {"class_embed_type": "timestep"} if second else {}
    made = UNet2DConditionModel(sample_size=16, in_channels=6 if second else 3, out_channels=6, **net)
    parts = {"tokenizer": tokenizer, "text_encoder": t5(tokenizer, seed + 1), "scheduler": plan}
    parts |= {"safety_checker": None, "feature_extractor": None, "watermarker": None, "requires_safety_checker": False}
    noised = scheduler("DDPMScheduler", beta_schedule="squaredcos_cap_v2")
    parts |= {"image_noising_scheduler": noised} if second else {}
    kind = IFSuperResolutionPipeline if second else IFPipeline
    made = redraw(made, seed + 3)
    made.conv_out.weight.data *= 0.3  # so that the picture is not clipped
    kind(unet=made, **parts).save_pretrained(folder)
    return folder


TRAILING = tiny.LEADING | {"timestep_spacing": "trailing"}
