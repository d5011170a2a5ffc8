"""What published checkpoints say of themselves: their settings and sizes, read off their own files in November 2026.

Schedulers are whole, with the settings that their class does not know; of networks what is not diffusers' default.
Parameters times the bytes of each are the sizes of the published files, to their headers; Stable Diffusion 3.5's large
transformer says the names of its weights and their bytes, which its settings here give; its autoencoder's are from
memory.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny

TABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "trained_betas": None}
TABLE |= {"num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1}
TABLE |= {"clip_sample": False}
PNDM = TABLE | {"_class_name": "PNDMScheduler"}
DDIM = TABLE | {"_class_name": "DDIMScheduler"}
EULER = TABLE | {"_class_name": "EulerDiscreteScheduler", "interpolation_type": "linear", "prediction_type": "epsilon"}
EULER |= {"sample_max_value": 1.0, "timestep_spacing": "leading", "use_karras_sigmas": False}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
SCHNELL = FLOW | {"shift": 1.0, "base_shift": 0.5, "max_shift": 1.15, "use_dynamic_shifting": False}
SCHNELL |= {"base_image_seq_len": 256, "max_image_seq_len": 4096}
COSINE = {"_class_name": "CosineDPMSolverMultistepScheduler", "sigma_min": 0.3, "sigma_max": 500, "sigma_data": 1.0}
COSINE |= {"sigma_schedule": "exponential", "rho": 7.0, "solver_order": 2, "solver_type": "midpoint"}
COSINE |= {"prediction_type": "v_prediction", "lower_order_final": True, "euler_at_final": False}
COSINE |= {"final_sigmas_type": "zero", "num_train_timesteps": 1000}

UNET = {"block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 768, "attention_head_dim": 8}
UNET |= {"down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "sample_size": 64}
UNET |= {"up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3, "layers_per_block": 2}
UNET2 = UNET | {"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "sample_size": 96}
UNET2 |= {"use_linear_projection": True, "upcast_attention": True}
UNETXL = {"block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20]}
UNETXL |= {"down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2, "sample_size": 128}
UNETXL |= {"up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"], "layers_per_block": 2}
UNETXL |= {"transformer_layers_per_block": [1, 2, 10], "use_linear_projection": True}
UNETXL |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
UNETXL |= {"projection_class_embeddings_input_dim": 2816}
VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4, "sample_size": 512}
VAE |= {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
VAE16 = VAE | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False, "force_upcast": True}
MMDIT = {"num_layers": 38, "num_attention_heads": 38, "attention_head_dim": 64, "caption_projection_dim": 2432}
MMDIT |= {"joint_attention_dim": 4096, "pooled_projection_dim": 2048, "pos_embed_max_size": 192, "patch_size": 2}
MMDIT |= {"in_channels": 16, "out_channels": 16, "sample_size": 128, "qk_norm": "rms_norm"}
FLUX = {"num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24, "attention_head_dim": 128}
FLUX |= {"joint_attention_dim": 4096, "pooled_projection_dim": 768, "axes_dims_rope": [16, 56, 56], "in_channels": 64}
FLUX |= {"patch_size": 1, "guidance_embeds": False}
DIT = {"num_layers": 24, "num_attention_heads": 24, "num_key_value_attention_heads": 12, "attention_head_dim": 64}
DIT |= {"in_channels": 64, "out_channels": 64, "sample_size": 1024.0, "time_proj_dim": 256, "cross_attention_dim": 768}
DIT |= {"cross_attention_input_dim": 768, "global_states_input_dim": 1536}
OOBLECK = {"encoder_hidden_size": 128, "decoder_channels": 128, "decoder_input_channels": 64, "audio_channels": 2}
OOBLECK |= {"channel_multiples": [1, 2, 4, 8, 16], "downsampling_ratios": [2, 4, 4, 8, 8], "sampling_rate": 44_100}
SECONDS = {"text_encoder_dim": 768, "conditioning_dim": 768, "min_value": 0, "max_value": 512}


def clip(width: int, layers: int, act: str = "gelu", projection: int | None = None) -> dict[str, Any]:
    """With the numbers of special tokens as published, which are not those of the tokenizer."""
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers, "hidden_act": act}
    ends = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "model_type": "clip_text_model"}
    return (
        sizes | ends | {"num_attention_heads": width // 64, "vocab_size": 49_408, "projection_dim": projection or width}
    )


L, H, BIG_G = clip(768, 12, "quick_gelu"), clip(1024, 23, projection=512), clip(1280, 32)
T5 = {"d_model": 768, "d_ff": 3072, "d_kv": 64, "num_heads": 12, "num_layers": 12, "vocab_size": 32_128}
T5 |= {"is_encoder_decoder": True, "model_type": "t5"}
XXL = T5 | {"d_model": 4096, "d_ff": 10_240, "num_heads": 64, "num_layers": 24, "feed_forward_proj": "gated-gelu"}
XXL |= {"tie_word_embeddings": False}

CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
PADS = {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """settings: of each part with a configuration; classes: of those that are not `CLASSES`; parameters: of each
    network. limit: tokens that it reads; size: of pictures, or samples of sound; says: what our model says of it."""

    pipeline: str
    settings: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, int]
    size: tuple[int, ...]
    multiple: int
    limit: int
    says: Mapping[str, Any]
    classes: Mapping[str, str] = field(default_factory=dict)

    def folder(self, to: Path) -> Path:
        """Its configurations in diffusers' layout, with tokenizers of a few words."""
        index: dict[str, Any] = {"_class_name": self.pipeline}
        for part, settings in self.settings.items():
            kind = settings.get("_class_name") or {**CLASSES, **self.classes}[part]
            library = "transformers" if part.startswith("text_encoder") else "diffusers"
            index[part] = ["stable_audio" if part == "projection_model" else library, kind]
            (to / part).mkdir(parents=True)
            name = "scheduler_config.json" if part == "scheduler" else "config.json"
            (to / part / name).write_text(json.dumps(settings))
        for part in (part for part in self.settings if part.startswith("text_encoder")):
            words, sentences = part.replace("text_encoder", "tokenizer"), index[part][1] == "T5EncoderModel"
            made = tiny.t5_tokenizer() if sentences else tiny.clip_tokenizer(PADS[words])
            made.model_max_length = self.limit if sentences else 77
            made.save_pretrained(to / words)
            index[words] = ["transformers", "T5TokenizerFast" if sentences else "CLIPTokenizer"]
        (to / "model_index.json").write_text(json.dumps(index))
        return to


