"""Textual inversion (arXiv 2208.01618): files of learned vectors -> words that the text encoders know.

Files of diffusers (one entry, named by its word), of A1111 (`emb_params`) and those for two text encoders (`clip_l`,
`clip_g`). Each vector becomes a token with a name that no prompt has, so that what a word means is said by the request
that uses it, and by nothing that was loaded before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ._files import file_of, fingerprint
from ._hub import place_of

NAMES = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}  # what files of two call the vectors of each
PLAIN = "emb_params"
CLIP = ("CLIPTextModel", "CLIPTextModelWithProjection")


@dataclass(frozen=True, kw_only=True)
class Learned:
    """word: what the file calls it, or its own name; tokens: what stands in its place when it is read."""

    path: str
    hash: str
    word: str
    tokens: str


def learn(pipe: Any, path: str | Path) -> Learned:
    """A file of vectors -> the tokens that they became. ValueError for a file that holds none, or those of another
    model."""
    file = file_of(place_of(path, "a learned word"), "a learned word")
    hash, parts = fingerprint([file]), readers(pipe)
    tensors, both = _load(file), list(parts.values())
    rows = _rows(tensors, list(parts), file)
    _check(rows, both, file)
    tokens = [f"<learned-{hash}-{number}>" for number in range(len(rows[0]))]
    for vectors, (tokenizer, encoder) in zip(rows, both, strict=True):
        _teach(tokenizer, encoder, tokens, vectors)
    named = next(iter(tensors)) if len(tensors) == 1 else PLAIN
    word = file.stem if named in (PLAIN, *NAMES.values()) else named
    return Learned(path=str(path), hash=hash, word=word, tokens=" ".join(tokens))


def readers(pipe: Any) -> dict[str, tuple[Any, Any]]:
    """Part -> (tokenizer, text encoder) of each of its CLIPs; none for a checkpoint that has others too."""
    parts = {name: part for name, part in sorted(pipe.components.items()) if name.startswith("text_encoder")}
    tokenizers = {name: getattr(pipe, name.replace("text_encoder", "tokenizer"), None) for name in parts}
    found = {name: (tokenizers[name], part) for name, part in parts.items() if part is not None}
    plain = all(one is not None and type(two).__name__ in CLIP for one, two in found.values())
    return found if plain else {}


def _load(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def _rows(tensors: Mapping[str, Tensor], parts: Sequence[str], file: Path) -> list[Tensor]:
    """Vectors [n, width] of each text encoder. ValueError where a file has others: half of a word is another one."""
    wanted, pair = [NAMES[part] for part in parts], set(NAMES.values())
    alone = len(wanted) == len(tensors) == 1 and not set(tensors) & (pair - set(wanted))
    second = wanted == [NAMES["text_encoder_2"]] and set(tensors) == pair  # SDXL's refiner has the second one alone
    if not (alone or second or set(tensors) == set(wanted)):
        needed = " and ".join(wanted) if len(wanted) > 1 else f"one entry, of its one text encoder ({wanted[0]})"
        made = ": the file was made for SDXL" if set(tensors) == pair else ""
        raise ValueError(f"{file} has {', '.join(sorted(tensors)) or 'nothing'}; the model needs {needed}{made}")
    found = list(tensors.values()) if alone else [tensors[name] for name in wanted]
    if any(each.ndim not in (1, 2) or not each.numel() for each in found):
        made = ", ".join(str(tuple(each.shape)) for each in found)
        raise ValueError(f"{file} holds {made}; a learned word is one vector, or several as [n, width]")
    return [each[None] if each.ndim == 1 else each for each in found]


def _check(rows: list[Tensor], both: list[tuple[Any, Any]], file: Path) -> None:
    made = [tuple(each.shape) for each in rows]
    widths = [encoder.get_input_embeddings().weight.shape[1] for _, encoder in both]
    if [shape[-1] for shape in made] != widths or len({shape[0] for shape in made}) != 1:
        raise ValueError(f"{file} was made for another model: its vectors are {made}, the model's {widths} wide")


@torch.no_grad()
def _teach(tokenizer: Any, encoder: Any, tokens: list[str], vectors: Tensor) -> None:
    from tokenizers import AddedToken

    if tokens[0] in tokenizer.get_vocab():
        return
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in tokens])
    before = encoder.get_input_embeddings()
    if len(tokenizer) > before.weight.shape[0]:
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = encoder.get_input_embeddings().requires_grad_(False)
    table.weight[tokenizer.convert_tokens_to_ids(tokens)] = vectors.to(table.weight)
    _find_ends(encoder, tokenizer.eos_token_id)


def _find_ends(encoder: nn.Module, end: int) -> None:
    """Published configurations of CLIP (their end token is said to be 2) take the highest token for the end, which it
    no longer is."""
    for part in encoder.modules():
        if getattr(part, "eos_token_id", None) == 2:
            part.eos_token_id = end
