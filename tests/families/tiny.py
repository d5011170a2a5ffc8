"""Tiny checkpoints with random weights in diffusers' own layout, built offline by diffusers' own classes.

Schedulers have the configurations that were published. Weights are redrawn (matrices 1 / sqrt(fan in), norms about 1,
small biases), for at the usual ones a swapped or lost condition changes nothing that a tolerance would see.
"""

import json
from pathlib import Path
from typing import Any

import torch

SAMPLE = 8  # latents a side
TABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
LEADING = TABLE | {"timestep_spacing": "leading", "steps_offset": 1}
PNDM = LEADING | {"skip_prk_steps": True, "set_alpha_to_one": False}
DDIM = LEADING | {"clip_sample": False, "set_alpha_to_one": False}
WORDS = ("cat", "dog", "red", "blue", "a", "of", "the")


def redraw(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights that let every input through to the output."""
    g = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        drawn = torch.randn(p.shape, generator=g)
        p.data = drawn / p[0].numel() ** 0.5 if p.ndim > 1 else drawn * 0.1
    for part in module.modules():
        if "Norm" in type(part).__name__ and getattr(part, "weight", None) is not None:
            part.weight.data += 1
    return module.eval().requires_grad_(False)


def clip_tokenizer(pad: str = "<|endoftext|>"):
    """Bytes, a few words, and the special tokens last: CLIP's end token has the highest number."""
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    vocab = letters + [letter + "</w>" for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            if pair not in merges:
                merges.append(pair)
                vocab.append("".join(pair))
            pieces[:2] = ["".join(pair)]
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    numbered = {token: number for number, token in enumerate(dict.fromkeys(vocab))}
    return CLIPTokenizer(vocab=numbered, merges=merges, model_max_length=77, pad_token=pad)


def t5_tokenizer():
    from transformers import T5TokenizerFast

    letters = [("▁" + chr(c), -3.0) for c in range(97, 123)] + [(chr(c), -3.5) for c in range(33, 127)]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *[("▁" + w, -1.0) for w in WORDS], *letters]
    vocab = list(dict(vocab).items())
    return T5TokenizerFast(vocab=vocab, extra_ids=0, model_max_length=512)


def clip(tokenizer, seed: int, *, width: int = 32, projected: bool = False):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    sizes = {"hidden_size": width, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}  # as published, wherever the tokenizer has them
    config = CLIPTextConfig(vocab_size=len(tokenizer), projection_dim=width, hidden_act="quick_gelu", **sizes, **ends)
    return redraw((CLIPTextModelWithProjection if projected else CLIPTextModel)(config), seed)


def t5(tokenizer, seed: int, width: int = 32):
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": width, "d_ff": 48, "d_kv": 8, "num_heads": 4, "num_layers": 2}
    return redraw(T5EncoderModel(T5Config(vocab_size=len(tokenizer), **sizes)), seed)


def vae(seed: int, **config):
    from diffusers import AutoencoderKL

    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    sizes = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4}
    made = redraw(AutoencoderKL(sample_size=2 * SAMPLE, **kinds, **(sizes | config)), seed)
    made.decoder.conv_out.weight.data *= 0.3  # so that what is decoded is not clipped
    return made


def unet(seed: int, **config):
    from diffusers import UNet2DConditionModel

    kinds = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    kinds |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    sizes = {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 4}
    return redraw(UNet2DConditionModel(sample_size=SAMPLE, **kinds, **(sizes | config)), seed)


def as_ours(pipe: Any, z: torch.Tensor) -> torch.Tensor:
    """Latents [B, C, h, w] as a pipeline of ours has them: of Flux two by two are one position."""
    patch = pipe.model.autoencoder.patch
    return torch.nn.functional.pixel_unshuffle(z, patch) if patch > 1 else z


def as_published(pipe: Any, z: torch.Tensor) -> torch.Tensor:
    """The inverse of `as_ours`."""
    patch = pipe.model.autoencoder.patch
    return torch.nn.functional.pixel_shuffle(z, patch) if patch > 1 else z


def published(folder: Path) -> Any:
    """diffusers' own pipeline of a checkpoint, without the parts that it names and has not."""
    import diffusers

    index = json.loads((folder / "model_index.json").read_text())
    absent = {part: None for part, made in index.items() if made == [None, None]}
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, **absent)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def scheduler(name: str, **config):
    import diffusers

    return getattr(diffusers, name)(**config)