SD_PARTS = {"unet": 859_520_964, "text_encoder": 123_060_480, "vae": 83_653_863}
PROJECTED = "CLIPTextModelWithProjection"
REAL: dict[str, Facts] = {
    "Stable Diffusion 1": Facts(
        pipeline="StableDiffusionPipeline",
        settings={"scheduler": PNDM, "unet": UNET, "vae": VAE, "text_encoder": L},
        parameters=SD_PARTS,
        size=(512, 512),
        multiple=8,
        limit=77,
        says={"prediction": "eps", "solver": "plms", "steps": 50, "guidance": 7.5, "told": 981, "alpha": 0.0760},
    ),
    "Stable Diffusion 2 (v)": Facts(
        pipeline="StableDiffusionPipeline",
        settings={
            "scheduler": DDIM | {"prediction_type": "v_prediction"},
            "unet": UNET2,
            "vae": VAE | {"sample_size": 768},
            "text_encoder": H,
        },
        parameters=SD_PARTS | {"unet": 865_910_724, "text_encoder": 340_387_840},
        size=(768, 768),
        multiple=8,
        limit=77,
        says={"prediction": "v", "solver": "euler", "steps": 50, "guidance": 7.5, "told": 981, "alpha": 0.0760},
    ),
    "SD inpainting": Facts(
        pipeline="StableDiffusionInpaintPipeline",
        settings={"scheduler": DDIM, "unet": UNET | {"in_channels": 9}, "vae": VAE, "text_encoder": L},
        parameters=SD_PARTS | {"unet": 859_535_364},
        size=(512, 512),
        multiple=8,
        limit=77,
        says={"prediction": "eps", "solver": "euler", "steps": 50, "guidance": 7.5, "told": 981, "alpha": 0.0760},
    ),
    "SDXL": Facts(
        pipeline="StableDiffusionXLPipeline",
        settings={
            "scheduler": EULER,
            "unet": UNETXL,
            "vae": VAE | {"scaling_factor": 0.13025, "force_upcast": True, "sample_size": 1024},
            "text_encoder": L,
            "text_encoder_2": BIG_G,
        },
        classes={"text_encoder_2": PROJECTED},
        parameters=SD_PARTS | {"unet": 2_567_463_684, "text_encoder_2": 694_659_840},
        size=(1024, 1024),
        multiple=8,
        limit=77,
        says={"prediction": "eps", "solver": "euler", "steps": 50, "guidance": 5.0, "told": 981, "alpha": 0.0760},
    ),
    "SD3": Facts(
        pipeline="StableDiffusion3Pipeline",
        settings={
            "scheduler": FLOW,
            "transformer": MMDIT,
            "vae": VAE16 | {"scaling_factor": 1.5305, "shift_factor": 0.0609},
            "text_encoder": L,
            "text_encoder_2": BIG_G,
            "text_encoder_3": XXL,
        },
        classes={
            "transformer": "SD3Transformer2DModel",
            "text_encoder": PROJECTED,
            "text_encoder_2": PROJECTED,
            "text_encoder_3": "T5EncoderModel",
        },
        parameters={"transformer": 8_056_627_520, "text_encoder": 123_650_304, "text_encoder_2": 694_659_840}
        | {"text_encoder_3": 4_762_310_656, "vae": 83_819_683},
        size=(1024, 1024),
        multiple=16,
        limit=256,
        says={"prediction": "flow", "solver": "euler", "steps": 28, "guidance": 7.0, "told": 1000, "alpha": 0.0},
    ),
    "Flux.1 schnell": Facts(
        pipeline="FluxPipeline",
        settings={
            "scheduler": SCHNELL,
            "transformer": FLUX,
            "vae": VAE16 | {"scaling_factor": 0.3611, "shift_factor": 0.1159, "sample_size": 1024},
            "text_encoder": L,
            "text_encoder_2": XXL,
        },
        classes={"transformer": "FluxTransformer2DModel", "text_encoder_2": "T5EncoderModel"},
        parameters={"transformer": 11_891_178_560, "text_encoder": 123_060_480, "text_encoder_2": 4_762_310_656}
        | {"vae": 83_819_683},
        size=(1024, 1024),
        multiple=16,
        limit=512,
        says={"prediction": "flow", "solver": "euler", "guidance": 3.5, "told": 1, "alpha": 0.0},
    ),
    "Stable Audio Open": Facts(
        pipeline="StableAudioPipeline",
        settings={
            "scheduler": COSINE,
            "transformer": DIT,
            "vae": OOBLECK,
            "text_encoder": T5,
            "projection_model": SECONDS,
        },
        classes={
            "transformer": "StableAudioDiTModel",
            "vae": "AutoencoderOobleck",
            "text_encoder": "T5EncoderModel",
            "projection_model": "StableAudioProjectionModel",
        },
        parameters={"transformer": 1_056_939_136, "text_encoder": 109_628_544, "vae": 156_112_514}
        | {"projection_model": 396_544},
        size=(2_097_152,),
        multiple=2_097_152,
        limit=128,
        says={
            "prediction": "v",
            "solver": "dpmpp_2m",
            "eta": 1.0,
            "steps": 100,
            "guidance": 7.0,
            "told": 0.998727,
            "alpha": 0.002,
        },
    ),
}
