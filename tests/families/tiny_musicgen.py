"""Tiny MusicGens with random weights, as in `tiny`, in transformers' own layout."""

from pathlib import Path

import tiny
import torch

VOCABULARY, WINDOW, RATE = 32, 40, 1600


def musicgen(folder: Path, *, seed: int = 0, channels: int = 1) -> Path:
    from transformers import EncodecConfig, MusicgenConfig, MusicgenForConditionalGeneration, T5Config
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    tokenizer = tiny.t5_tokenizer()
    text = T5Config(vocab_size=len(tokenizer), d_model=32, d_ff=48, d_kv=8, num_heads=4, num_layers=2)
    sizes = {"num_filters": 4, "upsampling_ratios": [4, 2], "hidden_size": 8, "codebook_dim": 8, "num_lstm_layers": 1}
    kind = {"codebook_size": VOCABULARY, "target_bandwidths": [4.0], "normalize": False, "chunk_length_s": None}
    sound = EncodecConfig(audio_channels=1, sampling_rate=RATE, **sizes, **kind)
    own = {"hidden_size": 16, "num_hidden_layers": 2, "ffn_dim": 32, "num_attention_heads": 2}
    own |= {"vocab_size": VOCABULARY, "pad_token_id": VOCABULARY, "bos_token_id": VOCABULARY}
    own |= {"num_codebooks": 4 * channels, "audio_channels": channels}
    words = MusicgenDecoderConfig(**own)
    config = MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=sound.to_dict(), decoder=words.to_dict())
    made = tiny.redraw(MusicgenForConditionalGeneration(config), seed)
    for number, layer in enumerate(made.audio_encoder.quantizer.layers):
        g = torch.Generator().manual_seed(seed + number)
        layer.codebook.embed.copy_(torch.randn(VOCABULARY, 8, generator=g) / 2**number)
    plan = made.generation_config
    plan.do_sample, plan.guidance_scale, plan.max_length, plan.top_k = True, 3.0, WINDOW + 4, 10
    plan.decoder_start_token_id = plan.bos_token_id = plan.pad_token_id = VOCABULARY
    plan.eos_token_id = None
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