def sd(folder: Path, plan, *, seed: int = 0, pad: str = "<|endoftext|>", **config) -> Path:
    """Stable Diffusion 1.x, or 2.x with what SD2 says."""
    from diffusers import StableDiffusionPipeline

    tokenizer = clip_tokenizer(pad)
    parts = {"tokenizer": tokenizer, "text_encoder": clip(tokenizer, seed + 1), "vae": vae(seed + 2), "scheduler": plan}
    absent = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    made = unet(seed + 3, cross_attention_dim=32, **config)
    StableDiffusionPipeline(unet=made, **parts, **absent).save_pretrained(folder)
    return folder


def sdxl(folder: Path, plan, *, seed: int = 0, zeros: bool = True, widths=(32, 32), **config) -> Path:
    """Stable Diffusion XL. widths: of its two text encoders, 64 together."""
    from diffusers import StableDiffusionXLPipeline

    one, two = clip_tokenizer(), clip_tokenizer(pad="!")
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "use_linear_projection": True}
    added |= {"projection_class_embeddings_input_dim": widths[1] + 6 * 8, "transformer_layers_per_block": (1, 1)}
    parts = {"tokenizer": one, "tokenizer_2": two, "scheduler": plan, "vae": vae(seed + 2, scaling_factor=0.13025)}
    parts |= {"text_encoder": clip(one, seed + 1, width=widths[0])}
    parts |= {"text_encoder_2": clip(two, seed + 4, width=widths[1], projected=True)}
    made = unet(seed + 3, cross_attention_dim=64, **added, **config)
    options = {"force_zeros_for_empty_prompt": zeros, "add_watermarker": False}
    StableDiffusionXLPipeline(unet=made, **parts, **options).save_pretrained(folder)
    return folder


FLOW = {"num_train_timesteps": 1000, "shift": 3.0}
SD2 = {"use_linear_projection": True, "upcast_attention": True, "attention_head_dim": (2, 4), "pad": "!"}
FLOW_VAE = {"use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": 0.0609, "scaling_factor": 1.5305}


