"""Tiny checkpoints of sound with random weights, as in `tiny`."""

from pathlib import Path

import tiny

LATENTS = 96  # positions of Stable Audio's one length
STRIDES = (2, 4)  # of its autoencoder
COSINE = {"sigma_min": 0.3, "sigma_max": 500.0, "solver_order": 2, "prediction_type": "v_prediction"}


def oobleck(seed: int, **config):
    from diffusers import AutoencoderOobleck

    sizes = {"encoder_hidden_size": 8, "decoder_channels": 8, "decoder_input_channels": 4, "sampling_rate": 1600}
    kind = {"downsampling_ratios": list(STRIDES), "channel_multiples": [1, 2], "audio_channels": 2}
    made = tiny.redraw(AutoencoderOobleck(**(sizes | kind | config)), seed)
    made.decoder.conv2.weight_g.data *= 0.05  # so that what is decoded is not clipped
    return made


def stable_audio(folder: Path, plan, *, seed: int = 0) -> Path:
    """Stable Audio Open."""
    from diffusers import StableAudioDiTModel, StableAudioPipeline, StableAudioProjectionModel

    tokenizer = tiny.t5_tokenizer()
    tokenizer.model_max_length = 24
    net = {"sample_size": float(LATENTS), "in_channels": 4, "out_channels": 4, "num_layers": 2, "attention_head_dim": 8}
    net |= {"num_attention_heads": 4, "num_key_value_attention_heads": 2, "cross_attention_dim": 16}
    net |= {"time_proj_dim": 8, "global_states_input_dim": 32, "cross_attention_input_dim": 16}
    told = {"text_encoder_dim": 32, "conditioning_dim": 16, "min_value": 0, "max_value": 512}
    parts = {"tokenizer": tokenizer, "text_encoder": tiny.t5(tokenizer, seed + 1), "scheduler": plan}
    parts |= {"vae": oobleck(seed + 2), "projection_model": tiny.redraw(StableAudioProjectionModel(**told), seed + 4)}
    StableAudioPipeline(transformer=tiny.redraw(StableAudioDiTModel(**net), seed + 3), **parts).save_pretrained(folder)
    return folder


TABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195, "num_train_timesteps": 1000}
DDIM = TABLE | {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
MELS = 8


def roberta_tokenizer():
    from transformers import RobertaTokenizer

    letters = ["<s>", "<pad>", "</s>", "<unk>", *map(chr, range(33, 127)), "Ġ", "<mask>"]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(letters))}
    return RobertaTokenizer(vocab=vocab, merges=[], model_max_length=64)


def clap(tokenizer, seed: int, width: int = 16):
    from transformers import ClapAudioConfig, ClapConfig, ClapModel, ClapTextConfig

    ends = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 80}
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2, "num_hidden_layers": 1}
    text = ClapTextConfig(vocab_size=len(tokenizer), projection_dim=width, **sizes, **ends)
    sound = {"spec_size": 8, "window_size": 4, "num_mel_bins": 8, "intermediate_size": 12, "depths": [1, 1]}
    sound |= {"num_attention_heads": [1, 1], "num_hidden_layers": 1, "hidden_size": 192, "patch_size": 2}
    sound |= {"patch_stride": 2, "patch_embed_input_channels": 4, "projection_dim": width}
    parts = {"text_config": text.to_dict(), "audio_config": ClapAudioConfig(**sound).to_dict()}
    return tiny.redraw(ClapModel(ClapConfig(**parts, projection_dim=width)), seed)


