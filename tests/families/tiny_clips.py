"""Tiny checkpoints of video with random weights, as those of `tiny`: diffusers' own layout, built by its own classes,
the scheduler configurations that were published."""

from pathlib import Path
from typing import Any

import tiny
from tiny import redraw, t5, t5_tokenizer

ZERO = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
COGVIDEOX = tiny.TABLE | ZERO | {"clip_sample": False, "set_alpha_to_one": True, "snr_shift_scale": 3.0}
COGVIDEOX_5B = COGVIDEOX | {"snr_shift_scale": 1.0}


def cogvideox(folder: Path, plan: Any, *, seed: int = 0, picture: bool = False, paired: bool = False) -> Path:
    """CogVideoX, or 1.5, whose network takes latents in pairs; picture: image to video."""
    from diffusers import AutoencoderKLCogVideoX, CogVideoXImageToVideoPipeline, CogVideoXPipeline
    from diffusers import CogVideoXTransformer3DModel as Transformer

    tokenizer = t5_tokenizer()
    kind = {"down_block_types": ("CogVideoXDownBlock3D",) * 3, "up_block_types": ("CogVideoXUpBlock3D",) * 3}
    kind |= {"block_out_channels": (8, 8, 8), "layers_per_block": 1, "norm_num_groups": 2, "latent_channels": 4}
    coder = redraw(AutoencoderKLCogVideoX(scaling_factor=0.7, invert_scale_latents=paired, **kind), seed + 2)
    coder.decoder.conv_out.conv.weight.data *= 0.3
    net = {"num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 8 if picture else 4, "out_channels": 4}
    net |= {"time_embed_dim": 8, "text_embed_dim": 32, "num_layers": 1, "sample_width": 4, "sample_height": 4}
    net |= {"sample_frames": 9, "use_rotary_positional_embeddings": picture or paired}
    net |= {"patch_size_t": 2, "patch_bias": False, "ofs_embed_dim": 8 if picture else None} if paired else {}
    parts = {"tokenizer": tokenizer, "text_encoder": t5(tokenizer, seed + 1), "vae": coder, "scheduler": plan}
    kind = CogVideoXImageToVideoPipeline if picture else CogVideoXPipeline
    kind(transformer=redraw(Transformer(**net), seed + 3), **parts).save_pretrained(folder)
    return folder


WAN = tiny.FLOWING | {"flow_shift": 5.0}


def wan_i2v(folder: Path, plan: Any, *, seed: int = 0, looks: int = 1, experts: int = 1, told: int = 12) -> Path:
    """Wan 2.1, shown one picture or two (looks) as CLIP sees them, or 2.2 (looks 0) with its two experts, or 5B, whose
    network takes the latents alone (told 4) and a time for each token."""
    from diffusers import WanImageToVideoPipeline, WanTransformer3DModel
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    parts = wan_parts(seed)
    net = {"num_attention_heads": 2, "attention_head_dim": 12, "in_channels": told, "out_channels": 4, "text_dim": 32}
    net |= {"freq_dim": 32, "ffn_dim": 32, "num_layers": 1, "rope_max_seq_len": 32}
    if looks:
        eye = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        eye = CLIPVisionConfig(**eye, image_size=32, patch_size=16, projection_dim=16)
        crop = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        parts |= {
            "image_encoder": redraw(CLIPVisionModel(eye), seed + 6),
            "image_processor": CLIPImageProcessor(**crop),
        }
        net |= {"image_dim": 16, "added_kv_proj_dim": 24, "pos_embed_seq_len": 10 if looks == 2 else None}
    made = [redraw(WanTransformer3DModel(**net), seed + 3 + number) for number in range(experts)]
    parts |= {"transformer": made[0], "transformer_2": made[1] if experts > 1 else None, "scheduler": plan}
    boundary = 0.9 if experts > 1 else None
    WanImageToVideoPipeline(**parts, boundary_ratio=boundary, expand_timesteps=told == 4).save_pretrained(folder)
    return folder


def wan_parts(seed: int) -> dict[str, Any]:
    from diffusers import AutoencoderKLWan
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = t5_tokenizer()
    sizes = {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_heads": 4, "num_layers": 2}
    text = redraw(UMT5EncoderModel(UMT5Config(vocab_size=len(tokenizer), **sizes)), seed + 1)
    white = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.5, 0.8, 1.2, 2.0], "scale_factor_spatial": 4}
    kind = {"base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 2], "num_res_blocks": 1, "temperal_downsample": [True, True]}
    coder = redraw(AutoencoderKLWan(**kind, **white), seed + 2)
    coder.decoder.conv_out.weight.data *= 0.3
    return {"tokenizer": tokenizer, "text_encoder": text, "vae": coder}


def words_tokenizer() -> Any:
    """Signs and pieces of words, about as many as a real one makes of the long request to describe a video."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    marks = ("<image>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    vocab = {word: number for number, word in enumerate(("<pad>", "<unk>", *marks, *tiny.WORDS))}
    made = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    made.pre_tokenizer = Split(Regex(r"\w{1,5}|[^\w\s]"), behavior="removed", invert=True)
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "additional_special_tokens": list(marks)}
    return PreTrainedTokenizerFast(tokenizer_object=made, padding_side="right", **special)


def hunyuan_coder(seed: int) -> Any:
    from diffusers import AutoencoderKLHunyuanVideo

    kind = {"down_block_types": ("HunyuanVideoDownBlock3D",) * 3, "up_block_types": ("HunyuanVideoUpBlock3D",) * 3}
    kind |= {"block_out_channels": (8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4}
    coder = AutoencoderKLHunyuanVideo(spatial_compression_ratio=4, scaling_factor=0.476986, **kind)
    coder = redraw(coder, seed)
    coder.decoder.conv_out.conv.weight.data *= 0.3
    return coder


HUNYUAN = {"num_train_timesteps": 1000, "shift": 7.0}
HUNYUAN_NET = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 1, "num_single_layers": 1}
HUNYUAN_NET |= {"num_refiner_layers": 1, "patch_size": 2, "text_embed_dim": 32, "pooled_projection_dim": 32}
HUNYUAN_NET |= {"rope_axes_dim": (4, 4, 4), "out_channels": 4}


def hunyuan_video(folder: Path, plan: Any, *, seed: int = 0) -> Path:
    """HunyuanVideo."""
    from diffusers import HunyuanVideoPipeline, HunyuanVideoTransformer3DModel
    from transformers import LlamaConfig, LlamaModel

    one, two = words_tokenizer(), tiny.clip_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    llama = redraw(LlamaModel(LlamaConfig(vocab_size=len(one), pad_token_id=0, **sizes)), seed + 1)
    net = redraw(HunyuanVideoTransformer3DModel(in_channels=4, guidance_embeds=True, **HUNYUAN_NET), seed + 3)
    parts = {"tokenizer": one, "tokenizer_2": two, "text_encoder": llama, "text_encoder_2": tiny.clip(two, seed + 4)}
    HunyuanVideoPipeline(transformer=net, vae=hunyuan_coder(seed + 2), scheduler=plan, **parts).save_pretrained(folder)
    return folder


def hunyuan_video_i2v(folder: Path, plan: Any, *, seed: int = 0, beside: bool = False) -> Path:
    """HunyuanVideo, image to video, whose first latent is the picture, or that is shown it beside the noise."""
    from diffusers import HunyuanVideoImageToVideoPipeline, HunyuanVideoTransformer3DModel
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    one, two = words_tokenizer(), tiny.clip_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    eye = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    eye = CLIPVisionConfig(**eye, image_size=48, patch_size=2, projection_dim=16)  # 576 positions, as the real one has
    said = LlamaConfig(vocab_size=len(one), pad_token_id=0, **sizes)
    image = one.convert_tokens_to_ids("<image>")
    llava = LlavaConfig(vision_config=eye, text_config=said, image_token_index=image, pad_token_id=0)
    crop = {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}}
    way = {"image_condition_type": "latent_concat" if beside else "token_replace", "in_channels": 9 if beside else 4}
    net = HunyuanVideoTransformer3DModel(guidance_embeds=not beside, **way, **HUNYUAN_NET)
    parts = {"tokenizer": one, "tokenizer_2": two, "text_encoder": redraw(LlavaForConditionalGeneration(llava), seed)}
    parts |= {"text_encoder_2": tiny.clip(two, seed + 4), "image_processor": CLIPImageProcessor(**crop)}
    parts |= {"transformer": redraw(net, seed + 3), "vae": hunyuan_coder(seed + 2), "scheduler": plan}
    HunyuanVideoImageToVideoPipeline(**parts).save_pretrained(folder)
    return folder


ASKED = "{% for one in messages %}{{ one.role }} {{ one.content }} {% endfor %}assistant"


def hunyuan_video15(folder: Path, plan: Any, *, seed: int = 0, picture: bool = False) -> Path:
    """HunyuanVideo 1.5; picture: image to video."""
    from diffusers import (
        AutoencoderKLHunyuanVideo15,
        ClassifierFreeGuidance,
        HunyuanVideo15ImageToVideoPipeline,
        HunyuanVideo15Pipeline,
        HunyuanVideo15Transformer3DModel,
    )
    from transformers import (
        ByT5Tokenizer,
        Qwen2_5_VLTextConfig,
        Qwen2_5_VLTextModel,
        SiglipImageProcessor,
        SiglipVisionConfig,
        SiglipVisionModel,
    )

    one, two = words_tokenizer(), ByT5Tokenizer()
    one.chat_template = ASKED
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    told = Qwen2_5_VLTextConfig(vocab_size=len(one), num_key_value_heads=2, rope_parameters=rope, **sizes)
    kind = {"block_out_channels": (16, 16, 16), "layers_per_block": 1, "latent_channels": 4}
    kind |= {"downsample_match_channel": False, "upsample_match_channel": False, "spatial_compression_ratio": 4}
    coder = redraw(AutoencoderKLHunyuanVideo15(**kind), seed + 2)
    coder.decoder.conv_out.conv.weight.data *= 0.3
    net = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1, "num_refiner_layers": 1}
    net |= {"in_channels": 9, "out_channels": 4, "text_embed_dim": 32, "text_embed_2_dim": 32, "image_embed_dim": 16}
    made = HunyuanVideo15Transformer3DModel(rope_axes_dim=(4, 6, 6), target_size=16, **net)
    parts = {"tokenizer": one, "tokenizer_2": two, "text_encoder": redraw(Qwen2_5_VLTextModel(told), seed + 1)}
    parts |= {"text_encoder_2": t5(two, seed + 4), "vae": coder, "scheduler": plan}
    if picture:
        eye = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        eye = SiglipVisionConfig(**eye, image_size=32, patch_size=16)
        parts |= {"image_encoder": redraw(SiglipVisionModel(eye), seed + 6)}
        parts |= {"feature_extractor": SiglipImageProcessor(size={"height": 32, "width": 32})}
    kind = HunyuanVideo15ImageToVideoPipeline if picture else HunyuanVideo15Pipeline
    guider = ClassifierFreeGuidance(guidance_scale=6.0)
    kind(transformer=redraw(made, seed + 3), guider=guider, **parts).save_pretrained(folder)
    return folder


MOCHI = {"num_train_timesteps": 1000, "shift": 1.0, "invert_sigmas": True}


def mochi(folder: Path, plan: Any, *, seed: int = 0) -> Path:
    """Mochi."""
    from diffusers import AutoencoderKLMochi, MochiPipeline, MochiTransformer3DModel

    tokenizer = t5_tokenizer()
    kind = {"encoder_block_out_channels": (32,) * 4, "decoder_block_out_channels": (32,) * 4}
    kind |= {"layers_per_block": (1,) * 5, "scaling_factor": 0.9}
    coder = redraw(AutoencoderKLMochi(**kind), seed + 2)
    coder.decoder.proj_out.weight.data *= 0.3
    net = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "pooled_projection_dim": 16}
    net |= {"text_embed_dim": 32, "time_embed_dim": 8, "max_sequence_length": 256}
    made = redraw(MochiTransformer3DModel(**net), seed + 3)
    parts = {"tokenizer": tokenizer, "text_encoder": t5(tokenizer, seed + 1), "vae": coder, "scheduler": plan}
    MochiPipeline(transformer=made, force_zeros_for_empty_prompt=True, **parts).save_pretrained(folder)
    return folder


KARRAS = {"timestep_type": "continuous", "use_karras_sigmas": True, "sigma_min": 0.002, "sigma_max": 700.0}
SVD = tiny.LEADING | {"interpolation_type": "linear", "prediction_type": "v_prediction"} | KARRAS


def svd(folder: Path, plan: Any, *, seed: int = 0) -> Path:
    """Stable Video Diffusion."""
    from diffusers import AutoencoderKLTemporalDecoder, StableVideoDiffusionPipeline
    from diffusers import UNetSpatioTemporalConditionModel as UNet
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 32, "intermediate_size": 37, "projection_dim": 32, "patch_size": 112, "image_size": 224}
    looks = CLIPVisionConfig(**sizes, num_hidden_layers=2, num_attention_heads=4)
    coder = {"down_block_types": ("DownEncoderBlock2D",) * 2, "block_out_channels": (32, 32), "latent_channels": 4}
    kind = {"down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal")}
    kind |= {"up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal")}
    # its norms have 32 groups: of one channel each, they would take away all that time and numbers add
    kind |= {"block_out_channels": (32, 64), "layers_per_block": 1, "num_attention_heads": (2, 2), "in_channels": 8}
    kind |= {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 24, "cross_attention_dim": 32}
    parts = {"vae": redraw(AutoencoderKLTemporalDecoder(**coder), seed + 1), "scheduler": plan}
    parts["vae"].decoder.time_conv_out.weight.data *= 0.3
    parts["image_encoder"] = redraw(CLIPVisionModelWithProjection(looks), seed + 2)
    net = redraw(UNet(sample_size=8, num_frames=9, **kind), seed + 3)
    made = StableVideoDiffusionPipeline(unet=net, feature_extractor=CLIPImageProcessor(), **parts)
    made.save_pretrained(folder)
    return folder


ANIMATED = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
ANIMATED |= {"clip_sample": False, "steps_offset": 1}
LINSPACE = {"timestep_spacing": "linspace"}


def animatediff(folder: Path, plan: Any, *, seed: int = 0) -> Path:
    """A motion adapter on Stable Diffusion 1.x."""
    from diffusers import AnimateDiffPipeline, MotionAdapter, UNetMotionModel

    tokenizer = tiny.clip_tokenizer()
    sizes = {"block_out_channels": (16, 32), "motion_layers_per_block": 1, "motion_norm_num_groups": 2}
    moves = MotionAdapter(**sizes, motion_num_attention_heads=2)
    still = tiny.unet(seed + 3, cross_attention_dim=32)
    net = redraw(UNetMotionModel.from_unet2d(still, moves), seed + 4)
    parts = {"tokenizer": tokenizer, "text_encoder": tiny.clip(tokenizer, seed + 1), "vae": tiny.vae(seed + 2)}
    AnimateDiffPipeline(unet=net, motion_adapter=moves, scheduler=plan, **parts).save_pretrained(folder)
    return folder


def ltx2(folder: Path, plan: Any, *, seed: int = 0) -> Path:
    """LTX-2: a clip with its sound."""
    import diffusers
    import torch
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    tokenizer = t5_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "head_dim": 8, "vocab_size": len(tokenizer)}
    eye = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    eye |= {"image_size": 28, "patch_size": 14}
    ends = {"boi_token_index": 3, "eoi_token_index": 4, "image_token_index": 5}
    reader = Gemma3ForConditionalGeneration(Gemma3Config(text_config=sizes, vision_config=eye, **ends))
    heads = ("video_connector", "audio_connector")
    mixed = {f"{one}_num_attention_heads": 4 for one in heads} | {f"{one}_attention_head_dim": 8 for one in heads}
    mixed |= {f"{one}_num_layers": 1 for one in heads} | {f"{one}_num_learnable_registers": 8 for one in heads}
    connectors = LTX2TextConnectors(caption_channels=32, text_proj_in_factor=3, **mixed)
    kind = {"block_out_channels": (8,), "decoder_block_out_channels": (8,), "layers_per_block": (1, 1)}
    kind |= {"down_block_types": ("LTX2VideoDownBlock3D",), "decoder_layers_per_block": (1, 1), "latent_channels": 8}
    kind |= {"spatio_temporal_scaling": (True,), "decoder_spatio_temporal_scaling": (True,), "patch_size": 2}
    kind |= {"decoder_inject_noise": (False, False), "downsample_type": ("spatiotemporal",), "upsample_factor": (1,)}
    kind |= {"upsample_type": ("spatiotemporal",), "upsample_residual": (False,)}
    coder = redraw(diffusers.AutoencoderKLLTX2Video(**kind), seed + 2)
    coder.decoder.conv_out.conv.weight.data *= 0.3
    kind = {"base_channels": 8, "ch_mult": (1, 1, 1), "num_res_blocks": 1, "latent_channels": 2, "mel_bins": 16}
    sound = redraw(diffusers.AutoencoderKLLTX2Audio(resolution=32, **kind), seed + 4)
    for one in (coder, sound):
        one.latents_mean[:], one.latents_std[:] = torch.linspace(-0.3, 0.3, 8), torch.linspace(0.6, 1.8, 8)
    voice = LTX2Vocoder(in_channels=32, hidden_channels=32, resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]])
    net = {"in_channels": 8, "out_channels": 8, "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2}
    net |= {"cross_attention_dim": 16, "vae_scale_factors": (2, 4, 4), "caption_channels": 32}
    net |= {"audio_in_channels": 8, "audio_out_channels": 8, "audio_num_attention_heads": 2}
    net |= {"audio_attention_head_dim": 4, "audio_cross_attention_dim": 8, "rope_type": "split"}
    made = redraw(diffusers.LTX2VideoTransformer3DModel(**net), seed + 3)
    parts = {"tokenizer": tokenizer, "text_encoder": redraw(reader, seed + 1), "vae": coder, "scheduler": plan}
    parts |= {"connectors": redraw(connectors, seed + 5), "audio_vae": sound, "vocoder": redraw(voice, seed + 6)}
    diffusers.LTX2Pipeline(transformer=made, **parts).save_pretrained(folder)
    return folder
