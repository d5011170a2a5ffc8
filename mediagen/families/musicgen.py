"""MusicGen through transformers: a language model over the codes of an EnCodec, told a text by T5.

Its files are transformers', not diffusers': a folder or repository whose `config.json` says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..autoencoders.base import LatentSpec
from ..conditioners.base import Cond
from ..errors import first_line
from ..generators.autoregressive import Layout, Sampling, delays_of
from . import _adapters as adapters
from . import _hub as hub
from . import _whole as whole
from ._files import fingerprint
from ._loading import PLAIN, Loading, only
from ._outline import Part, part_of
from ._quiet import quiet
from .model import Model
from .published import needs_diffusers

CONFIG, PLAN = "config.json", "generation_config.json"
PLANS = ("*.json", "*.model")  # what is fetched of a repository beside weights
KINDS = ("musicgen",)
LOADS = ("dtype", "device", "revision")  # of `Loading`, what it takes


def cards() -> dict[str, Path]:
    """None of them ships."""
    return {}


def claims(source: str | Path) -> bool:
    """Whether it is a folder or repository with transformers' configuration of a MusicGen."""
    path = Path(source)
    if path.exists():
        return _kind(path / CONFIG) in KINDS
    return isinstance(source, str) and bool(hub.REPOSITORY.fullmatch(source)) and _kind(_asked(source)) in KINDS


def load(source: str | Path, loading: Loading = PLAIN) -> CodeModel:
    """A checkpoint -> the model, ready to run. ValueError, in one line, for what cannot be loaded."""
    needs_diffusers()
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration

    only(loading, LOADS, "is for checkpoints of diffusers: a MusicGen")
    name = hub.named(source, loading.revision)
    folder = hub.place_of(name, "a MusicGen", (*PLANS, "*.safetensors"))
    files = sorted(file for file in folder.glob("*.safetensors") if "." not in file.stem)
    if not files:
        raise ValueError(f"the checkpoint {name} has no .safetensors weights, and no others are read")
    about = adapters.About(name=name, hash=fingerprint(files) + loading.label)
    options = {"local_files_only": True, "use_safetensors": True, "dtype": loading.torch_dtype}
    try:
        with quiet():
            network = MusicgenForConditionalGeneration.from_pretrained(folder, **options).to(loading.place)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        for part, made in network.named_children():
            whole.check(part, made)
        whole.check_words("tokenizer", tokenizer)
    except Exception as error:  # transformers, tokenizers and safetensors each raise their own
        raise ValueError(f"cannot load the checkpoint {name}: {first_line(error)}") from error
    return model(network.requires_grad_(False).eval(), tokenizer, about)