def sd3(folder: Path, plan, *, seed: int = 0, third: bool = True, widths=(32, 32)) -> Path:
    """Stable Diffusion 3, with its T5 or without. widths: of its two CLIPs, 64 together."""
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    one, two, three = clip_tokenizer(), clip_tokenizer(pad="!"), t5_tokenizer()
    sizes = {"num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 8, "caption_projection_dim": 32}
    sizes |= {"joint_attention_dim": 64, "pooled_projection_dim": 64, "patch_size": 2}
    net = SD3Transformer2DModel(sample_size=SAMPLE, in_channels=4, out_channels=4, pos_embed_max_size=24, **sizes)
    parts = {"tokenizer": one, "tokenizer_2": two, "tokenizer_3": three, "scheduler": plan}
    parts |= {"text_encoder": clip(one, seed + 1, width=widths[0], projected=True), "vae": vae(seed + 2, **FLOW_VAE)}
    parts |= {"text_encoder_2": clip(two, seed + 4, width=widths[1], projected=True)}
    parts |= {"text_encoder_3": t5(three, seed + 5, width=64) if third else None}
    StableDiffusion3Pipeline(transformer=redraw(net, seed + 3), **parts).save_pretrained(folder)
    return folder


FLUX = {"num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
FLUX |= {"base_image_seq_len": 256, "max_image_seq_len": 4096}
FLUX_VAE = FLOW_VAE | {"shift_factor": 0.1159, "scaling_factor": 0.3611}


def flux(folder: Path, plan, *, seed: int = 0, guidance: bool = True) -> Path:
    """Flux.1 dev, or schnell without guidance."""
    from diffusers import FluxPipeline, FluxTransformer2DModel

    one, two = clip_tokenizer(), t5_tokenizer()
    sizes = {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 2, "attention_head_dim": 16}
    sizes |= {"joint_attention_dim": 32, "pooled_projection_dim": 32, "axes_dims_rope": (4, 4, 8)}
    net = FluxTransformer2DModel(patch_size=1, in_channels=16, guidance_embeds=guidance, **sizes)
    parts = {"tokenizer": one, "tokenizer_2": two, "scheduler": plan, "vae": vae(seed + 2, **FLUX_VAE)}
    parts |= {"text_encoder": clip(one, seed + 1), "text_encoder_2": t5(two, seed + 4)}
    FluxPipeline(transformer=redraw(net, seed + 3), **parts).save_pretrained(folder)
    return folder


FLOWING = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0, "solver_order": 2}


def wan(folder: Path, plan, *, seed: int = 0, experts: int = 1, per_token: bool = False) -> Path:
    """Wan 2.1, 2.2 with two experts, or 2.2's model that is told a time for each token."""
    from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = t5_tokenizer()
    sizes = {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_heads": 4, "num_layers": 2}
    text = redraw(UMT5EncoderModel(UMT5Config(vocab_size=len(tokenizer), **sizes)), seed + 1)
    white = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.5, 0.8, 1.2, 2.0], "scale_factor_spatial": 4}
    kind = {"base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 2], "num_res_blocks": 1, "temperal_downsample": [True, True]}
    coder = redraw(AutoencoderKLWan(**kind, **white), seed + 2)
    coder.decoder.conv_out.weight.data *= 0.3
    net = {"num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 4, "out_channels": 4, "text_dim": 32}
    net |= {"freq_dim": 32, "ffn_dim": 32, "num_layers": 2, "rope_max_seq_len": 32}
    made = [redraw(WanTransformer3DModel(**net), seed + 3 + number) for number in range(experts)]
    parts = {"transformer": made[0], "transformer_2": made[1] if experts > 1 else None}
    about = {"boundary_ratio": 0.875 if experts > 1 else None, "expand_timesteps": per_token}
    options = {"tokenizer": tokenizer, "text_encoder": text, "vae": coder, "scheduler": plan, **parts, **about}
    WanPipeline(**options).save_pretrained(folder)
    return folder


LTX = FLUX | {"shift": 1.0, "base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024, "shift_terminal": 0.1}


def ltx(folder: Path, plan, *, seed: int = 0, timed: bool = False) -> Path:
    """LTX-Video; timed: with a decoder that is told how much noise is left."""
    from diffusers import AutoencoderKLLTXVideo, LTXPipeline, LTXVideoTransformer3DModel

    tokenizer = t5_tokenizer()
    ones, twice = (1, 1, 1), (True, True)
    kind = {"block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "patch_size": 1, "patch_size_t": 1}
    kind |= {"down_block_types": ("LTXVideoDownBlock3D",) * 2, "downsample_type": ("conv",) * 2}
    kind |= {"layers_per_block": ones, "decoder_layers_per_block": ones, "decoder_inject_noise": (False,) * 3}
    kind |= {"spatio_temporal_scaling": twice, "decoder_spatio_temporal_scaling": twice, "latent_channels": 4}
    kind |= {"upsample_residual": (False, False), "upsample_factor": (1, 1), "timestep_conditioning": timed}
    coder = redraw(AutoencoderKLLTXVideo(scaling_factor=0.8, **kind), seed + 2)
    coder.latents_mean[:], coder.latents_std[:] = torch.tensor([[0.1, -0.2, 0.3, 0.0], [1.5, 0.8, 1.2, 2.0]])
    coder.decoder.conv_out.conv.weight.data *= 0.3
    net = {"in_channels": 4, "out_channels": 4, "num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2}
    made = LTXVideoTransformer3DModel(cross_attention_dim=24, caption_channels=32, **net)
    parts = {"tokenizer": tokenizer, "text_encoder": t5(tokenizer, seed + 1), "vae": coder, "scheduler": plan}
    LTXPipeline(transformer=redraw(made, seed + 3), **parts).save_pretrained(folder)
    return folder


def pixart(folder: Path, plan, *, seed: int = 0, sigma: bool = True) -> Path:
    """PixArt sigma, or the large alpha, which is told the size of the picture."""
    from diffusers import PixArtAlphaPipeline, PixArtSigmaPipeline, PixArtTransformer2DModel

    tokenizer = t5_tokenizer()
    net = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "patch_size": 2, "in_channels": 4}
    net |= {"out_channels": 8, "cross_attention_dim": 24, "caption_channels": 32, "attention_bias": True}
    net |= {"norm_type": "ada_norm_single", "norm_elementwise_affine": False, "num_embeds_ada_norm": 1000}
    made = PixArtTransformer2DModel(sample_size=SAMPLE if sigma else 128, **net)
    parts = {"tokenizer": tokenizer, "text_encoder": t5(tokenizer, seed + 1), "vae": vae(seed + 2), "scheduler": plan}
    kind = PixArtSigmaPipeline if sigma else PixArtAlphaPipeline
    kind(transformer=redraw(made, seed + 3), **parts).save_pretrained(folder)
    return folder


def gguf(weights: Path, to: Path) -> Path:
    """Flux's transformer out of a .safetensors file, its matrices in blocks of 32 whole numbers of eight bits."""
    import pytest
    from safetensors.torch import load_file

    library = pytest.importorskip("gguf")
    writer, kinds = library.GGUFWriter(str(to), "flux"), library.GGMLQuantizationType
    for name, value in load_file(weights).items():
        kind = kinds.Q8_0 if value.ndim == 2 and value.shape[1] % 32 == 0 else kinds.F32
        writer.add_tensor(name, library.quants.quantize(value.numpy(), kind), raw_dtype=kind)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return to
