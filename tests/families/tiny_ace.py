"""Tiny ACE-Steps with random weights, as in `tiny`."""

from pathlib import Path

import tiny
import tiny_sound
import torch

PLAN = {"num_train_timesteps": 1, "shift": 1.0}


def qwen_tokenizer():
    """All bytes, and the special token that its prompts end with."""
    from transformers import Qwen2Tokenizer

    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [number for number in range(256) if number not in printed]
    letters = [chr(number) for number in printed] + [chr(256 + place) for place in range(len(others))]
    vocab = {token: number for number, token in enumerate([*letters, "<|endoftext|>"])}
    return Qwen2Tokenizer(vocab=vocab, merges=[], model_max_length=4096)


def ace_step(folder: Path, plan, *, seed: int = 0, turbo: bool = True) -> Path:
    from diffusers import AceStepConditionEncoder, AceStepPipeline, AceStepTransformer1DModel
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = qwen_tokenizer()
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}
    sizes |= {"head_dim": 8, "sliding_window": 16}
    words = Qwen3Config(vocab_size=len(tokenizer), num_hidden_layers=2, **(sizes | {"hidden_size": 32}))
    told = AceStepConditionEncoder(
        text_hidden_dim=32,
        timbre_hidden_dim=4,
        num_lyric_encoder_hidden_layers=2,
        num_timbre_encoder_hidden_layers=2,
        **sizes,
    )
    net = AceStepTransformer1DModel(
        num_hidden_layers=2, in_channels=12, audio_acoustic_hidden_dim=4, is_turbo=turbo, **sizes
    )
    tiny.redraw(told, seed + 4)
    told.silence_latent.copy_(torch.randn(told.silence_latent.shape, generator=torch.Generator().manual_seed(seed)))
    coder = tiny_sound.oobleck(seed + 2, downsampling_ratios=[4, 10], sampling_rate=1000)
    parts = {"tokenizer": tokenizer, "text_encoder": tiny.redraw(Qwen3Model(words), seed + 1), "scheduler": plan}
    parts |= {"vae": coder, "condition_encoder": told, "transformer": tiny.redraw(net, seed + 3)}
    AceStepPipeline(**parts).save_pretrained(folder)
    return folder