def outline(source: str | Path, revision: str | None = None) -> tuple[CodeModel, list[Part], list[str]]:
    """(the model without its weights, its parts, the name of the one that writes), for what is counted before it is
    loaded. Of a repository only configurations and the tokenizer are fetched."""
    needs_diffusers()
    from accelerate import init_empty_weights
    from transformers import AutoTokenizer, GenerationConfig, MusicgenConfig, MusicgenForConditionalGeneration

    name = hub.named(source, revision)
    folder = hub.place_of(name, "a MusicGen", PLANS)
    try:
        with quiet(), init_empty_weights(include_buffers=False):
            network = MusicgenForConditionalGeneration(MusicgenConfig.from_pretrained(folder, local_files_only=True))
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if (folder / PLAN).is_file():
            network.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
        network.tie_weights()  # which are counted once
        made = model(network.eval(), tokenizer, adapters.About(name=name, hash=""))
    except Exception as error:  # as where it is loaded
        raise ValueError(f"cannot plan the checkpoint {name}: {first_line(error)}") from error
    parts = [part_of(part, module) for part, module in network.named_children()]
    return made, parts, ["decoder"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CodeModel(Model):
    """A model that writes codes. network: transformers' own, with all its parts; begins: (condition, the null's or
    None) -> its `generators.autoregressive.Speaker`; layout: of its codes; window: positions that it was trained on;
    sampling: as it was published."""

    denoiser: Any = None
    network: Any
    begins: Callable[[Cond, Cond | None], Any]
    layout: Layout
    window: int
    sampling: Sampling


def model(network: Any, tokenizer: Any, about: adapters.About) -> CodeModel:
    own, plan, coder = network.decoder.config, network.generation_config, EnCodec(network)
    layout = Layout(delays=tuple(delays_of(own.num_codebooks, own.audio_channels)), blank=own.pad_token_id)
    window = (plan.max_length or 1500) - 1 - max(layout.delays)
    rate, stride = network.audio_encoder.config.sampling_rate, coder.spec.stride[0]
    sampling = Sampling(temperature=plan.temperature or 1.0, top_k=plan.top_k or 0, top_p=plan.top_p or 1.0)
    defaults = {"guidance": float(plan.guidance_scale or 1.0)}
    span = adapters.Span(tokenizer=tokenizer, length=min(tokenizer.model_max_length, 512))
    return CodeModel(
        name=about.name,
        hash=about.hash,
        modality="audio",
        size=(window * stride,),
        multiple=stride,
        rate=rate,
        seconds=10.0,
        text=adapters.Unweighted(encode=lambda texts: read(network, tokenizer, texts), spans=[span], zeros=True),
        autoencoder=coder,
        preview=None,
        defaults=defaults,
        whole=True,
        network=network,
        begins=lambda cond, null: begins(network.decoder, own.num_codebooks, cond, null),
        layout=layout,
        window=window,
        sampling=sampling if plan.do_sample is not False else Sampling(temperature=0.0),
    )


class EnCodec:
    """Its autoencoder: sound [B, C, samples] <-> codes [B, K, positions], of stereo the channels' in turns."""

    def __init__(self, network: Any) -> None:
        config, own = network.audio_encoder.config, network.decoder.config
        self.coder, self.channels = network.audio_encoder, own.audio_channels
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s:
            raise ValueError("its EnCodec is not one that codes all of one channel at once, as it is")
        stride = (config.hop_length,)
        self.spec = LatentSpec(channels=own.num_codebooks, stride=stride, media_channels=self.channels)
        self.reach = self.encoder_reach = 0

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """ValueError for a length off the stride."""
        [count] = self.spec.grid(x.shape[2:])
        parts = [
            self.coder.encode(part.to(self.coder.device, self.coder.dtype)).audio_codes[0] for part in x.split(1, 1)
        ]
        return rearrange(torch.stack(parts, 2), "b k c t -> b (k c) t")[..., :count].cpu()

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        codes = rearrange(z.to(self.coder.device), "b (k c) t -> c b k t", c=self.channels)
        [count] = self.spec.size(z.shape[2:])
        parts = [self.coder.decode(part[None], [None] * len(z)).audio_values for part in codes]
        return torch.cat(parts, 1)[..., :count].float().cpu()


@torch.no_grad()
def read(network: Any, tokenizer: Any, texts: Sequence[str]) -> Cond:
    """Texts -> {"text": [B, L, D], "text_mask": [B, L]}, as wide as the decoder."""
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt").to(network.device)
    states = network.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
    wide = network.decoder.config
    if states.shape[-1] != wide.hidden_size and wide.cross_attention_hidden_size is None:
        states = network.enc_to_dec_proj(states)
    return {"text": states * tokens.attention_mask[..., None], "text_mask": tokens.attention_mask}


def begins(decoder: Any, codebooks: int, cond: Cond, null: Cond | None) -> Callable[[Tensor], Any]:
    """One piece: columns, as they come, -> logits of the next. Keys and values of what was heard are kept."""
    both = cond if null is None else {name: torch.cat((cond[name], null[name])) for name in cond}
    both = {name: value.to(decoder.device) for name, value in both.items()}
    branches, kept = 1 if null is None else 2, None

    def speaker(columns: Tensor) -> tuple[Tensor, Tensor | None]:
        nonlocal kept
        told = rearrange(columns.repeat(branches, 1, 1), "b k n -> (b k) n").to(decoder.device)
        places = {"encoder_hidden_states": both["text"], "encoder_attention_mask": both["text_mask"]}
        out = decoder(input_ids=told, **places, past_key_values=kept, use_cache=True)
        kept = out.past_key_values
        logits = rearrange(out.logits[:, -1], "(n b k) v -> n b k v", n=branches, k=codebooks).cpu()
        return logits[0], None if null is None else logits[1]

    return speaker


def _kind(file: Path | None) -> Any:
    try:
        config: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file is not None else {}
    except (OSError, ValueError):
        return None
    return config.get("model_type") if isinstance(config, dict) else None


def _asked(name: str) -> Path | None:
    """A repository's configuration, in the cache or fetched; None where it has none, or cannot be reached."""
    try:
        from huggingface_hub import hf_hub_download

        if (folder := hub.commit(name)) is not None:
            return folder / CONFIG if (folder / CONFIG).is_file() else None
        repository, where = hub.where(name)
        return Path(hf_hub_download(repository, CONFIG, **where))
    except Exception:  # what is wrong with a repository, the family that reads it says
        return None