def vocoder(seed: int, mels: int = MELS, **config):
    """With an odd difference of kernel and rate, as the published one has, so that its output is a little too long."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    sizes = {"upsample_initial_channel": 8, "upsample_rates": [3, 2], "upsample_kernel_sizes": [8, 4]}
    blocks = {"resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 3], [1, 3]], "normalize_before": False}
    sizes |= {"model_in_dim": mels, "sampling_rate": 1200}
    made = SpeechT5HifiGan(SpeechT5HifiGanConfig(**(sizes | blocks | config)))
    tiny.redraw(made, seed).conv_post.weight.data *= 60  # so that it is heard
    return made


def mel_parts(plan, seed: int, **config):
    """What AudioLDM2 and MusicLDM have in common."""
    tokenizer = roberta_tokenizer()
    coder = tiny.vae(seed + 2, in_channels=1, out_channels=1, scaling_factor=0.9)
    parts = {"tokenizer": tokenizer, "text_encoder": clap(tokenizer, seed + 1), "feature_extractor": None}
    return parts | {"vae": coder, "scheduler": plan, "vocoder": vocoder(seed + 4, **config)}


def audioldm2(folder: Path, plan, *, seed: int = 0, **config) -> Path:
    from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = tiny.t5_tokenizer()
    words = GPT2Config(n_embd=16, n_head=2, n_layer=1, vocab_size=100, n_positions=99, max_new_tokens=8)
    told = AudioLDM2ProjectionModel(text_encoder_dim=16, text_encoder_1_dim=32, langauge_model_dim=16)
    kinds = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
    kinds |= {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": [[None, 16, 32]] * 2}
    sizes = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 4}
    net = AudioLDM2UNet2DConditionModel(sample_size=32, **kinds, **sizes)
    parts = mel_parts(plan, seed, **config) | {"tokenizer_2": tokenizer, "text_encoder_2": tiny.t5(tokenizer, seed + 5)}
    parts |= {"language_model": tiny.redraw(GPT2LMHeadModel(words), seed + 6)}
    parts |= {"projection_model": tiny.redraw(told, seed + 7), "unet": tiny.redraw(net, seed + 3)}
    AudioLDM2Pipeline(**parts).save_pretrained(folder)
    return folder


def musicldm(folder: Path, plan, *, seed: int = 0, **config) -> Path:
    from diffusers import MusicLDMPipeline, UNet2DConditionModel

    kinds = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": (8, 16)}
    kinds |= {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    sizes = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 4}
    told = {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 16}
    told |= {"class_embeddings_concat": True}
    net = UNet2DConditionModel(sample_size=32, **kinds, **sizes, **told)
    MusicLDMPipeline(**mel_parts(plan, seed, **config), unet=tiny.redraw(net, seed + 3)).save_pretrained(folder)
    return folder


def same(seed: int):
    from diffusers import AutoencoderSAME

    sizes = {"patch_size": 4, "encoder_channels": 8, "encoder_c_mults": [2], "encoder_strides": [4], "latent_dim": 4}
    made = AutoencoderSAME(encoder_transformer_depths=[2], dim_heads=8, sampling_rate=1600, **sizes)
    return tiny.redraw(made, seed)


def gemma_tokenizer():
    from transformers import GemmaTokenizer

    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", *map(chr, range(33, 127))]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(letters))}
    return GemmaTokenizer(vocab=vocab, merges=[], model_max_length=32)


def stable_audio_3(folder: Path, plan, *, seed: int = 0) -> Path:
    from diffusers import StableAudio3DiTModel, StableAudio3Pipeline
    from diffusers.pipelines.stable_audio_3 import StableAudio3DurationEmbedder
    from transformers import T5GemmaConfig, T5GemmaEncoderModel, T5GemmaModuleConfig

    tokenizer = gemma_tokenizer()
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"num_key_value_heads": 1, "head_dim": 8, "vocab_size": len(tokenizer), "query_pre_attn_scalar": 8}
    words = T5GemmaModuleConfig(**sizes)
    text = T5GemmaConfig(encoder=words, decoder=words, is_encoder_decoder=False, vocab_size=len(tokenizer))
    net = {"io_channels": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "cond_token_dim": 16, "global_cond_dim": 16}
    net |= {"local_add_cond_dim": 5, "timestep_features_dim": 8, "num_memory_tokens": 2}
    told = StableAudio3DurationEmbedder(output_dim=16, fourier_dim=8)
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": tiny.redraw(T5GemmaEncoderModel(text), seed + 1),
        "scheduler": plan,
    }
    parts |= {"vae": same(seed + 2), "duration_embedder": tiny.redraw(told, seed + 4)}
    StableAudio3Pipeline(transformer=tiny.redraw(StableAudio3DiTModel(**net), seed + 3), **parts).save_pretrained(
        folder
    )
    return folder
